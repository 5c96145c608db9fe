//! Signals: what is sent while somebody listens arrives.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use annulet::signal::{Signal, Signals};
use annulet::time::{sleep, timeout};
use annulet::{JoinHandle, spawn_local};
use annulet_sim::{Host, Sim};

use crate::draw::micros;

/// Longer than anything keeps a signal from being heard.
const HEARD: Duration = Duration::from_secs(300);

/// How many of SIGUSR1 the machine has heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Rc<Cell<u64>>);

/// Listens until it is dropped.
pub(super) struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn listen(sim: &Sim, heard: &Heard) -> Listening {
    let mut signals = Signals::new(&[Signal::TERMINATE, Signal::USER_1]);
    let pause = micros(sim, 1, 100_000);
    // It gives up so often, before it goes on listening.
    let mut rounds = sim.below(100);
    let heard = heard.clone();
    Listening(spawn_local(async move {
        loop {
            let signal = if rounds == 0 {
                Some(signals.recv().await)
            } else {
                rounds -= 1;
                sleep(pause).await;
                timeout(pause, signals.recv()).await.ok()
            };
            if signal == Some(Signal::USER_1) {
                heard.0.set(heard.0.get() + 1);
            }
        }
    }))
}

/// Sends some, once the machine listens. One that is sent is heard, for as long as the machine is there.
pub(super) async fn send(sim: Sim, host: Host, heard: Heard) {
    sleep(Duration::from_millis(5)).await;
    for _ in 0..sim.below(20) {
        let before = heard.0.get();
        for _ in 0..sim.below(3) {
            host.signal(Signal::TERMINATE);
        }
        host.signal(Signal::USER_1);
        for _ in 0..sim.below(3) {
            host.signal(Signal::TERMINATE);
        }
        let hearing = async {
            while heard.0.get() == before {
                sleep(micros(&sim, 100, 100_000)).await;
            }
        };
        assert!(timeout(HEARD, hearing).await.is_ok(), "a signal was sent, and not heard");
        sleep(micros(&sim, 1, 200_000)).await;
    }
}
