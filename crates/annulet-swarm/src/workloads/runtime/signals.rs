//! Signals: what is sent while somebody listens arrives.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use annulet::signal::{Signal, Signals};
use annulet::time::sleep;
use annulet::{JoinHandle, spawn_local};
use annulet_sim::{Host, Sim};

use crate::draw::micros;

/// How often each signal was heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Rc<[Cell<u64>; 2]>);

const SIGNALS: [Signal; 2] = [Signal::TERMINATE, Signal::USER_1];

/// Listens until it is dropped.
pub(super) struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn listen(heard: Heard) -> Listening {
    let mut signals = Signals::new(&SIGNALS);
    Listening(spawn_local(async move {
        loop {
            let signal = signals.recv().await;
            let at = SIGNALS.iter().position(|each| *each == signal).expect("one of those listened for");
            heard.0[at].set(heard.0[at].get() + 1);
        }
    }))
}

/// Sends some, once the machine listens.
pub(super) async fn send(sim: Sim, host: Host) {
    sleep(Duration::from_millis(5)).await;
    for _ in 0..sim.below(20) {
        host.signal(SIGNALS[sim.below(2) as usize]);
        sleep(micros(&sim, 1, 200_000)).await;
    }
}

/// Has one sent to the machine that listens, and waits until it is heard.
pub(super) async fn hear_one(sim: &Sim, host: &Host, heard: &Heard) {
    let at = sim.below(2) as usize;
    let before = heard.0[at].get();
    host.signal(SIGNALS[at]);
    while heard.0[at].get() == before {
        sleep(Duration::from_secs(1)).await;
    }
}
