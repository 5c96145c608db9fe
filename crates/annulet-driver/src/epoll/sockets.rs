//! Calls on sockets, with a note of those whose open file has other descriptors.

use std::io;
use std::net::Shutdown;

use super::table::{Flag, Table};
use crate::descriptor::Descriptor;
use crate::driver::Sockets;
use crate::kernel::Calls;
use crate::socket::{Address, Domain, ListenSpec, Socket, SocketOption};

pub(super) struct EpollSockets<C> {
    pub(super) kernel: C,
    pub(super) table: Table,
}

impl<C: Calls> Sockets for EpollSockets<C> {
    fn open(&mut self, domain: Domain) -> io::Result<Socket> {
        self.kernel.open(domain)
    }

    fn listen(&mut self, spec: &ListenSpec) -> io::Result<(Socket, Address)> {
        self.kernel.listen(spec)
    }

    fn adopt(&mut self, descriptor: Descriptor) -> Socket {
        let socket = self.kernel.adopt(descriptor);
        // Whoever opened it may have kept it: systemd does with the listeners it hands down.
        self.table.enter(socket).set(Flag::SHARED);
        socket
    }

    fn duplicate(&mut self, socket: Socket) -> io::Result<Descriptor> {
        let copy = self.kernel.duplicate(socket)?;
        self.table.enter(socket).set(Flag::SHARED);
        Ok(copy)
    }

    fn try_accept(&mut self, listener: Socket) -> io::Result<Socket> {
        self.kernel.try_accept(listener)
    }

    fn set_option(&mut self, socket: Socket, option: SocketOption) -> io::Result<()> {
        self.kernel.set_option(socket, option)
    }

    fn option(&mut self, socket: Socket, option: SocketOption) -> io::Result<SocketOption> {
        self.kernel.option(socket, option)
    }

    fn local_address(&mut self, socket: Socket) -> io::Result<Address> {
        self.kernel.local_address(socket)
    }

    fn peer_address(&mut self, socket: Socket) -> io::Result<Address> {
        self.kernel.peer_address(socket)
    }

    fn descriptors_max(&self) -> u64 {
        self.kernel.descriptors_max()
    }

    fn shutdown(&mut self, socket: Socket, how: Shutdown) -> io::Result<()> {
        self.kernel.shutdown(socket, how)
    }
}
