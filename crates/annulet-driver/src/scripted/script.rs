//! The test's handle.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::state::State;
use crate::counters::DriverCounters;
use crate::instant::Instant;
use crate::op::{Key, Op, Outcome, Token};
use crate::pool::BufferPool;
use crate::socket::{Address, Socket, SocketOption};

/// What the test knows and decides about a [`ScriptedDriver`](super::ScriptedDriver). Cloning gives another handle on
/// the same script.
#[derive(Clone)]
pub struct Script {
    state: Rc<RefCell<State>>,
    pool: BufferPool,
    counters: Arc<DriverCounters>,
    when_idle: Rc<RefCell<WhenIdle>>,
}

type WhenIdle = Option<Box<dyn FnMut(&Script)>>;

/// An operation in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Its key: what the script's answers name.
    pub key: Key,
    /// What the submitter gave.
    pub token: Token,
    /// What is wanted.
    pub op: Op,
    /// `cancel` was called, and the script holds the cancellation back.
    pub is_cancelled: bool,
}

/// A call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// [`Sockets::open`](crate::Sockets::open).
    Open,
    /// [`Sockets::listen`](crate::Sockets::listen).
    Listen,
    /// [`Sockets::duplicate`](crate::Sockets::duplicate).
    Duplicate,
    /// [`Sockets::try_accept`](crate::Sockets::try_accept).
    TryAccept,
    /// [`Sockets::set_option`](crate::Sockets::set_option).
    SetOption,
    /// [`Sockets::shutdown`](crate::Sockets::shutdown).
    Shutdown,
    /// [`Driver::try_receive`](crate::Driver::try_receive).
    TryReceive,
}

impl Script {
    pub(super) fn new(state: Rc<RefCell<State>>, pool: BufferPool, counters: Arc<DriverCounters>) -> Self {
        Self { state, pool, counters, when_idle: Rc::default() }
    }

    /// Operations that await an answer, oldest first. One whose last completion is queued is no longer among them.
    pub fn submitted(&self) -> Vec<Submitted> {
        self.state.borrow().submitted()
    }

    /// Key of the oldest operation that awaits an answer and equals `op`.
    pub fn find(&self, op: &Op) -> Option<Key> {
        self.submitted().into_iter().find(|submitted| submitted.op == *op).map(|submitted| submitted.key)
    }

    /// Key of the Receive on a socket.
    ///
    /// # Panics
    /// When there is none. So do the four below.
    #[track_caller]
    pub fn receive_on(&self, socket: Socket) -> Key {
        self.expect(&Op::Receive { socket })
    }

    /// Key of the Accept on a listener.
    #[track_caller]
    pub fn accept_on(&self, listener: Socket) -> Key {
        self.expect(&Op::Accept { listener })
    }

    /// Key of the Writable on a socket.
    #[track_caller]
    pub fn writable_on(&self, socket: Socket) -> Key {
        self.expect(&Op::Writable { socket })
    }

    /// Key of the Connect on a socket, whatever the address.
    #[track_caller]
    pub fn connect_on(&self, wanted: Socket) -> Key {
        let is_it =
            |submitted: &Submitted| matches!(submitted.op, Op::Connect { socket, .. } if socket == wanted);
        match self.submitted().iter().find(|submitted| is_it(submitted)) {
            Some(submitted) => submitted.key,
            None => panic!("no Connect on {wanted:?} in flight: {:#?}", self.submitted()),
        }
    }

    #[track_caller]
    fn expect(&self, op: &Op) -> Key {
        self.find(op).unwrap_or_else(|| panic!("no {op:?} in flight: {:#?}", self.submitted()))
    }

    // Answers. Each is delivered by the next turn, in the order they were given. All panic when the operation has ended
    // or is of another kind.

    /// Bytes arrive, in as many chunks as they need buffers; leases, or heap copies when the pool is short.
    ///
    /// # Panics
    /// Also when `bytes` is empty: that is [`end`](Self::end).
    pub fn received(&self, key: Key, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "a receive never completes with no bytes");
        for part in bytes.chunks(self.pool.buffer_size() as usize) {
            let chunk = self.pool.fill(part).expect("leases never take the whole pool");
            self.state.borrow_mut().complete(key, Outcome::Received(chunk));
        }
    }

    /// The peer finished sending.
    pub fn end(&self, key: Key) {
        self.state.borrow_mut().complete(key, Outcome::End);
    }

    /// A connection is accepted, from a peer at an address nobody else has.
    pub fn accepted(&self, key: Key) -> Socket {
        let listener = self.submitted().into_iter().find(|submitted| submitted.key == key);
        let Some(Submitted { op: Op::Accept { listener }, .. }) = listener else {
            panic!("{key:?} is no Accept in flight");
        };
        let mut state = self.state.borrow_mut();
        let socket = state.new_connection(listener);
        self.counters.sockets_opened.increment();
        state.complete(key, Outcome::Accepted(socket));
        socket
    }

    /// A send buffer has room. (Raise [`send_capacity`](Self::send_capacity) before, or the next send finds none.)
    pub fn writable(&self, key: Key) {
        self.state.borrow_mut().complete(key, Outcome::Writable);
    }

    /// A connection is established.
    pub fn connected(&self, key: Key) {
        self.state.borrow_mut().complete(key, Outcome::Connected);
    }

    /// A signal arrives.
    pub fn signal(&self, key: Key, number: i32) {
        self.state.borrow_mut().complete(key, Outcome::Signal(number));
    }

    /// The operation fails with an errno, such as `libc::ECONNRESET`.
    pub fn fail(&self, key: Key, errno: i32) {
        self.state.borrow_mut().complete(key, Outcome::Failed(io::Error::from_raw_os_error(errno)));
    }

    /// From now on cancelling an operation does nothing until [`release`](Self::release), as if the kernel were slow;
    /// it may still be answered otherwise meanwhile. `false` returns to immediate answers, without releasing any.
    pub fn hold_cancellations(&self, hold: bool) {
        self.state.borrow_mut().hold_cancellations = hold;
    }

    /// A cancellation that was held back takes effect.
    ///
    /// # Panics
    /// When nobody cancelled the operation.
    pub fn release(&self, key: Key) {
        let is_cancelled =
            self.submitted().iter().any(|submitted| submitted.key == key && submitted.is_cancelled);
        assert!(is_cancelled, "{key:?} was not cancelled");
        self.state.borrow_mut().complete(key, Outcome::Cancelled);
    }

    // Streams.

    /// How many more bytes `try_send` takes on this socket; then it would block. Without a call there is no limit.
    pub fn send_capacity(&self, socket: Socket, bytes: usize) {
        self.state.borrow_mut().socket(socket).capacity = Some(bytes);
    }

    /// Every further `try_send` on this socket fails with an errno.
    pub fn fail_sends(&self, socket: Socket, errno: i32) {
        self.state.borrow_mut().socket(socket).send_error = Some(errno);
    }

    /// Everything `try_send` has taken on this socket since the last [`take_sent`](Self::take_sent).
    pub fn sent(&self, socket: Socket) -> Vec<u8> {
        self.state.borrow_mut().socket(socket).sent.clone()
    }

    /// The same, and forgets it.
    pub fn take_sent(&self, socket: Socket) -> Vec<u8> {
        std::mem::take(&mut self.state.borrow_mut().socket(socket).sent)
    }

    /// How often `try_send` was called on this socket, refusals included.
    pub fn sends(&self, socket: Socket) -> usize {
        self.state.borrow_mut().socket(socket).sends
    }

    /// Bytes for one `try_receive`.
    pub fn queue_bytes(&self, socket: Socket, bytes: &[u8]) {
        self.state.borrow_mut().socket(socket).incoming.push_back(Some(bytes.to_vec()));
    }

    /// The end of the stream, for `try_receive`.
    pub fn queue_end(&self, socket: Socket) {
        self.state.borrow_mut().socket(socket).incoming.push_back(None);
    }

    /// A connection for `try_accept`.
    pub fn queue_connection(&self, listener: Socket) -> Socket {
        let mut state = self.state.borrow_mut();
        let socket = state.new_connection(listener);
        state.socket(listener).connections.push_back(socket);
        socket
    }

    /// The next such call fails with an errno. Several orders for one call are used up one after the other.
    pub fn fail_next(&self, call: Call, errno: i32) {
        self.state.borrow_mut().failures.push_back((call, errno));
    }

    /// Gives a socket's peer another address.
    pub fn set_peer_address(&self, socket: Socket, address: Option<Address>) {
        self.state.borrow_mut().socket(socket).peer = address;
    }

    // Records.

    /// Options set on a socket, in order.
    pub fn options(&self, socket: Socket) -> Vec<SocketOption> {
        self.state.borrow_mut().socket(socket).options.clone()
    }

    /// Shutdowns of a socket, in order.
    pub fn shutdowns(&self, socket: Socket) -> Vec<Shutdown> {
        self.state.borrow_mut().socket(socket).shutdowns.clone()
    }

    /// True once a socket is closed.
    pub fn is_closed(&self, socket: Socket) -> bool {
        self.state.borrow_mut().socket(socket).is_closed
    }

    /// Sockets that were opened, accepted or adopted and not closed: none may be left when a test ends.
    pub fn open_sockets(&self) -> Vec<Socket> {
        self.state.borrow().open_sockets()
    }

    /// The driver's pool.
    pub fn pool(&self) -> &BufferPool {
        &self.pool
    }

    // Time.

    /// What the clock shows.
    pub fn clock(&self) -> Instant {
        self.state.borrow().clock()
    }

    /// Moves the clock.
    pub fn advance(&self, time: Duration) {
        self.state.borrow_mut().advance(time);
    }

    /// How much time each [`Driver::clock`](crate::Driver::clock) takes, for code that waits by reading the clock in
    /// a loop. Zero unless set.
    pub fn set_clock_step(&self, step: Duration) {
        self.state.borrow_mut().clock_step = step;
    }

    /// Calls `answer` whenever the driver is about to sleep with nothing to deliver, so that a test that blocks in the
    /// runtime can still play the peer. What it queues is delivered instead of sleeping.
    pub fn when_idle(&self, answer: impl FnMut(&Script) + 'static) {
        self.when_idle.replace(Some(Box::new(answer)));
    }

    pub(super) fn call_when_idle(&self) {
        // Taken out for the call, so that it may replace itself.
        let Some(mut answer) = self.when_idle.take() else { return };
        answer(self);
        self.when_idle.borrow_mut().get_or_insert(answer);
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("submitted", &self.submitted()).finish_non_exhaustive()
    }
}
