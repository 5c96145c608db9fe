//! Signals: what is sent while somebody listens arrives.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use annulet::signal::{Signal, Signals};
use annulet::time::sleep;
use annulet::{JoinHandle, spawn_local};
use annulet_sim::{Host, Sim};

use crate::draw::micros;

/// Listens until it is dropped.
pub(super) struct Listening(JoinHandle<()>, #[expect(dead_code, reason = "for who debugs")] Rc<Cell<u64>>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn listen() -> Listening {
    let mut signals = Signals::new(&[Signal::TERMINATE, Signal::USER_1]);
    let heard = Rc::new(Cell::new(0));
    let counter = Rc::clone(&heard);
    let listening = spawn_local(async move {
        loop {
            signals.recv().await;
            counter.set(counter.get() + 1);
        }
    });
    Listening(listening, heard)
}

/// Sends some, once the machine listens.
pub(super) async fn send(sim: Sim, host: Host) {
    sleep(Duration::from_millis(5)).await;
    for _ in 0..sim.below(20) {
        host.signal(if sim.below(2) == 0 { Signal::USER_1 } else { Signal::TERMINATE });
        sleep(micros(&sim, 1, 200_000)).await;
    }
}
