//! Calls on sockets that do not exist.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use super::ScriptedDriver;
use super::script::Call;
use crate::descriptor::Descriptor;
use crate::driver::Sockets;
use crate::socket::{Address, Domain, ListenSpec, Socket, SocketOption};

/// The same on every machine.
const DESCRIPTORS_MAX: u64 = 1024;

/// What a duplicate tells the driver that adopts it. There is nothing to close.
struct Original {
    local: Option<Address>,
}

impl Sockets for ScriptedDriver {
    fn open(&mut self, _domain: Domain) -> io::Result<Socket> {
        let mut state = self.state.borrow_mut();
        state.check(Call::Open)?;
        self.counters.sockets_opened.increment();
        Ok(state.new_socket(None, None))
    }

    fn listen(&mut self, spec: &ListenSpec) -> io::Result<(Socket, Address)> {
        let mut state = self.state.borrow_mut();
        state.check(Call::Listen)?;
        self.counters.sockets_opened.increment();
        let bound = match &spec.address {
            Address::Tcp(address) if address.port() == 0 => {
                Address::Tcp(SocketAddr::new(address.ip(), state.new_port()))
            }
            address => address.clone(),
        };
        Ok((state.new_socket(Some(bound.clone()), None), bound))
    }

    /// Closes a descriptor of the kernel: it has no place here.
    fn adopt(&mut self, descriptor: Descriptor) -> Socket {
        let original =
            descriptor.into_simulated().ok().and_then(|(_, guard)| guard.downcast::<Original>().ok());
        let local = original.and_then(|original| original.local.clone());
        self.counters.sockets_opened.increment();
        self.state.borrow_mut().new_socket(local, None)
    }

    fn duplicate(&mut self, socket: Socket) -> io::Result<Descriptor> {
        let mut state = self.state.borrow_mut();
        state.check(Call::Duplicate)?;
        let local = state.open_socket(socket).local.clone();
        Ok(Descriptor::simulated(socket.as_raw(), Arc::new(Original { local })))
    }

    fn try_accept(&mut self, listener: Socket) -> io::Result<Socket> {
        let mut state = self.state.borrow_mut();
        state.check(Call::TryAccept)?;
        let socket = state.open_socket(listener).connections.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        self.counters.accepted.increment();
        self.counters.sockets_opened.increment();
        Ok(socket)
    }

    fn set_option(&mut self, socket: Socket, option: SocketOption) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.check(Call::SetOption)?;
        state.open_socket(socket).options.push(option);
        Ok(())
    }

    /// What was set last, else what a fresh Linux socket says.
    fn option(&mut self, socket: Socket, option: SocketOption) -> io::Result<SocketOption> {
        let mut state = self.state.borrow_mut();
        let is_it = |set: &&SocketOption| std::mem::discriminant(*set) == std::mem::discriminant(&option);
        let set = state.open_socket(socket).options.iter().rev().find(is_it).copied();
        Ok(set.unwrap_or(match option {
            SocketOption::NoDelay(_) => SocketOption::NoDelay(false),
            SocketOption::Keepalive(_) => SocketOption::Keepalive(None),
            SocketOption::ResetOnClose(_) => SocketOption::ResetOnClose(false),
            SocketOption::SendBuffer(_) => SocketOption::SendBuffer(16_384),
            SocketOption::ReceiveBuffer(_) => SocketOption::ReceiveBuffer(131_072),
            SocketOption::UserTimeout(_) => SocketOption::UserTimeout(None),
            SocketOption::QuickAck(_) => SocketOption::QuickAck(true),
            SocketOption::TypeOfService(_) => SocketOption::TypeOfService(0),
            SocketOption::TimeToLive(_) => SocketOption::TimeToLive(64),
            SocketOption::Error(_) => SocketOption::Error(0),
        }))
    }

    fn local_address(&mut self, socket: Socket) -> io::Result<Address> {
        let local = self.state.borrow_mut().open_socket(socket).local.clone();
        local.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
    }

    fn peer_address(&mut self, socket: Socket) -> io::Result<Address> {
        let peer = self.state.borrow_mut().open_socket(socket).peer.clone();
        peer.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTCONN))
    }

    fn descriptors_max(&self) -> u64 {
        DESCRIPTORS_MAX
    }

    fn shutdown(&mut self, socket: Socket, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            self.check_none_queued(socket);
        }
        let mut state = self.state.borrow_mut();
        state.check(Call::Shutdown)?;
        state.open_socket(socket).shutdowns.push(how);
        Ok(())
    }
}
