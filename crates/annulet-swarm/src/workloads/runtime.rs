//! The runtime itself: tasks, timers, messages and connections between reactors, blocking jobs, signals, and its end in the middle of all.

mod blocking;
mod fanout;
mod loopback;
mod mailbox;
mod messages;
mod signals;
mod tasks;
mod timers;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use annulet::time::{sleep, timeout};
use annulet::{Handle, JoinHandle, spawn_local};
use annulet_sim::Sim;

use crate::draw::{micros, percent};
use crate::join;
use crate::shape::{STANDSTILL_MAX, Shape};

/// Everything that was started comes to its end once, whichever way the runtime ends.
pub(crate) async fn world(sim: Sim) {
    let shape = Shape::draw(&sim);
    let live = Live::default();
    let heard = signals::Heard::default();
    let (inner, counter, ears) = (sim.clone(), live.clone(), heard.clone());
    let is_cut_short = percent(&sim, 30);
    let host = shape.host(&sim, "machine").start(async move || {
        let signals = signals::listen(&inner, &ears);
        let all = run(&inner, &counter);
        if is_cut_short {
            // What is still at work is dropped with the runtime.
            let _ = timeout(micros(&inner, 100, 2_000_000), all).await;
        } else {
            all.await;
        }
        drop(signals);
    });
    let sender = spawn_local(signals::send(sim.clone(), host.clone(), heard));
    host.ended().await;
    sender.abort();
    if let Err(error) = sender.await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
    assert_eq!(live.count(), 0, "what runs on a machine ends with it");
}

async fn run(sim: &Sim, live: &Live) {
    let reactors = Handle::current().reactors();
    let parts: Vec<JoinHandle<()>> = vec![
        spawn_local(timers::run(sim.clone(), live.clone())),
        spawn_local(messages::run(sim.clone(), live.clone(), reactors)),
        spawn_local(blocking::run(sim.clone(), live.clone())),
        spawn_local(tasks::run(sim.clone(), live.clone())),
        spawn_local(loopback::run(sim.clone(), live.clone(), reactors)),
        spawn_local(fanout::run(sim.clone(), live.clone())),
    ];
    join::all(parts).await;
    if percent(sim, 50) {
        sim.end_faults();
        sleep(STANDSTILL_MAX).await;
        timers::be_punctual(sim).await;
    }
}

/// Counts what lives.
#[derive(Clone, Debug, Default)]
struct Live(Arc<AtomicUsize>);

/// One that lives, until it is dropped.
struct Life(Live);

impl Live {
    fn begin(&self) -> Life {
        self.0.fetch_add(1, Ordering::Relaxed);
        Life(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
