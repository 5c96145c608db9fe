//! What every test uses: a driver of one kind, and ways to wait for it.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use annulet_driver::{
    Address, Chunk, Completion, Driver, DriverChoice, DriverOptions, Key, ListenSpec, Op, Outcome, Payload,
    SendBatch, Socket, Token, Wait, select,
};

/// What a test gives the kernel before it gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What a test gives a fault to show itself.
pub(crate) const QUIET: Duration = Duration::from_millis(30);

/// Names a child process that runs one test alone.
const ALONE: &str = "ANNULET_CONFORMANCE_ALONE";

/// Defines each test once and has it run on each driver.
macro_rules! on_each_driver {
    ($($(#[$doc:meta])* fn $name:ident($case:ident) $body:block)*) => {
        $($(#[$doc])* fn $name($case: &$crate::case::Case) $body)*

        mod epoll {
            $(#[test] fn $name() {
                let path = concat!(module_path!(), "::", stringify!($name));
                $crate::case::run(annulet_driver::DriverChoice::Epoll, path, super::$name);
            })*
        }

        mod uring {
            $(#[test] fn $name() {
                let path = concat!(module_path!(), "::", stringify!($name));
                $crate::case::run(annulet_driver::DriverChoice::Uring, path, super::$name);
            })*
        }
    };
}
pub(crate) use on_each_driver;

/// One test on one driver.
pub(crate) struct Case {
    choice: DriverChoice,
    path: &'static str,
}

pub(crate) fn run(choice: DriverChoice, path: &'static str, test: fn(&Case)) {
    if let Err(reason) = select(choice, &DriverOptions::default()) {
        eprintln!("not tested on io_uring: {path}: {reason}");
        return;
    }
    test(&Case { choice, path });
}

impl Case {
    pub(crate) fn open(&self) -> Bench {
        self.open_with(DriverOptions::default())
    }

    pub(crate) fn open_with(&self, options: DriverOptions) -> Bench {
        let selection = select(self.choice, &options).expect("available a moment ago");
        Bench { driver: selection.open().expect("a driver"), waiting: Vec::new(), next_token: 0 }
    }

    /// Runs `test` in a process of its own, where limits and descriptors are nobody else's.
    pub(crate) fn alone(&self, test: impl FnOnce()) {
        if std::env::var_os(ALONE).is_some() {
            return test();
        }
        let (_, name) = self.path.split_once("::").expect("crate::module::test");
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args([name, "--exact", "--nocapture", "--test-threads=1"])
            .env(ALONE, "1")
            .output()
            .expect("a child process");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "alone:\n{text}");
    }
}

/// A driver and the completions it has given that nobody asked for yet.
pub(crate) struct Bench {
    pub driver: Box<dyn Driver>,
    waiting: Vec<Completion>,
    next_token: u64,
}

impl Bench {
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

    /// A listener on a port of the kernel's choice.
    pub(crate) fn listen(&mut self) -> (Socket, SocketAddr) {
        let (listener, address) = self.driver.sockets().listen(&local_spec()).expect("listen");
        (listener, address.as_tcp().expect("tcp"))
    }

    /// A TCP connection: the driver's end and a blocking peer.
    pub(crate) fn tcp_pair(&mut self) -> (Socket, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let peer = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        peer.set_read_timeout(Some(PATIENCE)).expect("timeout");
        peer.set_write_timeout(Some(PATIENCE)).expect("timeout");
        let (ours, _) = listener.accept().expect("accept");
        (self.driver.sockets().adopt(ours.into()), peer)
    }

    /// The same with Unix sockets. Their buffers make room only when the peer reads; those of TCP also when a delayed
    /// acknowledgement or a larger window comes, a while after a send was refused.
    pub(crate) fn unix_pair(&mut self) -> (Socket, UnixStream) {
        let (ours, peer) = UnixStream::pair().expect("pair");
        peer.set_read_timeout(Some(PATIENCE)).expect("timeout");
        (self.driver.sockets().adopt(ours.into()), peer)
    }

    pub(crate) fn send_all(&mut self, socket: Socket, bytes: &[u8]) {
        let taken = self.driver.try_send(socket, bytes).expect("send");
        assert_eq!(taken, bytes.len(), "the send buffer is larger than that");
    }

    /// Offers payloads in one turn where the driver has a queue for that, else one after the other; what each came to.
    pub(crate) fn offer(&mut self, sends: Vec<(Socket, Payload)>) -> Vec<std::io::Result<usize>> {
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
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
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
    ListenSpec {
        address: Address::Tcp((Ipv4Addr::LOCALHOST, 0).into()),
        backlog: 128,
        share_port: false,
        v6_only: false,
    }
}

/// Resets a connection instead of closing it.
pub(crate) fn reset(peer: TcpStream) {
    let socket = socket2::Socket::from(peer);
    socket.set_linger(Some(Duration::ZERO)).expect("linger");
}

/// Reads until the end.
pub(crate) fn read_to_end(mut peer: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).expect("read");
    bytes
}

/// Bytes whose order shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index ^ (index >> 8) ^ (index >> 16)) as u8).collect()
}
