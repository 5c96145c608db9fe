//! One connection: what is asked, and how.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use annulet::net::{ReadHalf, WriteHalf};
use annulet::time::{sleep, timeout};
use annulet::{Connector, Error, spawn_local};
use annulet_sim::Sim;

use super::answers::Answers;
use super::questions::Question;
use crate::draw::{micros, percent};
use crate::shape::{Shape, limits};

/// Longer than any answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1200);

/// What a client may rely on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trust {
    pub(super) shape: Shape,
    pub(super) requests_max: u32,
}

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    piece_max: u64,
    pause_percent: u64,
    /// It asks when it has been answered, after a pause that is this long now and then.
    asks_one_by_one: Option<Duration>,
    /// It does not end its side.
    stays: bool,
    is_slow: bool,
    /// It is gone after so many bytes.
    vanishes_after: Option<usize>,
}

impl Manners {
    pub(super) fn draw(sim: &Sim, asked: &[Question]) -> Self {
        let is_refused = asked.last().is_some_and(Question::is_refused);
        Self {
            piece_max: sim.spread(1, 16 * 1024),
            pause_percent: sim.below(30),
            asks_one_by_one: percent(sim, 25).then(|| micros(sim, 1, 50_000)),
            stays: percent(sim, 30) && !is_refused,
            is_slow: percent(sim, 15),
            vanishes_after: percent(sim, 10).then(|| sim.spread(1, 20_000) as usize),
        }
    }

    /// The same, to the end.
    pub(super) fn lasting(self) -> Self {
        Self { vanishes_after: None, ..self }
    }

    /// Brief, and nothing unusual.
    pub(super) const fn plain() -> Self {
        Self {
            piece_max: 16 * 1024,
            pause_percent: 0,
            asks_one_by_one: None,
            stays: false,
            is_slow: false,
            vanishes_after: None,
        }
    }

    /// With pauses as long as a server bears between two requests, and longer than it bears within one.
    pub(super) fn patient(sim: &Sim) -> Self {
        Self {
            asks_one_by_one: Some(Duration::from_secs(66)),
            pause_percent: 20,
            piece_max: sim.spread(1, 1000),
            ..Self::plain()
        }
    }
}

/// How far it is, for the one who writes.
#[derive(Debug, Default)]
struct Progress {
    answered: Cell<usize>,
    continues: Cell<usize>,
    is_over: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Progress {
    fn note(&self, answers: &Answers) {
        self.answered.set(answers.count);
        self.continues.set(answers.continues);
        self.wake();
    }

    fn end(&self) {
        self.is_over.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        poll_fn(|cx| {
            if is_so(self) || self.is_over.get() {
                return Poll::Ready(());
            }
            self.waiting.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// How listening ended.
enum Heard {
    /// In order.
    End,
    /// All has been answered, and the connection lasts.
    All,
    /// Nothing can be said of the rest.
    Less,
}

/// One connection. Returns whether everything was answered.
pub(super) async fn visit(sim: &Sim, asked: Vec<Question>, trust: &Trust, manners: Manners) -> bool {
    let connector = Connector::new().limits(limits(sim));
    let Ok(connection) = connector.connect("server:7000").await else { return false };
    let (mut receive, send) = connection.split();
    let (asked, progress) = (Rc::new(asked), Rc::new(Progress::default()));
    let sending = spawn_local(write(sim.clone(), send, Rc::clone(&asked), Rc::clone(&progress), manners));
    let mut answers = Answers::new(trust.requests_max);
    let last = asked.iter().position(|question| question.is_last).map_or(asked.len(), |last| last + 1);
    let wanted = last.min(trust.requests_max as usize);
    let heard = read(sim, &mut receive, &asked, wanted, &mut answers, &progress, manners).await;
    progress.end();
    drop(receive);
    if !matches!(heard, Heard::End) {
        sending.abort();
        return matches!(heard, Heard::All);
    }
    let is_sent = sending.await.is_ok_and(|sent| sent.is_ok());
    let ends_are_the_programs = trust.shape.ends_are_the_programs();
    assert!(
        answers.is_whole() || !ends_are_the_programs,
        "the server ended in order in the middle of answer {} of {wanted}",
        answers.count + 1
    );
    // Half a request at the end may be worth no answer.
    let is_cut = asked[wanted - 1].is_refused();
    let is_all = answers.count + usize::from(is_cut) >= wanted && !answers.gave_up;
    assert!(
        is_all || !is_sent || !trust.shape.is_faithful(),
        "the server ended in order after {} of {wanted} answers, gave up: {}",
        answers.count,
        answers.gave_up
    );
    is_all
}

async fn write(
    sim: Sim,
    mut send: WriteHalf,
    asked: Rc<Vec<Question>>,
    progress: Rc<Progress>,
    manners: Manners,
) -> Result<(), Error> {
    let mut continues = 0;
    let mut said = Vec::new();
    for (number, question) in asked.iter().enumerate() {
        if let Some(pause) = manners.asks_one_by_one {
            say(&sim, &mut send, &mut said, manners).await?;
            progress.until(|progress| progress.answered.get() >= number).await;
            sleep(if percent(&sim, 30) { pause } else { micros(&sim, 1, 1000) }).await;
        }
        let (now, later) = question.bytes.split_at(question.waits_at.unwrap_or(0));
        said.extend_from_slice(now);
        if question.waits_at.is_some() {
            say(&sim, &mut send, &mut said, manners).await?;
            continues += 1;
            let is_answered = |progress: &Progress| progress.answered.get() > number;
            progress.until(|progress| progress.continues.get() >= continues || is_answered(progress)).await;
            if is_answered(&progress) {
                // Nobody wants the rest.
                continue;
            }
        }
        said.extend_from_slice(later);
    }
    say(&sim, &mut send, &mut said, manners).await?;
    if manners.stays {
        progress.until(|_| false).await;
        return Ok(());
    }
    send.shutdown().await
}

/// Says what is to be said, piece by piece.
async fn say(sim: &Sim, send: &mut WriteHalf, said: &mut Vec<u8>, manners: Manners) -> Result<(), Error> {
    let said = std::mem::take(said);
    let mut rest = &said[..];
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(sim.spread(1, manners.piece_max) as usize));
        rest = after;
        send.write_all(piece).await?;
        if percent(sim, manners.pause_percent) {
            sleep(micros(sim, 1, 20_000)).await;
        }
    }
    Ok(())
}

async fn read(
    sim: &Sim,
    receive: &mut ReadHalf,
    asked: &[Question],
    wanted: usize,
    answers: &mut Answers,
    progress: &Progress,
    manners: Manners,
) -> Heard {
    loop {
        if manners.vanishes_after.is_some_and(|after| answers.length() >= after) {
            return Heard::Less;
        }
        if manners.stays && answers.count >= wanted && !answers.gave_up {
            return Heard::All;
        }
        if manners.is_slow {
            sleep(micros(sim, 10, 50_000)).await;
        }
        match timeout(PATIENCE, receive.recv()).await {
            Ok(Ok(Some(chunk))) => {
                answers.take(&chunk, asked);
                progress.note(answers);
            }
            Ok(Ok(None)) => return Heard::End,
            Ok(Err(_)) | Err(_) => return Heard::Less,
        }
    }
}
