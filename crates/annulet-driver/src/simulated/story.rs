//! The history in words: the world's, and what its rings were told and said.

use std::collections::BTreeMap;

use io_uring::opcode;

use super::entry::MORE;
use super::ring::{COMPLETED, SUBMITTED};
use super::{OUTSIDE, ROUSE, RUN, STALE, Simulation};
use crate::op::Key;
use crate::sim::{LogEntry, LogKind, error_told};

impl Simulation {
    /// The latest of what happened, a line for each entry of the log.
    pub fn history_of(&self, entries: usize) -> Vec<String> {
        let latest = self.world().log_latest();
        self.tell(&latest[latest.len().saturating_sub(entries)..])
    }

    /// These entries of the log, a line for each.
    pub fn tell(&self, entries: &[LogEntry]) -> Vec<String> {
        let mut story = Story { simulation: self, operations: BTreeMap::new() };
        entries.iter().map(|entry| format!("{} {}", entry.when(), story.tell(entry))).collect()
    }
}

struct Story<'a> {
    simulation: &'a Simulation,
    /// What each operation is, by its ring and its user data, as far as the entries have told.
    operations: BTreeMap<(u64, u64), &'static str>,
}

impl Story<'_> {
    fn tell(&mut self, entry: &LogEntry) -> String {
        let LogEntry { kind, a, b, .. } = *entry;
        match kind {
            SUBMITTED => {
                let (seat, name) = (a & 0xffff_ffff, operation_name((a >> 32) as u8));
                self.operations.insert((seat & SEATS, b), name);
                format!("{} asks for {name}{}", self.ring(seat), slot(b))
            }
            COMPLETED => self.completion(a, (b >> 32) as u32 as i32, b as u32),
            LogKind::EVENT => self.event(a as u32 as u64, a >> 32, b),
            _ => self.simulation.world().tell(entry),
        }
    }

    fn completion(&self, user_data: u64, result: i32, flags: u32) -> String {
        let seat = u64::from(flags >> SEAT_SHIFT) & SEATS;
        let name = self.operations.get(&(seat, user_data)).copied().unwrap_or("operation");
        let result = if result < 0 { error_told(-result) } else { result.to_string() };
        let more = if flags & MORE != 0 { ", more follow" } else { "" };
        format!("{} tells of {name}{}: {result}{more}", self.ring(seat), slot(user_data))
    }

    fn event(&self, kind: u64, a: u64, b: u64) -> String {
        match kind {
            RUN => format!("{}: a late operation gets on", self.ring(a)),
            STALE => format!("{}: a stale completion{} is due", self.ring(a), slot(b)),
            ROUSE => format!("{}: wakes up for no reason", self.ring(a)),
            // All that is scheduled above the world and its kernels.
            OUTSIDE.. => format!("{} ends job {b}", self.simulation.world().tell_host(a)),
            _ => format!("event {kind} {a} {b}"),
        }
    }

    fn ring(&self, seat: u64) -> String {
        let seats = self.simulation.0.seats.borrow();
        let Some(seat) = seats.get(seat as usize) else { return format!("ring {seat}") };
        format!("{} ring {}", self.simulation.world().name(seat.host), seat.id)
    }
}

/// Which bits of an entry's flags tell of the seat. Among so many seats, that is.
const SEATS: u64 = 0xfff;
pub(super) const SEAT_SHIFT: u32 = 4;

/// A completion's flags with the seat it came from.
pub(super) fn with_seat(flags: u32, seat: u32) -> u32 {
    flags ^ (seat & SEATS as u32) << SEAT_SHIFT
}

fn slot(user_data: u64) -> String {
    let Key { slot, generation } = Key::from_bits(user_data);
    if slot >= u32::MAX - 1 { String::new() } else { format!(" {slot}.{generation}") }
}

fn operation_name(code: u8) -> &'static str {
    match code {
        opcode::Send::CODE => "send",
        opcode::AsyncCancel::CODE => "cancel",
        opcode::AcceptMulti::CODE => "accept",
        opcode::Recv::CODE => "receive",
        opcode::Connect::CODE => "connect",
        opcode::PollAdd::CODE => "poll",
        _ => "operation",
    }
}
