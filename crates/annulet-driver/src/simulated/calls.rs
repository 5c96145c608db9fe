//! Calls on simulated sockets.

use std::io;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use socket2::SockAddr;

use super::{Guard, Interest, Seat, Simulation};
use crate::counters::DriverCounters;
use crate::descriptor::Descriptor;
use crate::driver::Sockets;
use crate::kernel::Calls;
use crate::pool::{BufferPool, Chunk, Filled};
use crate::sim::{FileId, Operation, Readiness};
use crate::socket::{Address, Domain, ListenSpec, Socket, SocketOption};
use crate::sys;

/// Bytes that one direct receive takes at most, as on the real kernel.
const TRY_RECEIVE: usize = 4096;

/// Calls of one reactor, counted.
pub(crate) struct SimulatedCalls {
    simulation: Simulation,
    seat: Rc<Seat>,
    counters: Arc<DriverCounters>,
    /// Names of the listeners bound here.
    names: Vec<(Socket, PathBuf)>,
}

impl SimulatedCalls {
    pub(super) fn new(simulation: Simulation, seat: Rc<Seat>, counters: Arc<DriverCounters>) -> Self {
        Self { simulation, seat, counters, names: Vec::new() }
    }

    fn file(&self, socket: Socket) -> io::Result<FileId> {
        self.simulation.world().file(self.seat.host, socket.as_raw())
    }

    fn opened(&self, descriptor: RawFd) -> Socket {
        self.counters.sockets_opened.increment();
        Socket::from_raw(descriptor)
    }

    /// Binds a Unix name; one that nobody answers at is taken over.
    fn listen_at(&self, spec: &ListenSpec, path: &std::path::Path) -> io::Result<(RawFd, Address)> {
        let (world, host) = (self.simulation.world(), self.seat.host);
        match world.listen(host, spec) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && !self.is_answered(&spec.address)? => {
                world.unlink(host, path)?;
                world.listen(host, spec)
            }
            result => result,
        }
    }

    fn is_answered(&self, address: &Address) -> io::Result<bool> {
        let (world, host) = (self.simulation.world(), self.seat.host);
        let probe = world.socket(host, Domain::Unix)?;
        let result = world.connect(host, probe, address);
        let _ = world.close(host, probe);
        Ok(!matches!(result, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused))
    }
}

impl Calls for SimulatedCalls {
    fn accept_flags(&self) -> i32 {
        libc::SOCK_CLOEXEC
    }

    fn accepted(&self, descriptor: RawFd) -> Socket {
        self.counters.accepted.increment();
        self.opened(descriptor)
    }

    fn try_send(&self, socket: Socket, bytes: &[u8]) -> io::Result<usize> {
        self.counters.sends.increment();
        let taken = self.simulation.world().send(self.file(socket)?, Operation::TrySend, bytes)?;
        self.counters.bytes_sent.add(taken as u64);
        Ok(taken)
    }

    fn try_send_vectored(&self, socket: Socket, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.counters.sends.increment();
        if slices.is_empty() {
            return Ok(0);
        }
        let file = self.file(socket)?;
        let taken = self.simulation.world().send_slices(file, Operation::TrySendVectored, slices)?;
        self.counters.bytes_sent.add(taken as u64);
        Ok(taken)
    }

    fn try_receive(&self, socket: Socket) -> io::Result<Option<Chunk>> {
        let mut bytes = vec![0; TRY_RECEIVE];
        let count = self.simulation.world().receive(self.file(socket)?, Operation::TryReceive, &mut bytes)?;
        self.counters.bytes_received.add(count as u64);
        bytes.truncate(count);
        Ok((count > 0).then(|| Chunk::from(bytes)))
    }

    fn close(&mut self, socket: Socket) {
        self.counters.sockets_closed.increment();
        let (world, host) = (self.simulation.world(), self.seat.host);
        if let Some(at) = self.names.iter().position(|(owner, _)| *owner == socket) {
            let _ = world.unlink(host, &self.names.swap_remove(at).1);
        }
        let descriptor = socket.as_raw();
        if let Some(file) = self.seat.room.borrow_mut().remove(descriptor) {
            self.simulation.shared().unwatch(file, Interest::Room { seat: self.seat.id, descriptor });
        }
        let polled = self.seat.polls.borrow().file(descriptor);
        let result = world.close(host, descriptor);
        assert!(result.is_ok() || !world.is_alive(host), "S1: {socket:?} was closed before");
        // Closing the last descriptor ends the watch.
        if let Some(file) = polled
            && world.domain(file).is_none()
        {
            self.simulation.shared().unwatch(file, Interest::Edge { seat: self.seat.id, descriptor });
            self.seat.polls.borrow_mut().remove(descriptor);
        }
    }

    fn receive_pooled(&self, socket: RawFd, pool: &BufferPool) -> Option<io::Result<Filled>> {
        let world = self.simulation.world();
        let file = match self.file(Socket::from_raw(socket)) {
            Ok(file) => file,
            Err(error) => return Some(Err(error)),
        };
        let result = pool.fill_first(|address, length| {
            // SAFETY: the pool lends the buffer for the length of the call.
            let memory = unsafe { std::slice::from_raw_parts_mut(address, length) };
            world.receive(file, Operation::Receive, memory)
        });
        if let Some(Ok(filled)) = &result
            && (1..pool.buffer_size() as usize).contains(&filled.len())
            && world.unread(file) > 0
        {
            // Where a fault cut a receive short the rest counts as having come since: a new edge.
            self.seat.polls.borrow_mut().queue(socket);
        }
        result
    }

    fn accept(&self, listener: RawFd) -> io::Result<RawFd> {
        let file = self.file(Socket::from_raw(listener))?;
        self.simulation.world().accept(self.seat.host, file, Operation::Accept)
    }

    fn connect(&self, socket: Socket, address: &Address) -> io::Result<()> {
        self.simulation.world().connect(self.seat.host, socket.as_raw(), address)
    }

    fn is_unix(&self, socket: RawFd) -> bool {
        let file = self.file(Socket::from_raw(socket));
        file.is_ok_and(|file| self.simulation.world().domain(file) == Some(Domain::Unix))
    }

    fn connect_at_once(&self, socket: RawFd, address: &SockAddr) -> io::Result<()> {
        let address = sys::from_sockaddr(address)?;
        self.simulation.world().connect(self.seat.host, socket, &address)
    }
}

impl Sockets for SimulatedCalls {
    fn open(&mut self, domain: Domain) -> io::Result<Socket> {
        Ok(self.opened(self.simulation.world().socket(self.seat.host, domain)?))
    }

    fn listen(&mut self, spec: &ListenSpec) -> io::Result<(Socket, Address)> {
        let path = spec.address.as_path().map(PathBuf::from);
        let (descriptor, address) = match &path {
            Some(path) => self.listen_at(spec, path)?,
            None => self.simulation.world().listen(self.seat.host, spec)?,
        };
        let socket = self.opened(descriptor);
        self.names.extend(path.map(|path| (socket, path)));
        Ok((socket, address))
    }

    fn adopt(&mut self, descriptor: Descriptor) -> Socket {
        let (_, guard) = descriptor.into_simulated().expect("a descriptor of a simulated kernel");
        let guard = guard.downcast::<Guard>().expect("the guard that `duplicate` made");
        self.opened(guard.take().expect("adopted once"))
    }

    fn duplicate(&mut self, socket: Socket) -> io::Result<Descriptor> {
        let host = self.seat.host;
        let copy = self.simulation.world().duplicate(host, socket.as_raw())?;
        Ok(self.simulation.descriptor(host, copy))
    }

    fn try_accept(&mut self, listener: Socket) -> io::Result<Socket> {
        let (world, file) = (self.simulation.world(), self.file(listener)?);
        // As on the real kernel: of an empty queue accept4(2) may say EMFILE.
        while is_worth_a_call(world.readiness(file)) {
            match world.accept(self.seat.host, file, Operation::TryAccept) {
                Ok(descriptor) => return Ok(self.accepted(descriptor)),
                Err(error) if sys::is_of_the_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn set_option(&mut self, socket: Socket, option: SocketOption) -> io::Result<()> {
        self.simulation.world().set_option(self.file(socket)?, option)
    }

    fn option(&mut self, socket: Socket, option: SocketOption) -> io::Result<SocketOption> {
        self.simulation.world().option(self.file(socket)?, option)
    }

    fn local_address(&mut self, socket: Socket) -> io::Result<Address> {
        self.simulation.world().local_address(self.file(socket)?)
    }

    fn peer_address(&mut self, socket: Socket) -> io::Result<Address> {
        self.simulation.world().peer_address(self.file(socket)?)
    }

    fn descriptors_max(&self) -> u64 {
        u64::from(self.simulation.world().descriptors_max(self.seat.host))
    }

    fn shutdown(&mut self, socket: Socket, how: Shutdown) -> io::Result<()> {
        self.simulation.world().shutdown(self.file(socket)?, how)
    }
}

/// Whether poll(2) asked for POLLIN would return.
fn is_worth_a_call(readiness: Readiness) -> bool {
    readiness.readable || readiness.hung_up || readiness.error
}
