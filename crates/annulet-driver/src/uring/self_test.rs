//! A short proof, at selection, that a ring behaves.
//!
//! Versions say little: features are back-ported, broken and blocked one by one. So everything the driver relies on is
//! tried, on sockets of this process, in well under a millisecond: every step must end within [`trial::PATIENCE`], and what it
//! brings is compared with what must come. The steps stand in the order of [`run`].

mod trial;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use io_uring::opcode;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use self::trial::{BUFFER_SIZE, BUFFERS, Trial, doing, require};
use super::ladder::Rung;
use super::memory::with_memory;
use super::ring::Ring;
use super::traits::Traits;
use super::watch::Watch;
use super::{entry, refusal};
use crate::driver::Wait;
use crate::kernel::{Queues, RoomWatch};
use crate::sys::{self, WakeFd};

/// Why a rung is not used.
pub(super) struct Refusal {
    pub(super) reason: String,
    /// No other rung can do better.
    pub(super) is_final: bool,
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self { reason, is_final: false }
    }
}

/// Proves a rung.
pub(super) fn run(rung: Rung) -> Result<Traits, Refusal> {
    let ring = with_memory(|| Ring::new(rung, 8, 64, true)).map_err(|error| Refusal {
        reason: refusal::describe("io_uring_setup", &error),
        is_final: refusal::is_final(&error),
    })?;
    let mut trial = Trial::new(ring)?;
    let mut traits = Traits {
        registered_ring: trial.ring.is_registered(),
        no_iowait: trial.ring.has_no_iowait(),
        ..Traits::default()
    };
    trial.opcodes()?;
    trial.nop()?;
    traits.absolute_timeout = trial.timeout()?;
    trial.register_buffers()?;
    trial.receive()?;
    traits.unix_end = trial.end()?;
    trial.starve()?;
    traits.receive_cap = trial.cap()?;
    trial.accept_and_connect()?;
    trial.wake()?;
    trial.watch()?;
    traits.quiet_sends = trial.send()?;
    Ok(traits)
}

impl Trial {
    fn opcodes(&mut self) -> Result<(), String> {
        let probe = self.ring.probe().map_err(doing("io_uring_register (probe)"))?;
        for (name, code) in OPCODES {
            require(probe.is_supported(*code), name)?;
        }
        Ok(())
    }

    fn nop(&mut self) -> Result<(), String> {
        let key = self.key();
        self.staged.push_back(entry::nop(key));
        let seen = self.take_one()?;
        require(seen.key.slot == key.slot && seen.result == 0, "a no-op did not complete")
    }

    /// A wait ends at its deadline. True when the kernel takes the deadline itself.
    fn timeout(&mut self) -> Result<bool, String> {
        const SHORT: Duration = Duration::from_micros(20);
        let deadline = sys::monotonic_now() + SHORT;
        match self.ring.enter(Wait::Until(Some(deadline))) {
            Ok(_) => {
                require(sys::monotonic_now() >= deadline, "an absolute timeout ended too early")?;
                Ok(true)
            }
            Err(_) => {
                self.ring.forgo_absolute_timeout();
                let deadline = sys::monotonic_now() + SHORT;
                self.ring
                    .enter(Wait::Until(Some(deadline)))
                    .map_err(doing("io_uring_enter with a timeout"))?;
                require(sys::monotonic_now() >= deadline, "a timeout ended too early")?;
                Ok(false)
            }
        }
    }

    /// Multishot receive: one arming brings several arrivals, shown in shared memory before anything enters the kernel,
    /// and ends when cancelled.
    fn receive(&mut self) -> Result<(), String> {
        let (mut near, far) = UnixStream::pair().map_err(doing("socketpair"))?;
        let key = self.key();
        self.staged.push_back(entry::receive(key, far.as_raw_fd(), 0));
        self.enter(Wait::Poll)?;
        for message in ["first", "second"] {
            near.write_all(message.as_bytes()).map_err(doing("write"))?;
            require(
                self.ring.wants_entering() || self.ring.has_completions(),
                "the ring's flags do not show that work is waiting",
            )?;
            let seen = self.take_one()?;
            require(seen.result != -libc::EINVAL, "multishot receive is not known to this kernel")?;
            require(seen.key.slot == key.slot && seen.more(), "a multishot receive ended after one arrival")?;
            require(self.bytes(seen)? == message.as_bytes(), "a receive brought other bytes than were sent")?;
        }
        self.publish();
        self.cancel(key, "a cancelled receive did not end")
    }

    /// The end of a stream arrives with the last bytes. False when it is lost.
    fn end(&mut self) -> Result<bool, String> {
        let (mut near, far) = UnixStream::pair().map_err(doing("socketpair"))?;
        let key = self.key();
        self.staged.push_back(entry::receive(key, far.as_raw_fd(), 0));
        self.enter(Wait::Poll)?;
        near.write_all(b"last").map_err(doing("write"))?;
        near.shutdown(Shutdown::Write).map_err(doing("shutdown"))?;
        // Both are there now: what does not show within the same entry into the kernel, or the next, never will.
        self.enter(Wait::Poll)?;
        self.enter(Wait::Poll)?;
        let seen = self.take_present();
        let [first, rest @ ..] = seen.as_slice() else {
            return Err("self-test: nothing was received".into());
        };
        require(self.bytes(*first)? == b"last", "the last bytes of a stream are others than were sent")?;
        self.publish();
        if let [end] = rest {
            require(end.result == 0 && !end.more(), "the end of a stream is not told as such")?;
            return Ok(true);
        }
        require(rest.is_empty(), "more completions than a stream explains")?;
        if first.more() {
            self.cancel(key, "a cancelled receive did not end")?;
        }
        Ok(false)
    }

    /// Without a buffer a receive ends with ENOBUFS, loses nothing, and goes on when armed again.
    fn starve(&mut self) -> Result<(), String> {
        const SENT: usize = (BUFFERS * BUFFER_SIZE + 100) as usize;
        let (mut near, far) = UnixStream::pair().map_err(doing("socketpair"))?;
        near.write_all(&[7; SENT]).map_err(doing("write"))?;
        let (key, mut received) = (self.key(), 0);
        for round in 0..2 {
            self.staged.push_back(entry::receive(key, far.as_raw_fd(), 0));
            let expected = if round == 0 { BUFFERS as usize + 1 } else { 1 };
            for seen in self.take(expected)? {
                if seen.result == -libc::ENOBUFS {
                    require(!seen.more() && round == 0, "ENOBUFS at the wrong time")?;
                } else {
                    received += self.bytes(seen)?.len();
                }
            }
            self.publish();
        }
        require(received == SENT, "bytes were lost when buffers ran out")?;
        self.cancel(key, "a cancelled receive did not end")
    }

    /// True when a multishot receive can be armed for a number of bytes.
    fn cap(&mut self) -> Result<bool, String> {
        let (mut near, far) = UnixStream::pair().map_err(doing("socketpair"))?;
        near.write_all(&[7; 2 * BUFFER_SIZE as usize]).map_err(doing("write"))?;
        let key = self.key();
        self.staged.push_back(entry::receive(key, far.as_raw_fd(), BUFFER_SIZE));
        self.enter(Wait::Poll)?;
        let seen = self.take_present();
        let is_capped = matches!(seen[..], [one] if one.result == BUFFER_SIZE as i32 && !one.more());
        for seen in seen.iter().filter(|seen| seen.result > 0) {
            self.bytes(*seen)?;
        }
        self.publish();
        if seen.last().is_none_or(|last| last.more()) {
            self.cancel(key, "a cancelled receive did not end")?;
        }
        Ok(is_capped)
    }

    /// Multishot accept, and the connects it accepts.
    fn accept_and_connect(&mut self) -> Result<(), String> {
        let listener = listener().map_err(doing("a listening socket"))?;
        let address = listener.local_addr().map_err(doing("getsockname"))?;
        let domain = address.domain();
        self.address = Some(Box::new(address));
        let key = self.key();
        self.staged.push_back(entry::accept(key, listener.as_raw_fd(), libc::SOCK_CLOEXEC));
        self.enter(Wait::Poll)?;
        for _ in 0..2 {
            let mut socket = Socket::new(domain, Type::STREAM, None).map_err(doing("socket"))?;
            let connect = self.key();
            self.connect(connect, &socket);
            for seen in self.take(2)? {
                if seen.key.slot == connect.slot {
                    require(seen.result == 0, "a connect failed")?;
                    continue;
                }
                require(seen.result >= 0 && seen.more(), "a multishot accept ended after one connection")?;
                // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
                let mut accepted = Socket::from(unsafe { OwnedFd::from_raw_fd(seen.result) });
                accepted.write_all(b"?").map_err(doing("write"))?;
                drop(accepted);
            }
            let mut byte = [0];
            socket.read_exact(&mut byte).map_err(doing("read"))?;
            require(byte == *b"?", "what was accepted is not what connected")?;
        }
        self.cancel(key, "a cancelled accept did not end")
    }

    /// Each write to an eventfd wakes, though nobody reads it, and without a write nothing does.
    fn wake(&mut self) -> Result<(), String> {
        let wake = WakeFd::new().map_err(doing("eventfd"))?;
        let key = self.key();
        self.staged.push_back(entry::poll(key, wake.as_raw_fd()));
        self.enter(Wait::Poll)?;
        for _ in 0..2 {
            wake.wake();
            let seen = self.take_one()?;
            require(seen.result > 0 && seen.more(), "a multishot poll of an eventfd ended after one write")?;
            self.enter(Wait::Poll)?;
            require(!self.ring.has_completions(), "a multishot poll tells of one write twice")?;
        }
        self.cancel(key, "a cancelled poll did not end")
    }

    /// The ring hears of events of an epoll instance, again and again.
    fn watch(&mut self) -> Result<(), String> {
        let (near, _far) = UnixStream::pair().map_err(doing("socketpair"))?;
        let mut watch = Watch::new().map_err(doing("epoll_create1"))?;
        let key = self.key();
        self.staged.push_back(entry::poll(key, watch.as_raw_fd()));
        self.enter(Wait::Poll)?;
        for _ in 0..2 {
            watch.add(near.as_raw_fd(), key).map_err(doing("epoll_ctl"))?;
            let seen = self.take_one()?;
            require(seen.result > 0 && seen.more(), "a multishot poll of epoll ended after one event")?;
            let mut reports = 0;
            watch.take(|_| reports += 1);
            require(reports == 1, "epoll did not report room to send")?;
        }
        self.cancel(key, "a cancelled poll did not end")
    }
}

/// What a Unix stream with the smallest send buffer does not take at once.
static MANY: [u8; 16 * 1024] = [7; 16 * 1024];

impl Trial {
    /// True when sends that may not wait are over when the kernel has been entered, whatever comes of them; when those of
    /// which all was taken say nothing, and the others how much was.
    fn send(&mut self) -> Result<bool, String> {
        let (near, mut far) = UnixStream::pair().map_err(doing("socketpair"))?;
        far.set_nonblocking(true).map_err(doing("fcntl"))?;
        SockRef::from(&near).set_send_buffer_size(1).map_err(doing("setsockopt"))?;
        let is_silent = self.offer(&near, &MANY[..100])?.is_none() && take_all(&mut far) == 100;
        let part = self.offer(&near, &MANY)?;
        let is_refused = self.offer(&near, &MANY[..1])? == Some(-libc::EAGAIN);
        let arrived = take_all(&mut far);
        let is_counted = arrived > 0 && arrived < MANY.len() && part == Some(arrived as i32);
        drop(far);
        let is_told = self.offer(&near, &MANY[..1])? == Some(-libc::EPIPE);
        Ok(is_silent && is_counted && is_refused && is_told)
    }

    /// Sends, and takes the result if there is one. The bytes are there for ever, so nothing is left to be done should the
    /// kernel keep the send instead.
    fn offer(&mut self, socket: &UnixStream, bytes: &'static [u8]) -> Result<Option<i32>, String> {
        self.staged.push_back(entry::send(0, socket.as_raw_fd(), bytes));
        self.enter(Wait::Poll)?;
        let seen = self.take_present();
        if seen.is_empty() {
            self.ended_silently();
        }
        require(seen.len() <= 1, "more completions than a send explains")?;
        Ok(seen.first().map(|seen| seen.result))
    }
}

/// Takes what has arrived; returns how many bytes that was.
fn take_all(stream: &mut UnixStream) -> usize {
    let mut bytes = vec![0; 2 * MANY.len()];
    let mut count = 0;
    while let Ok(more @ 1..) = stream.read(&mut bytes) {
        count += more;
    }
    count
}

/// A listener nobody else can find or disturb: a Unix socket with a name of the kernel's choice (autobind, unix(7)).
fn listener() -> std::io::Result<Socket> {
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    listener.bind(&SockAddr::unix("")?)?;
    listener.listen(4)?;
    Ok(listener)
}

/// The opcodes the driver uses, with what to say when one is missing.
const OPCODES: &[(&str, u8)] = &[
    ("IORING_OP_NOP is not supported", opcode::Nop::CODE),
    ("IORING_OP_POLL_ADD is not supported", opcode::PollAdd::CODE),
    ("IORING_OP_ACCEPT is not supported", opcode::AcceptMulti::CODE),
    ("IORING_OP_ASYNC_CANCEL is not supported", opcode::AsyncCancel::CODE),
    ("IORING_OP_CONNECT is not supported", opcode::Connect::CODE),
    ("IORING_OP_RECV is not supported", opcode::RecvMulti::CODE),
    ("IORING_OP_SEND is not supported", opcode::Send::CODE),
];
