//! The state behind a connection: what arrived, what leaves, its clocks and its end.
//!
//! A [`Stream`] is a source of its reactor. The handles that users hold ([`Connection`](crate::Connection) and its
//! halves) only look into it; it lives until its socket is closed, which may be after the last handle went.
//!
//! # Life
//!
//! | life | entered by | what happens | left by |
//! |---|---|---|---|
//! | `Open` | creation | | last handle dropped; abort |
//! | `Closing` | last handle dropped | staged bytes leave; arrivals are discarded | all sent: FIN |
//! | `Lingering` | FIN sent, peer's not seen | arrivals are discarded | peer's FIN or reset, clock, 64 KiB |
//! | `Finishing` | the above; abort (then with a reset) | operations are cancelled | their last completions |
//! | `Closed` | | the socket is closed, the source gone | |
//!
//! # Receive
//!
//! `Idle` (not armed: nobody wanted input yet, or the unread limit was reached), `Armed`, `Cancelling` (until the last
//! completion; what still arrives counts). The driver re-arms by itself whatever the kernel ends early.

mod audit;
mod clocks;
mod close;
mod compose;
mod departures;
mod flags;
mod input;
mod local;
mod output;
mod socket;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::Waker;

use annulet_driver::{Address, Chunk, Instant, Key, Op, Outcome, Payload, Socket};
use annulet_runtime::{Audit, Reactor, Source, SourceId};

use crate::counters::NetCounters;
use crate::error::Error;
use crate::group::Group;

use clocks::{Phase, Timing};
use flags::{Flag, Flags};
pub(crate) use local::Local;
use local::OutboxPlace;

/// Bytes a lingering close discards before it gives up on an orderly end.
pub(crate) const LINGER_BYTES_MAX: u32 = 64 * 1024;

/// Tags of a stream's operations.
const RECEIVE: u32 = 0;
const WRITABLE: u32 = 1;

/// One connection.
pub(crate) struct Stream {
    pub(crate) local: Rc<Local>,
    pub(crate) group: Rc<Group>,
    pub(crate) number: u64,
    socket: Socket,
    handles: Cell<u8>,
    id: Cell<Option<SourceId>>,
    state: RefCell<State>,
}

struct State {
    receive: Receive,
    life: Life,
    flags: Flags,
    phase: Phase,
    /// Bytes that came after the end had begun: delivered while draining, or discarded while lingering.
    late_bytes: u32,
    /// Where in the reactor's outbox this stream stands, with what it staged first in this turn.
    outbox: Option<OutboxPlace>,
    /// What went wrong, if anything did.
    trouble: Option<Box<Trouble>>,
    reader: Option<Waker>,
    /// What arrived first and was not taken. More of it waits in `buffers`.
    unread: Option<Chunk>,
    /// Present only while more than one piece is on its way in or out: most connections have none.
    buffers: Option<Box<Buffers>>,
    timing: Timing,
}

// There is one for every connection, however idle: with what surrounds it in an `Rc` it fits an allocation of 192 bytes.
const _: () = assert!(size_of::<Stream>() <= 160);

/// Why nothing more can be read or written.
#[derive(Default)]
struct Trouble {
    read: Option<Error>,
    write: Option<Error>,
}

/// Bytes on their way, and who waits for them to go.
#[derive(Default)]
struct Buffers {
    /// What arrived after the stream's `unread`.
    unread: VecDeque<Chunk>,
    /// Memory pinned by `unread`.
    unread_pinned: usize,
    unsent: VecDeque<Payload>,
    /// Bytes in `unsent`.
    unsent_bytes: usize,
    writable: Option<Key>,
    writer: Option<Waker>,
    /// Since when the kernel has taken nothing, while `writable` is awaited.
    write_since: Instant,
}

impl Buffers {
    fn is_empty(&self) -> bool {
        self.unread.is_empty() && self.unsent.is_empty() && self.writable.is_none() && self.writer.is_none()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Receive {
    Idle,
    Armed(Key),
    Cancelling(Key),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    Open,
    Closing,
    Lingering,
    Finishing,
    Closed,
}

impl Stream {
    /// Takes over a connected socket. `receive_at_once`: input is expected, so a receive is armed now.
    pub(crate) fn open(
        local: &Rc<Local>,
        group: &Rc<Group>,
        socket: Socket,
        receive_at_once: bool,
    ) -> Rc<Self> {
        let stream = Rc::new(Self {
            local: local.clone(),
            group: group.clone(),
            number: local.numbers.next(),
            socket,
            handles: Cell::new(0),
            id: Cell::new(None),
            state: RefCell::new(State {
                receive: Receive::Idle,
                life: Life::Open,
                flags: Flags::default(),
                phase: Phase::Setup,
                late_bytes: 0,
                outbox: None,
                trouble: None,
                reader: None,
                unread: None,
                buffers: None,
                timing: Timing::starting(local.reactor.now()),
            }),
        });
        stream.id.set(Some(local.reactor.register(stream.clone())));
        local.counters.connections_opened.increment();
        local.counters.connections_open.add(1);
        group.opened();
        if receive_at_once {
            stream.arm_receive(&mut stream.state.borrow_mut());
        }
        stream
    }

    pub(crate) fn reactor(&self) -> &Reactor {
        &self.local.reactor
    }

    /// Anything but bytes for an open connection.
    #[inline(never)]
    fn on_event(&self, state: &mut State, tag: u32, outcome: Outcome, last: bool) {
        if tag == WRITABLE {
            self.on_writable(state, outcome);
        } else {
            self.on_receive(state, outcome, last);
        }
        self.step(state);
    }

    /// What follows from a change, on a connection that is on its way out.
    fn step(&self, state: &mut State) {
        if state.life != Life::Open {
            self.advance_close(state);
        }
    }

    fn id(&self) -> SourceId {
        self.id.get().expect("a live stream is registered")
    }

    fn now(&self) -> Instant {
        self.local.reactor.now()
    }

    fn counters(&self) -> &NetCounters {
        &self.local.counters
    }

    fn buffers<'a>(&self, state: &'a mut State) -> &'a mut Buffers {
        state.buffers.get_or_insert_with(|| self.local.take_buffers())
    }

    /// Gives the buffers back when nothing is in them.
    fn release_buffers(&self, state: &mut State) {
        if state.buffers.as_ref().is_some_and(|buffers| buffers.is_empty()) {
            self.local.keep_buffers(state.buffers.take().expect("just seen"));
        }
    }

    fn wake_reader(state: &mut State) {
        if state.flags.take(Flag::INPUT_AWAITED)
            && let Some(waker) = &state.reader
        {
            waker.wake_by_ref();
        }
    }

    fn wake_writer(state: &mut State) {
        if let Some(waker) = state.buffers.as_mut().and_then(|buffers| buffers.writer.take()) {
            waker.wake();
        }
    }

    /// Has everybody who waits look again.
    pub(crate) fn wake_waiters(&self) {
        let mut state = state_of(self);
        Self::wake_reader(&mut state);
        Self::wake_writer(&mut state);
    }

    pub(crate) fn add_handle(&self) {
        self.handles.set(self.handles.get() + 1);
    }

    /// A handle goes; with the last one the connection closes (with a reset when a panic is under way).
    pub(crate) fn drop_handle(self: &Rc<Self>) {
        let left = self.handles.get() - 1;
        self.handles.set(left);
        // With one half in a task that panics, the peer must not take what the other sent for all there was.
        let resets = left == 0 && self.state.borrow().flags.is(Flag::RESET_ON_CLOSE);
        if resets || std::thread::panicking() {
            self.abort(Error::Aborted);
        }
        if left == 0 {
            self.group.forget_draining(self.number);
            self.close();
        }
    }
}

impl Source for Stream {
    fn complete(self: Rc<Self>, reactor: &Reactor, tag: u32, outcome: Outcome, last: bool) {
        let mut state = self.state.borrow_mut();
        match outcome {
            Outcome::Received(chunk) if state.life == Life::Open => {
                self.on_bytes(&mut state, reactor.now(), chunk);
            }
            outcome => self.on_event(&mut state, tag, outcome, last),
        }
    }

    fn timer(self: Rc<Self>, _reactor: &Reactor) {
        let mut state = self.state.borrow_mut();
        self.on_timer(&mut state);
        self.update_timer(&mut state);
        self.step(&mut state);
    }

    fn review(self: Rc<Self>, _reactor: &Reactor) {
        if self.group.is_cut() {
            self.cut();
        } else if self.group.is_draining() {
            self.start_drain(&mut self.state.borrow_mut());
        }
    }

    fn audit(&self, audit: &mut Audit) {
        Self::audit(self, audit);
    }

    fn story(&self, reactor: &Reactor) -> String {
        let name =
            |end: io::Result<Address>| end.map_or_else(|_| "nowhere".to_owned(), |end| end.to_string());
        let peer = name(reactor.driver(|driver| driver.sockets().peer_address(self.socket)));
        match &self.group.listener {
            Some((_, address)) => format!("connection from {peer} accepted at {address}"),
            None => {
                let local = name(reactor.driver(|driver| driver.sockets().local_address(self.socket)));
                format!("connection of {local} with {peer}")
            }
        }
    }

    fn release(self: Rc<Self>, _reactor: &Reactor) {
        let mut state = self.state.borrow_mut();
        state.receive = Receive::Idle;
        if let Some(buffers) = &mut state.buffers {
            buffers.writable = None;
        }
        if self.unsent_bytes(&state) > 0 {
            // To the peer a FIN would say that this was all.
            self.reset_on_close();
        }
        self.fail(&mut state, Error::Aborted);
        self.close_socket(&mut state);
    }
}

impl State {
    fn read_error(&self) -> Option<Error> {
        self.trouble.as_ref()?.read
    }

    fn write_error(&self) -> Option<Error> {
        self.trouble.as_ref()?.write
    }

    fn trouble(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }
}

/// Submits an operation of this stream.
fn submit(stream: &Stream, tag: u32, op: Op) -> Key {
    stream.reactor().submit(stream.id(), tag, op)
}

/// Borrowing the state twice is a bug of this module, not of its users.
#[inline]
fn state_of(stream: &Stream) -> RefMut<'_, State> {
    stream.state.borrow_mut()
}

/// The errors of an [`Outcome`] that means trouble.
fn failure(outcome: &Outcome) -> Option<Error> {
    match outcome {
        Outcome::Failed(error) => Some(Error::from_io(error)),
        _ => None,
    }
}
