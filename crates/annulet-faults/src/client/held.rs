//! Connections that are held: each is used once, left alone, and used once more at the end.

use super::wire::{Trouble, Wire};
use super::{ClientReport, Orders};
use crate::pattern::Pattern;
use crate::random::mix;

/// Bytes of each exchange.
const MESSAGE: usize = 64;

pub(crate) struct Held {
    wires: Vec<(Wire, Pattern)>,
    report: ClientReport,
}

impl Held {
    pub(crate) fn connect(orders: &Orders) -> Self {
        let mut held = Self { wires: Vec::new(), report: ClientReport::default() };
        for number in 0..orders.held {
            let pattern = Pattern::new(orders.seed ^ mix(u64::from(number)));
            let used = Wire::connect(orders.address).and_then(|mut wire| {
                held.report.connections += 1;
                exchange(&mut wire, pattern, 0).map(|()| wire)
            });
            match used {
                Ok(wire) => {
                    held.report.answered += 1;
                    held.wires.push((wire, pattern));
                }
                Err(trouble) => held.report.ended("held", Err(trouble)),
            }
        }
        held
    }

    /// Uses each once more, and ends it.
    pub(crate) fn end(mut self) -> ClientReport {
        for (mut wire, pattern) in self.wires {
            let end = exchange(&mut wire, pattern, MESSAGE as u64)
                .and_then(|()| wire.finish())
                .and_then(|()| wire.expect_end());
            self.report.answered += u64::from(end.is_ok());
            self.report.sent += wire.sent();
            self.report.received += wire.received();
            self.report.ended("held", end);
        }
        self.report
    }
}

fn exchange(wire: &mut Wire, pattern: Pattern, offset: u64) -> Result<(), Trouble> {
    wire.send(&pattern.bytes(offset, MESSAGE))?;
    pattern.check(offset, &wire.receive_exactly(MESSAGE)?).map_err(Trouble::Lost)
}
