//! [`Sockets`] by system calls, for both real drivers.

use std::io;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, Type};

use super::{address, option, stream};
use crate::counters::DriverCounters;
use crate::driver::Sockets;
use crate::pool::Chunk;
use crate::socket::{Address, Domain, ListenSpec, Socket, SocketOption};

/// Calls on sockets, counted.
#[derive(Debug)]
pub(crate) struct KernelSockets {
    counters: Arc<DriverCounters>,
    /// Whether sockets are in non-blocking mode. epoll wants them so; io_uring must not have them so, for on an
    /// O_NONBLOCK file it completes an operation with EAGAIN instead of waiting.
    nonblocking: bool,
}

impl KernelSockets {
    pub(crate) fn new(counters: Arc<DriverCounters>, nonblocking: bool) -> Self {
        Self { counters, nonblocking }
    }

    /// Flags of accepted sockets.
    pub(crate) fn accept_flags(&self) -> i32 {
        if self.nonblocking { libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK } else { libc::SOCK_CLOEXEC }
    }

    /// Counts a connection the kernel handed over.
    pub(crate) fn accepted(&self, descriptor: i32) -> Socket {
        self.counters.accepted.increment();
        self.opened(descriptor)
    }

    fn opened(&self, descriptor: i32) -> Socket {
        self.counters.sockets_opened.increment();
        Socket::from_raw(descriptor)
    }

    /// [`Driver::try_send`](crate::Driver::try_send).
    #[inline]
    pub(crate) fn try_send(&self, socket: Socket, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.counters.sends.increment();
        let taken = stream::send(socket.as_raw(), slices)?;
        self.counters.bytes_sent.add(taken as u64);
        Ok(taken)
    }

    /// [`Driver::try_receive`](crate::Driver::try_receive).
    pub(crate) fn try_receive(&self, socket: Socket) -> io::Result<Option<Chunk>> {
        let chunk = stream::try_receive(socket.as_raw())?;
        self.counters.bytes_received.add(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64));
        Ok(chunk)
    }

    /// Closes the descriptor. Never repeated on EINTR: on Linux the descriptor is gone by then (close(2)), and the
    /// number may be another thread's already.
    pub(crate) fn close(&self, socket: Socket) {
        self.counters.sockets_closed.increment();
        // SAFETY: no memory is passed; S1.
        let result = unsafe { libc::close(socket.as_raw()) };
        debug_assert!(
            result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EBADF),
            "S1: {socket:?} was closed before"
        );
    }

    /// Starts to connect. In blocking mode it waits, so only drivers in non-blocking mode call it.
    ///
    /// # Errors
    /// EINPROGRESS when the answer will come later, also where the call was interrupted (connect(2)).
    pub(crate) fn connect(&self, socket: Socket, address: &Address) -> io::Result<()> {
        debug_assert!(self.nonblocking, "a blocking connect");
        let address = address::to_sockaddr(address)?;
        match on(socket, |socket| socket.connect(&address)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                Err(io::Error::from_raw_os_error(libc::EINPROGRESS))
            }
            result => result,
        }
    }
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
        Ok(self.opened(socket.into_raw_fd()))
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
        socket.bind(&address::to_sockaddr(&spec.address)?)?;
        socket.listen(i32::try_from(spec.backlog).unwrap_or(i32::MAX))?;
        let bound = address::from_sockaddr(&socket.local_addr()?)?;
        Ok((self.opened(socket.into_raw_fd()), bound))
    }

    /// Puts the open socket, and so all its duplicates in any process, into the mode this driver needs.
    fn adopt(&mut self, descriptor: OwnedFd) -> Socket {
        // Fails on no descriptor that is open (fcntl(2), F_SETFL).
        let set = SockRef::from(&descriptor).set_nonblocking(self.nonblocking);
        debug_assert!(set.is_ok(), "{set:?}");
        self.opened(descriptor.into_raw_fd())
    }

    fn duplicate(&mut self, socket: Socket) -> io::Result<Socket> {
        // F_DUPFD_CLOEXEC.
        let copy = on(socket, |socket| socket.try_clone())?;
        Ok(self.opened(copy.into_raw_fd()))
    }

    /// In blocking mode nothing but a timeout keeps accept4(2) from waiting: it has no MSG_DONTWAIT, and setting
    /// O_NONBLOCK for a moment would make io_uring fail an accept that another ring arms on the same listener just
    /// then. So poll(2) asks first, and `SO_RCVTIMEO`, which accept obeys (socket(7)), bounds the wait to one tick
    /// of the kernel where another thread or process takes the connection between the two calls. The timeout stays
    /// set, since removing it would race in the same way; io_uring and MSG_DONTWAIT ignore it.
    fn try_accept(&mut self, listener: Socket) -> io::Result<Socket> {
        let descriptor = listener.as_raw();
        if !self.nonblocking {
            if !is_readable(descriptor)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            on(listener, |listener| listener.set_read_timeout(Some(Duration::from_micros(1))))?;
        }
        let socket = self.accepted(stream::accept(descriptor, self.accept_flags())?);
        if !self.nonblocking {
            // Connections made since inherit the timeout, which would surprise whoever reads from them by other means.
            let _ = on(socket, |socket| socket.set_read_timeout(None));
        }
        Ok(socket)
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Two threads look, both see the last connection, one gets it: the other must not wait for one more.
    #[test]
    fn draining_a_blocking_listener_from_two_threads_blocks_neither() {
        const CONNECTIONS: usize = 400;
        let mut sockets = KernelSockets::new(Arc::default(), false);
        let address = Address::Tcp((Ipv4Addr::LOCALHOST, 0).into());
        let spec = ListenSpec { address, backlog: 128, share_port: false, v6_only: false };
        let (listener, address) = sockets.listen(&spec).expect("listen");
        let address = address.as_tcp().expect("tcp");
        let accepted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut sockets = KernelSockets::new(Arc::default(), false);
                    while accepted.load(Ordering::SeqCst) < CONNECTIONS {
                        match sockets.try_accept(listener) {
                            Ok(socket) => {
                                accepted.fetch_add(1, Ordering::SeqCst);
                                sockets.close(socket);
                            }
                            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                        }
                    }
                });
            }
            for _ in 0..CONNECTIONS {
                TcpStream::connect(address).expect("connect");
            }
        });
        sockets.close(listener);
    }
}
