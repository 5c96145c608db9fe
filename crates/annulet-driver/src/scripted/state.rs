//! What driver and script share.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::time::Duration;

use super::script::{Call, Submitted};
use crate::instant::Instant;
use crate::op::{Completion, Key, Op, Outcome, Token};
use crate::slots::Slots;
use crate::socket::{Address, Socket, SocketOption};

/// Where the clock starts: not at zero, so that code that confuses zero with "never" shows.
pub(super) const START: Instant = Instant::from_nanos(1_000_000_000);

/// Number of the first socket; far from real descriptors, so that confusing the two shows.
const FIRST_SOCKET: i32 = 1000;

#[derive(Debug)]
pub(super) struct State {
    clock: Instant,
    pub(super) clock_step: Duration,
    operations: Slots<Operation>,
    /// Operations in flight, oldest first.
    order: Vec<Key>,
    queued: VecDeque<Completion>,
    sockets: BTreeMap<i32, SocketState>,
    next_socket: i32,
    next_port: u16,
    pub(super) hold_cancellations: bool,
    pub(super) failures: VecDeque<(Call, i32)>,
    random: u64,
}

#[derive(Debug)]
struct Operation {
    token: Token,
    op: Op,
    is_cancelled: bool,
    /// Its last completion is queued.
    has_ended: bool,
}

/// What is known of one socket.
#[derive(Debug, Default)]
pub(super) struct SocketState {
    pub(super) local: Option<Address>,
    pub(super) peer: Option<Address>,
    pub(super) sent: Vec<u8>,
    pub(super) sends: usize,
    /// Bytes the send buffer still takes; `None` is any number.
    pub(super) capacity: Option<usize>,
    pub(super) send_error: Option<i32>,
    /// For `try_receive`; `None` in the queue is the end.
    pub(super) incoming: VecDeque<Option<Vec<u8>>>,
    /// For `try_accept`.
    pub(super) connections: VecDeque<Socket>,
    pub(super) options: Vec<SocketOption>,
    pub(super) shutdowns: Vec<Shutdown>,
    pub(super) is_closed: bool,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            clock: START,
            clock_step: Duration::ZERO,
            operations: Slots::new(),
            order: Vec::new(),
            queued: VecDeque::new(),
            sockets: BTreeMap::new(),
            next_socket: FIRST_SOCKET,
            next_port: 40_000,
            hold_cancellations: false,
            failures: VecDeque::new(),
            // xorshift stays at zero for ever.
            random: seed.max(1),
        }
    }

    // Time.

    pub(super) fn clock(&self) -> Instant {
        self.clock
    }

    pub(super) fn read_clock(&mut self) -> Instant {
        self.clock += self.clock_step;
        self.clock
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.clock += time;
    }

    pub(super) fn sleep_until(&mut self, deadline: Instant) {
        self.clock = self.clock.max(deadline);
    }

    // Operations.

    pub(super) fn submit(&mut self, token: Token, op: Op) -> Key {
        if let Some(socket) = socket_of(&op) {
            let same_side = self
                .on_socket(socket)
                .any(|other| !other.is_cancelled && !other.has_ended && reads(&other.op) == reads(&op));
            assert!(!same_side, "{op:?} while an operation of the same direction is in flight");
            let state = self.open_socket(socket);
            if let Op::Connect { address, .. } = &op {
                state.peer = Some(address.clone());
            }
        }
        let key = self.operations.insert(Operation { token, op, is_cancelled: false, has_ended: false });
        self.order.push(key);
        key
    }

    pub(super) fn cancel(&mut self, key: Key) {
        let Some(operation) = self.operations.get_mut(key) else { return };
        if operation.is_cancelled || operation.has_ended {
            return;
        }
        operation.is_cancelled = true;
        if !self.hold_cancellations {
            self.complete(key, Outcome::Cancelled);
        }
    }

    pub(super) fn cancel_all(&mut self) {
        for key in self.order.clone() {
            self.cancel(key);
        }
    }

    /// Queues a completion; whether it is the last follows from what it is.
    pub(super) fn complete(&mut self, key: Key, outcome: Outcome) {
        let Some(operation) = self.operations.get_mut(key) else {
            panic!("{outcome:?} for {key:?}, which is not in flight");
        };
        let last = is_last(&operation.op, &outcome);
        assert!(!operation.has_ended, "{outcome:?} for {key:?}, which has ended already");
        operation.has_ended = last;
        let token = operation.token;
        self.queued.push_back(Completion { token, key, outcome, last });
    }

    pub(super) fn has_queued(&self) -> bool {
        !self.queued.is_empty()
    }

    pub(super) fn deliver(&mut self, completions: &mut Vec<Completion>) {
        for completion in self.queued.drain(..) {
            if completion.last {
                self.operations.remove(completion.key);
                self.order.retain(|key| *key != completion.key);
            }
            completions.push(completion);
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.operations.len()
    }

    pub(super) fn submitted(&self) -> Vec<Submitted> {
        let describe = |key: &Key| {
            let operation = self.operations.get(*key)?;
            (!operation.has_ended).then(|| Submitted {
                key: *key,
                token: operation.token,
                op: operation.op.clone(),
                is_cancelled: operation.is_cancelled,
            })
        };
        self.order.iter().filter_map(describe).collect()
    }

    fn on_socket(&self, socket: Socket) -> impl Iterator<Item = &Operation> {
        let operations = self.order.iter().filter_map(|key| self.operations.get(*key));
        operations.filter(move |operation| socket_of(&operation.op) == Some(socket))
    }

    // Sockets.

    pub(super) fn new_socket(&mut self, local: Option<Address>, peer: Option<Address>) -> Socket {
        let number = self.next_socket;
        self.next_socket += 1;
        self.sockets.insert(number, SocketState { local, peer, ..SocketState::default() });
        Socket::from_raw(number)
    }

    /// A connection as a listener would accept it.
    pub(super) fn new_connection(&mut self, listener: Socket) -> Socket {
        let local = self.socket(listener).local.clone();
        let peer = Address::Tcp(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), self.new_port())));
        self.new_socket(local, Some(peer))
    }

    pub(super) fn new_port(&mut self) -> u16 {
        self.next_port = self.next_port.checked_add(1).unwrap_or(40_000);
        self.next_port
    }

    /// A socket that may be closed: for the script.
    pub(super) fn socket(&mut self, socket: Socket) -> &mut SocketState {
        self.sockets.get_mut(&socket.as_raw()).unwrap_or_else(|| panic!("{socket:?} never existed"))
    }

    /// A socket that is used.
    pub(super) fn open_socket(&mut self, socket: Socket) -> &mut SocketState {
        let state = self.socket(socket);
        assert!(!state.is_closed, "{socket:?} is used after it was closed");
        state
    }

    pub(super) fn close(&mut self, socket: Socket) {
        let in_flight: Vec<_> = self.on_socket(socket).map(|operation| operation.op.clone()).collect();
        assert!(in_flight.is_empty(), "{socket:?} is closed with {in_flight:?} in flight");
        self.open_socket(socket).is_closed = true;
    }

    pub(super) fn open_sockets(&self) -> Vec<Socket> {
        let open = self.sockets.iter().filter(|(_, state)| !state.is_closed);
        open.map(|(number, _)| Socket::from_raw(*number)).collect()
    }

    /// The failure the script ordered for this call, if it is the next in line.
    pub(super) fn check(&mut self, call: Call) -> io::Result<()> {
        let Some(index) = self.failures.iter().position(|(ordered, _)| *ordered == call) else {
            return Ok(());
        };
        let (_, errno) = self.failures.remove(index).expect("just found");
        Err(io::Error::from_raw_os_error(errno))
    }

    /// xorshift64*: the same bytes for the same seed.
    pub(super) fn entropy(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.random ^= self.random >> 12;
            self.random ^= self.random << 25;
            self.random ^= self.random >> 27;
            let word = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

impl SocketState {
    pub(super) fn send(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.sends += 1;
        if let Some(errno) = self.send_error {
            return Err(io::Error::from_raw_os_error(errno));
        }
        if self.shutdowns.iter().any(|how| *how != Shutdown::Read) {
            return Err(io::Error::from_raw_os_error(libc::EPIPE));
        }
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let taken = total.min(self.capacity.unwrap_or(usize::MAX));
        if taken == 0 && total > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(capacity) = &mut self.capacity {
            *capacity -= taken;
        }
        self.sent.extend(slices.iter().flat_map(|slice| slice.iter()).take(taken));
        Ok(taken)
    }

    pub(super) fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.incoming.front() {
            None => Err(io::ErrorKind::WouldBlock.into()),
            // The end stays: it can be read again and again.
            Some(None) => Ok(None),
            Some(Some(_)) => Ok(self.incoming.pop_front().expect("just seen")),
        }
    }
}

fn socket_of(op: &Op) -> Option<Socket> {
    match op {
        Op::Accept { listener: socket }
        | Op::Receive { socket }
        | Op::Writable { socket }
        | Op::Connect { socket, .. } => Some(*socket),
        Op::Signal { .. } => None,
    }
}

/// Which of a socket's two directions an operation occupies.
fn reads(op: &Op) -> bool {
    matches!(op, Op::Accept { .. } | Op::Receive { .. })
}

/// The table in [`Op`]'s documentation.
fn is_last(op: &Op, outcome: &Outcome) -> bool {
    match (op, outcome) {
        (Op::Accept { .. }, Outcome::Accepted(_))
        | (Op::Receive { .. }, Outcome::Received(_))
        | (Op::Signal { .. }, Outcome::Signal(_)) => false,
        (_, Outcome::Failed(_) | Outcome::Cancelled)
        | (Op::Receive { .. }, Outcome::End)
        | (Op::Writable { .. }, Outcome::Writable)
        | (Op::Connect { .. }, Outcome::Connected) => true,
        (op, outcome) => panic!("{outcome:?} is no answer to {op:?}"),
    }
}
