//! A driver under test, and ways to wait for it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use annulet_driver::{
    Address, Chunk, Completion, Domain, Driver, DriverOptions, Key, ListenSpec, Op, Outcome, Payload,
    SendBatch, Socket, Token, Wait,
};

use crate::case::any_port;
use crate::environment::{Environment, PATIENCE, Peer};

/// What a test gives a fault to show itself.
pub(crate) const QUIET: Duration = Duration::from_millis(30);

/// What behaviours common to all streams are shown on.
pub(crate) const DOMAINS: [Domain; 2] = [Domain::V4, Domain::Unix];

/// What passes between two looks at something nobody tells of.
const MOMENT: Duration = Duration::from_millis(1);

/// A driver and the completions it has given that nobody asked for yet.
pub(crate) struct Bench {
    pub driver: Box<dyn Driver>,
    environment: Rc<dyn Environment>,
    waiting: Vec<Completion>,
    next_token: u64,
}

impl Bench {
    pub(crate) fn new(environment: Rc<dyn Environment>, options: &DriverOptions) -> Self {
        let driver = environment.open_driver(options);
        Self { driver, environment, waiting: Vec::new(), next_token: 0 }
    }

    pub(crate) fn submit(&mut self, op: Op) -> Key {
        self.next_token += 1;
        self.driver.submit(Token(self.next_token), op)
    }

    pub(crate) fn receive(&mut self, socket: Socket) -> Key {
        self.submit(Op::Receive { socket })
    }

    pub(crate) fn accept(&mut self, listener: Socket) -> Key {
        self.submit(Op::Accept { listener })
    }

    /// What was completed and nobody has asked for.
    pub(crate) fn take_waiting(&mut self) -> Vec<Completion> {
        std::mem::take(&mut self.waiting)
    }

    pub(crate) fn turn(&mut self, wait: Wait) {
        self.driver.turn(wait, &mut self.waiting).expect("turn");
    }

    /// The next completion of an operation.
    pub(crate) fn next(&mut self, key: Key) -> Completion {
        let deadline = self.driver.clock() + PATIENCE;
        loop {
            if let Some(index) = self.waiting.iter().position(|completion| completion.key == key) {
                return self.waiting.remove(index);
            }
            assert!(self.driver.clock() < deadline, "nothing for {key:?}; others: {:?}", self.waiting);
            self.turn(Wait::Until(Some(deadline)));
        }
    }

    /// All completions of an operation up to the last.
    pub(crate) fn all(&mut self, key: Key) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        loop {
            let completion = self.next(key);
            outcomes.push(completion.outcome);
            if completion.last {
                return outcomes;
            }
        }
    }

    pub(crate) fn next_chunk(&mut self, key: Key) -> Chunk {
        match self.next(key) {
            Completion { outcome: Outcome::Received(chunk), last: false, .. } => chunk,
            other => panic!("{other:?} instead of bytes"),
        }
    }

    /// The next `length` bytes of a receive, and no more.
    pub(crate) fn next_bytes(&mut self, key: Key, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next_chunk(key));
        }
        assert_eq!(bytes.len(), length);
        bytes
    }

    pub(crate) fn next_socket(&mut self, key: Key) -> Socket {
        match self.next(key) {
            Completion { outcome: Outcome::Accepted(socket), last: false, .. } => socket,
            other => panic!("{other:?} instead of a connection"),
        }
    }

    /// The errno an operation ends with.
    pub(crate) fn next_errno(&mut self, key: Key) -> i32 {
        match self.next(key) {
            Completion { outcome: Outcome::Failed(error), last: true, .. } => {
                error.raw_os_error().expect("an errno")
            }
            other => panic!("{other:?} instead of a failure"),
        }
    }

    /// Ends an operation; what it came to since.
    pub(crate) fn cancel(&mut self, key: Key) -> Vec<Outcome> {
        self.driver.cancel(key);
        self.all(key)
    }

    /// Takes turns for a while and returns how many that were.
    pub(crate) fn idle(&mut self) -> usize {
        let deadline = self.driver.clock() + QUIET;
        let mut turns = 0;
        while self.driver.clock() < deadline {
            self.turn(Wait::Until(Some(deadline)));
            turns += 1;
        }
        turns
    }

    /// True when an operation does not complete for a while. Counts the turns that took.
    pub(crate) fn is_quiet(&mut self, key: Key, turns: &mut usize) -> bool {
        *turns += self.idle();
        !self.waiting.iter().any(|completion| completion.key == key)
    }

    /// Asserts that an operation does not complete for a while, and returns the number of turns that took.
    pub(crate) fn assert_quiet(&mut self, key: Key) -> usize {
        let turns = self.idle();
        let found = self.waiting.iter().find(|completion| completion.key == key);
        assert!(found.is_none(), "{found:?}");
        turns
    }

    /// Lets a moment pass while the driver does not turn.
    pub(crate) fn pause(&self) {
        self.environment.pass(MOMENT);
    }

    /// Asks again and again, without turning, until there is an answer.
    pub(crate) fn until<T>(&mut self, mut ask: impl FnMut(&mut dyn Driver) -> Option<T>) -> T {
        let deadline = self.driver.clock() + PATIENCE;
        loop {
            if let Some(answer) = ask(&mut *self.driver) {
                return answer;
            }
            assert!(self.driver.clock() < deadline, "no answer");
            self.pause();
        }
    }

    /// Sends a byte after the other until the connection says why it takes no more.
    pub(crate) fn errno_of_sending(&mut self, socket: Socket) -> Option<i32> {
        self.until(|driver| driver.try_send(socket, b"x").err()).raw_os_error()
    }

    /// What a direct receive says when there is something to say.
    pub(crate) fn try_receive(&mut self, socket: Socket) -> io::Result<Option<Chunk>> {
        self.until(|driver| unless_it_would_block(driver.try_receive(socket)))
    }

    /// A listener on a port of the kernel's choice.
    pub(crate) fn listen(&mut self) -> (Socket, SocketAddr) {
        let (listener, address) = self.driver.sockets().listen(&local_spec()).expect("listen");
        (listener, address.as_tcp().expect("tcp"))
    }

    /// Takes what waits in a listener's queue.
    pub(crate) fn drain(&mut self, listener: Socket) -> Vec<Socket> {
        let mut sockets = Vec::new();
        loop {
            match self.driver.sockets().try_accept(listener) {
                Ok(socket) => sockets.push(socket),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return sockets,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Starts to connect a fresh socket.
    pub(crate) fn connect(&mut self, address: Address) -> (Socket, Key) {
        let socket = self.driver.sockets().open(address.domain()).expect("open");
        (socket, self.submit(Op::Connect { socket, address }))
    }

    /// A TCP connection: the driver's end and its peer.
    pub(crate) fn tcp_pair(&mut self) -> (Socket, Box<dyn Peer>) {
        self.pair(Domain::V4)
    }

    /// The same with Unix sockets. Their buffers make room only when the peer reads; those of TCP also when a delayed
    /// acknowledgement or a larger window comes, a while after a send was refused.
    pub(crate) fn unix_pair(&mut self) -> (Socket, Box<dyn Peer>) {
        self.pair(Domain::Unix)
    }

    pub(crate) fn pair(&mut self, domain: Domain) -> (Socket, Box<dyn Peer>) {
        self.environment.pair(&mut *self.driver, domain)
    }

    pub(crate) fn send_all(&mut self, socket: Socket, bytes: &[u8]) {
        let taken = self.driver.try_send(socket, bytes).expect("send");
        assert_eq!(taken, bytes.len(), "the send buffer is larger than that");
    }

    /// Offers payloads in one turn where the driver has a queue for that, else one after the other; what each came to.
    pub(crate) fn offer(&mut self, sends: Vec<(Socket, Payload)>) -> Vec<io::Result<usize>> {
        if self.driver.send_queue().is_none() {
            let send =
                |(socket, payload): (Socket, Payload)| self.driver.try_send(socket, payload.as_slice());
            return sends.into_iter().map(send).collect();
        }
        let token = Token(u64::MAX);
        for (socket, payload) in sends {
            self.driver.send_queue().expect("just seen").push(token, socket, payload);
        }
        let mut completions = Vec::new();
        self.driver.turn(Wait::Poll, &mut completions).expect("turn");
        let first = completions.remove(0);
        assert!(
            matches!(first, Completion { outcome: Outcome::Sent, last: true, .. }),
            "{first:?} before the results"
        );
        assert_eq!(first.token, token);
        self.waiting.append(&mut completions);
        let mut batch = SendBatch::default();
        self.driver.send_queue().expect("just seen").take_sent(&mut batch);
        let result = |(payload, refusal): (Payload, Option<_>)| refusal.unwrap_or(Ok(payload.len()));
        batch.drain().map(result).collect()
    }

    /// Sends until the buffer is full; returns how many bytes that were.
    pub(crate) fn fill(&mut self, socket: Socket) -> usize {
        let block = [0x55; 16 * 1024];
        let mut total = 0;
        loop {
            match self.driver.try_send(socket, &block) {
                Ok(taken) => total += taken,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    return total;
                }
            }
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let left = self.driver.quiesce(PATIENCE);
        if !std::thread::panicking() {
            assert_eq!(left, 0, "operations the kernel did not give back");
        }
    }
}

pub(crate) fn local_spec() -> ListenSpec {
    ListenSpec { address: any_port(), backlog: 128, share_port: false, v6_only: false }
}

fn unless_it_would_block<T>(result: io::Result<T>) -> Option<io::Result<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        result => Some(result),
    }
}
