//! [`Sockets`] by system calls, for both real drivers.

use std::io;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, IntoRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockAddr, SockRef, Type};

use super::births::{Birth, Births, Ends};
use super::socket_file::{self, SocketFile};
use super::{address, option, stream};
use crate::counters::DriverCounters;
use crate::descriptor::Descriptor;
use crate::driver::Sockets;
use crate::kernel::Calls;
use crate::limits::descriptor_limit;
use crate::pool::{BufferPool, Chunk, Filled};
use crate::socket::{Address, Domain, ListenSpec, Socket, SocketOption};

/// The soft limit of most systems, for a sandbox that does not tell.
const DESCRIPTORS_MAX_USUAL: u64 = 1024;

/// Calls on sockets, counted.
#[derive(Debug)]
pub(crate) struct KernelSockets {
    counters: Arc<DriverCounters>,
    /// Whether sockets are in non-blocking mode. epoll wants them so; io_uring must not have them so, for on an
    /// O_NONBLOCK file it completes an operation with EAGAIN instead of waiting.
    nonblocking: bool,
    /// The files of listeners bound here, few if any.
    files: Vec<(Socket, SocketFile)>,
    births: Births,
}

impl KernelSockets {
    pub(crate) fn new(counters: Arc<DriverCounters>, nonblocking: bool) -> Self {
        Self { counters, nonblocking, files: Vec::new(), births: Births::default() }
    }

    fn opened(&self, descriptor: i32, birth: Birth) -> Socket {
        self.counters.sockets_opened.increment();
        let socket = Socket::from_raw(descriptor);
        self.births.enter(socket, birth);
        socket
    }

    /// Accepts from a listener that was readable a moment ago.
    fn accept_waiting(&self, listener: Socket) -> io::Result<Socket> {
        if self.nonblocking {
            return Ok(self.accepted(stream::accept(listener.as_raw(), self.accept_flags())?));
        }
        let socket = self.accepted(accept_within_a_tick(listener, self.accept_flags())?);
        // Connections made since the timeout was set inherit it, which would surprise whoever reads from them by other
        // means.
        let _ = on(socket, |socket| socket.set_read_timeout(None));
        Ok(socket)
    }
}

impl Calls for KernelSockets {
    fn accept_flags(&self) -> i32 {
        if self.nonblocking { libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK } else { libc::SOCK_CLOEXEC }
    }

    fn accepted(&self, descriptor: i32) -> Socket {
        self.counters.accepted.increment();
        self.opened(descriptor, Birth::Accepted)
    }

    #[inline]
    fn try_send(&self, socket: Socket, bytes: &[u8]) -> io::Result<usize> {
        self.counters.sends.increment();
        let taken = stream::send(socket.as_raw(), bytes)?;
        self.counters.bytes_sent.add(taken as u64);
        Ok(taken)
    }

    fn try_send_vectored(&self, socket: Socket, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.counters.sends.increment();
        let taken = stream::send_vectored(socket.as_raw(), slices)?;
        self.counters.bytes_sent.add(taken as u64);
        Ok(taken)
    }

    fn try_receive(&self, socket: Socket) -> io::Result<Option<Chunk>> {
        let chunk = stream::try_receive(socket.as_raw())?;
        self.counters.bytes_received.add(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64));
        Ok(chunk)
    }

    /// Closes the descriptor. Never repeated on EINTR: on Linux the descriptor is gone by then (close(2)), and the
    /// number may be another thread's already.
    fn close(&mut self, socket: Socket) {
        self.counters.sockets_closed.increment();
        self.births.leave(socket);
        if let Some(index) = self.files.iter().position(|(owner, _)| *owner == socket) {
            self.files.swap_remove(index).1.remove();
        }
        // SAFETY: no memory is passed; S1.
        let result = unsafe { libc::close(socket.as_raw()) };
        debug_assert!(
            result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EBADF),
            "S1: {socket:?} was closed before"
        );
    }

    #[inline(always)]
    fn receive_pooled(&self, socket: RawFd, pool: &BufferPool) -> Option<io::Result<Filled>> {
        stream::receive_pooled(socket, pool)
    }

    fn accept(&self, listener: RawFd) -> io::Result<RawFd> {
        stream::accept(listener, self.accept_flags())
    }

    fn connect(&self, socket: Socket, address: &Address) -> io::Result<()> {
        debug_assert!(self.nonblocking, "a blocking connect");
        let address = address::to_sockaddr(address)?;
        match on(socket, |socket| socket.connect(&address)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                Err(io::Error::from_raw_os_error(libc::EINPROGRESS))
            }
            result => result,
        }
    }

    fn story(&self, socket: RawFd) -> Option<Rc<str>> {
        let socket = Socket::from_raw(socket);
        self.births.story(socket, || ends(socket))
    }

    fn origins(&self, pool: &BufferPool) -> Vec<String> {
        let leases = pool.origins().map(|story| format!("lease of what was received on a {story}"));
        self.births.stories(ends).iter().map(ToString::to_string).chain(leases).collect()
    }

    fn is_unix(&self, socket: RawFd) -> bool {
        socket >= 0
            && on(Socket::from_raw(socket), |socket| socket.domain())
                .is_ok_and(|domain| domain == socket2::Domain::UNIX)
    }

    fn connect_at_once(&self, socket: RawFd, address: &SockAddr) -> io::Result<()> {
        if socket < 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        on(Socket::from_raw(socket), |socket| {
            socket.set_nonblocking(true)?;
            let result = socket.connect(address);
            socket.set_nonblocking(false)?;
            result
        })
    }
}

/// Where an open socket's ends are.
fn ends(socket: Socket) -> Ends {
    let address = |result: io::Result<SockAddr>| address::from_sockaddr(&result.ok()?).ok();
    on(socket, |socket| Ends { local: address(socket.local_addr()), peer: address(socket.peer_addr()) })
}

/// Runs `call` on a view of the socket that `socket2` can work on and that owns nothing.
fn on<T>(socket: Socket, call: impl FnOnce(&SockRef<'_>) -> T) -> T {
    // SAFETY: S1, and -1 is refused by a panic. The borrow ends with the call.
    let descriptor = unsafe { BorrowedFd::borrow_raw(socket.as_raw()) };
    call(&SockRef::from(&descriptor))
}

impl Sockets for KernelSockets {
    fn open(&mut self, domain: Domain) -> io::Result<Socket> {
        let socket = fresh(domain, self.nonblocking)?;
        Ok(self.opened(socket.into_raw_fd(), Birth::Opened))
    }

    fn listen(&mut self, spec: &ListenSpec) -> io::Result<(Socket, Address)> {
        let domain = spec.address.domain();
        let socket = fresh(domain, self.nonblocking)?;
        if domain == Domain::V6 {
            socket.set_only_v6(spec.v6_only)?;
        }
        if domain != Domain::Unix {
            // Without it a restart meets its predecessor's connections in TIME_WAIT and cannot bind.
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(spec.share_port)?;
            // Accepted sockets inherit it: one call here saves one per connection.
            socket.set_tcp_nodelay(true)?;
        }
        let address = address::to_sockaddr(&spec.address)?;
        match spec.address.as_path() {
            Some(path) => socket_file::bind(&socket, path, &address)?,
            None => socket.bind(&address)?,
        }
        socket.listen(i32::try_from(spec.backlog).unwrap_or(i32::MAX))?;
        let bound = address::from_sockaddr(&socket.local_addr()?)?;
        let file = spec.address.as_path().map(SocketFile::at).transpose()?;
        let socket = self.opened(socket.into_raw_fd(), Birth::Listening);
        self.files.extend(file.map(|file| (socket, file)));
        Ok((socket, bound))
    }

    /// Puts the open socket, and so all its duplicates in any process, into the mode this driver needs.
    fn adopt(&mut self, descriptor: Descriptor) -> Socket {
        let descriptor = descriptor.into_kernel();
        // Fails on no descriptor that is open (fcntl(2), F_SETFL).
        let set = SockRef::from(&descriptor).set_nonblocking(self.nonblocking);
        debug_assert!(set.is_ok(), "{set:?}");
        self.opened(descriptor.into_raw_fd(), Birth::Adopted)
    }

    fn duplicate(&mut self, socket: Socket) -> io::Result<Descriptor> {
        // F_DUPFD_CLOEXEC.
        Ok(on(socket, |socket| socket.try_clone())?.into())
    }

    fn try_accept(&mut self, listener: Socket) -> io::Result<Socket> {
        // accept4(2) wants a descriptor before it looks into the queue: of an empty one it may say EMFILE.
        while is_readable(listener.as_raw())? {
            match self.accept_waiting(listener) {
                Err(error) if stream::is_of_the_connection(&error) => {}
                result => return result,
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn set_option(&mut self, socket: Socket, option: SocketOption) -> io::Result<()> {
        on(socket, |socket| option::set(socket, option))
    }

    fn option(&mut self, socket: Socket, option: SocketOption) -> io::Result<SocketOption> {
        on(socket, |socket| option::get(socket, option))
    }

    fn local_address(&mut self, socket: Socket) -> io::Result<Address> {
        address::from_sockaddr(&on(socket, |socket| socket.local_addr())?)
    }

    fn peer_address(&mut self, socket: Socket) -> io::Result<Address> {
        address::from_sockaddr(&on(socket, |socket| socket.peer_addr())?)
    }

    fn descriptors_max(&self) -> u64 {
        descriptor_limit().map_or(DESCRIPTORS_MAX_USUAL, |limit| limit.soft)
    }

    fn shutdown(&mut self, socket: Socket, how: Shutdown) -> io::Result<()> {
        on(socket, |socket| socket.shutdown(how))
    }
}

fn fresh(domain: Domain, nonblocking: bool) -> io::Result<socket2::Socket> {
    let domain = match domain {
        Domain::V4 => socket2::Domain::IPV4,
        Domain::V6 => socket2::Domain::IPV6,
        Domain::Unix => socket2::Domain::UNIX,
    };
    let kind = Type::STREAM.cloexec();
    socket2::Socket::new_raw(domain, if nonblocking { kind.nonblocking() } else { kind }, None)
}

/// Accepts from a listener in blocking mode that was readable a moment ago. Another thread or process may have taken
/// the connection since, and then nothing but a timeout keeps accept4(2) from waiting for the next: it has no
/// MSG_DONTWAIT, and setting O_NONBLOCK for a moment would fail an accept that another ring arms on the same listener
/// just then. So `SO_RCVTIMEO`, which accept obeys (socket(7)), bounds the wait to one tick of the kernel. It stays set,
/// since removing it would race in the same way; io_uring and MSG_DONTWAIT ignore it.
fn accept_within_a_tick(listener: Socket, flags: i32) -> io::Result<i32> {
    on(listener, |listener| listener.set_read_timeout(Some(Duration::from_micros(1))))?;
    stream::accept(listener.as_raw(), flags)
}

/// True when accept would find a connection, or an error.
fn is_readable(descriptor: i32) -> io::Result<bool> {
    let mut watched = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    // SAFETY: S2: one `pollfd`, a local.
    let ready = super::retry(|| unsafe { libc::poll(&mut watched, 1, 0) as isize })?;
    Ok(ready > 0)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};
    use std::sync::mpsc;

    use super::*;

    fn listen(sockets: &mut KernelSockets, address: Address) -> (Socket, Address) {
        let spec = ListenSpec { address, backlog: 128, share_port: false, v6_only: false };
        sockets.listen(&spec).expect("listen")
    }

    #[test]
    fn losing_the_race_for_a_connection_does_not_wait_for_the_next() {
        let mut sockets = KernelSockets::new(Arc::default(), false);
        let name = format!("annulet-race-{}", std::process::id()).into_bytes();
        for address in [
            Address::Tcp((Ipv4Addr::LOCALHOST, 0).into()),
            Address::Unix(crate::socket::UnixAddress::Abstract(name)),
        ] {
            let (listener, _) = listen(&mut sockets, address);
            let (sender, receiver) = mpsc::channel();
            // Not joined: should it block, the test is to fail and not to hang.
            std::thread::spawn(move || sender.send(accept_within_a_tick(listener, libc::SOCK_CLOEXEC)));
            let result = receiver.recv_timeout(Duration::from_secs(10)).expect("an answer in time");
            assert_eq!(result.expect_err("an empty queue").kind(), io::ErrorKind::WouldBlock);
            sockets.close(listener);
        }
    }

    #[test]
    fn the_timeout_of_a_drained_listener_does_not_reach_its_connections() {
        let mut sockets = KernelSockets::new(Arc::default(), false);
        let (listener, address) = listen(&mut sockets, Address::Tcp((Ipv4Addr::LOCALHOST, 0).into()));
        for _ in 0..2 {
            let _client = TcpStream::connect(address.as_tcp().expect("tcp")).expect("connect");
            let socket = sockets.try_accept(listener).expect("one waits");
            assert_eq!(on(socket, |socket| socket.read_timeout()).expect("timeout"), None);
            sockets.close(socket);
        }
        sockets.close(listener);
    }
}
