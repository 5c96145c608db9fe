//! Tasks that end, are aborted, panic, or are left alone.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use annulet::time::sleep;
use annulet::{JoinHandle, spawn_local, yield_now};
use annulet_sim::Sim;

use super::Live;
use crate::draw::micros;
use crate::join;

pub(super) async fn run(sim: Sim, live: Live) {
    for _ in 0..sim.spread(1, 8) {
        take_turns(&sim).await;
        inherit(&sim).await;
    }
    for _ in 0..sim.spread(1, 60) {
        let wave: Vec<_> = (0..sim.spread(1, 30)).map(|number| begin(&sim, &live, number)).collect();
        if sim.below(2) == 0 {
            sleep(micros(&sim, 1, 20_000)).await;
        }
        for (number, (kind, task)) in wave.into_iter().enumerate() {
            end(&sim, number as u64, kind, task).await;
        }
    }
}

/// How a task is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Returns,
    Panics,
    Never,
}

fn begin(sim: &Sim, live: &Live, number: u64) -> (Kind, JoinHandle<u64>) {
    let kind = match sim.below(10) {
        0 => Kind::Panics,
        1 | 2 => Kind::Never,
        _ => Kind::Returns,
    };
    let (life, pause, yields) = (live.begin(), micros(sim, 1, 50_000), sim.below(5));
    let task = spawn_local(async move {
        let _life = life;
        for _ in 0..yields {
            yield_now().await;
        }
        if yields % 2 == 0 {
            sleep(pause).await;
        }
        match kind {
            Kind::Returns => number,
            Kind::Panics => std::panic::resume_unwind(Box::new("a task panics")),
            Kind::Never => pending().await,
        }
    });
    (kind, task)
}

async fn end(sim: &Sim, number: u64, kind: Kind, task: JoinHandle<u64>) {
    match (kind, sim.below(4)) {
        (Kind::Returns | Kind::Panics, 0) | (Kind::Never, 0..3) => {
            task.abort();
            match task.await {
                Ok(result) => assert!(kind == Kind::Returns && result == number),
                Err(error) => assert!(error.is_cancelled() || kind == Kind::Panics, "{error}"),
            }
        }
        // Nobody waits for it.
        (_, 1) | (Kind::Never, _) => drop(task),
        (Kind::Returns, _) => assert_eq!(task.await.expect("it returns"), number),
        (Kind::Panics, _) => assert!(task.await.expect_err("it panics").is_panic()),
    }
}

/// A task that yields lets all others run that are ready.
async fn take_turns(sim: &Sim) {
    let (count, turns) = (sim.spread(2, 12), sim.spread(1, 12));
    let taken = Rc::new(RefCell::new(vec![0; count as usize]));
    let tasks = (0..count as usize).map(|number| {
        let taken = Rc::clone(&taken);
        spawn_local(async move {
            for turn in 1..=turns {
                taken.borrow_mut()[number] = turn;
                let (least, most) = extremes(&taken.borrow());
                assert!(most - least <= 1, "turn {most} of one task, and turn {least} of another");
                yield_now().await;
            }
        })
    });
    join::all(tasks.collect()).await;
}

fn extremes(turns: &[u64]) -> (u64, u64) {
    let (least, most) = (turns.iter().min(), turns.iter().max());
    (*least.expect("a task"), *most.expect("a task"))
}

/// What one task began to wait for, another goes on waiting for.
async fn inherit(sim: &Sim) {
    let pause = micros(sim, 1, 50_000);
    let task = spawn_local(async move { sleep(pause).await });
    let heir = spawn_local(after_a_poll(task));
    heir.await.expect("the heir lives").await.expect("the task ends");
    let sleep = Box::pin(sleep(pause));
    let heir = spawn_local(after_a_poll(sleep));
    heir.await.expect("the heir lives").await;
}

/// The future, after it was polled once.
async fn after_a_poll<F: Future + Unpin>(mut future: F) -> Ready<F> {
    let output = poll_fn(|cx| Poll::Ready(Pin::new(&mut future).poll(cx))).await;
    match output {
        Poll::Ready(output) => Ready::Is(Some(output)),
        Poll::Pending => Ready::Will(future),
    }
}

/// A future that may have ended.
enum Ready<F: Future + Unpin> {
    Is(Option<F::Output>),
    Will(F),
}

impl<F: Future + Unpin> Unpin for Ready<F> {}

impl<F: Future + Unpin> Future for Ready<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.get_mut() {
            Self::Is(output) => Poll::Ready(output.take().expect("polled after its end")),
            Self::Will(future) => Pin::new(future).poll(cx),
        }
    }
}
