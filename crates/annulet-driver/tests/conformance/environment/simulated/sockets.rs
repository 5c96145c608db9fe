//! Whoever talks to a driver from outside is a socket of the same host, and runs the world while it waits.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown};
use std::rc::Rc;
use std::time::Duration;

use annulet_driver::sim::{FileId, Operation};
use annulet_driver::{Address, Domain, Driver, ListenSpec, SocketOption};

use super::super::{Act, Actor, Listener, Peer};
use super::Machine;

/// A socket. Dropping it closes it.
pub(super) struct Endpoint {
    machine: Rc<Machine>,
    descriptor: i32,
    file: FileId,
}

/// A connection of this host with itself: the descriptor of one end, and the other.
pub(super) fn pair(machine: &Rc<Machine>, domain: Domain) -> (i32, Box<dyn Peer>) {
    let address = match domain {
        Domain::V4 => Address::Tcp((Ipv4Addr::LOCALHOST, 0).into()),
        Domain::V6 => Address::Tcp((Ipv6Addr::LOCALHOST, 0).into()),
        Domain::Unix => {
            let (near, far) = machine.world().unix_pair(machine.host).expect("pair");
            return (near, Box::new(Endpoint::new(machine, far)));
        }
    };
    let (listener, address) = listen(machine, &address, 1);
    let peer = connect(machine, &address).expect("connect");
    let near = listener.accept_one();
    (near.into_descriptor(), peer)
}

pub(super) fn connect(machine: &Rc<Machine>, address: &Address) -> io::Result<Box<dyn Peer>> {
    let world = machine.world();
    let socket = Endpoint::new(machine, world.socket(machine.host, address.domain())?);
    match world.connect(machine.host, socket.descriptor, address) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
            let result = || world.connect_result(socket.file).ok_or(ErrorKind::WouldBlock.into());
            machine.wait(result)?.map_err(io::Error::from_raw_os_error)?;
        }
        result => result?,
    }
    if address.domain() != Domain::Unix {
        socket.set(SocketOption::NoDelay(true));
    }
    machine.simulation.collect();
    Ok(Box::new(socket))
}

pub(super) fn listen(machine: &Rc<Machine>, address: &Address, backlog: u32) -> (Endpoint, Address) {
    let spec = ListenSpec { address: address.clone(), backlog, share_port: false, v6_only: false };
    let (descriptor, address) = machine.world().listen(machine.host, &spec).expect("listen");
    let listener = Endpoint::new(machine, descriptor);
    if address.domain() != Domain::Unix {
        // The world's listeners are set up as the drivers' are; this one is nobody's.
        listener.set(SocketOption::NoDelay(false));
    }
    (listener, address)
}

impl Endpoint {
    fn new(machine: &Rc<Machine>, descriptor: i32) -> Self {
        let file = machine.world().file(machine.host, descriptor).expect("just opened");
        Self { machine: Rc::clone(machine), descriptor, file }
    }

    fn set(&self, option: SocketOption) {
        self.machine.world().set_option(self.file, option).expect("option");
    }

    fn accept_one(&self) -> Self {
        let machine = &self.machine;
        let accept = || machine.world().accept(machine.host, self.file, Operation::TryAccept);
        Self::new(machine, machine.wait(accept).expect("accept"))
    }

    /// The descriptor, which is not closed.
    fn into_descriptor(mut self) -> i32 {
        std::mem::replace(&mut self.descriptor, -1)
    }

    fn receive(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.machine.world().receive(self.file, Operation::TryReceive, bytes)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.machine.world().send(self.file, Operation::TrySend, bytes)
    }
}

impl Read for Endpoint {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.machine.wait(|| self.receive(bytes))
    }
}

impl Write for Endpoint {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.machine.wait(|| self.send(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Peer for Endpoint {
    fn address(&self) -> Address {
        self.machine.world().local_address(self.file).expect("address")
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.machine.world().shutdown(self.file, how)?;
        self.machine.simulation.collect();
        Ok(())
    }

    fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let result = self.receive(bytes);
        self.machine.simulation.collect();
        result
    }

    fn await_delivery(&self) {
        let is_delivered = || match self.machine.world().unacknowledged(self.file) {
            0 => Ok(()),
            _ => Err(ErrorKind::WouldBlock.into()),
        };
        self.machine.wait(is_delivered).expect("nobody acknowledges");
    }

    fn reset(self: Box<Self>) {
        self.set(SocketOption::ResetOnClose(true));
    }

    fn narrow(&self) {
        self.set(SocketOption::ReceiveBuffer(1));
    }

    fn meanwhile(self: Box<Self>, act: Act) -> Actor {
        let machine = Rc::clone(&self.machine);
        let (question, answer) = match act {
            Act::Write { bytes, piece } => {
                let mut sent = 0;
                return machine.start(Duration::ZERO, move || self.write_step(&bytes, &mut sent, piece));
            }
            Act::Read => (usize::MAX, Vec::new()),
            Act::Answer { question, answer } => (question, answer),
        };
        let (mut bytes, mut sent) = (Vec::new(), 0);
        machine.start(Duration::ZERO, move || {
            self.read_step(&mut bytes, question)?;
            self.write_step(&answer, &mut sent, answer.len())?;
            Some(std::mem::take(&mut bytes))
        })
    }
}

/// Steps of actors: what can be done now. `None`: there is more to do.
impl Endpoint {
    fn write_step(&self, bytes: &[u8], sent: &mut usize, piece: usize) -> Option<Vec<u8>> {
        while *sent < bytes.len() {
            // What is left of a piece goes first.
            let end = bytes.len().min(*sent - *sent % piece + piece);
            *sent += unless_it_would_block(self.send(&bytes[*sent..end]))?;
        }
        Some(Vec::new())
    }

    /// Until the end, or until there are so many bytes.
    fn read_step(&self, bytes: &mut Vec<u8>, length: usize) -> Option<()> {
        let mut block = [0; 16 * 1024];
        while bytes.len() < length {
            let left = block.len().min(length - bytes.len());
            match unless_it_would_block(self.receive(&mut block[..left]))? {
                0 => break,
                count => bytes.extend_from_slice(&block[..count]),
            }
        }
        Some(())
    }
}

impl Listener for Endpoint {
    fn accept(&self) -> (Box<dyn Peer>, Address) {
        let peer = self.accept_one();
        let from = self.machine.world().peer_address(peer.file).expect("a living peer");
        (Box::new(peer), from)
    }

    /// No call of this world ever waits, so its descriptors have no mode.
    fn hand_over(self: Box<Self>, driver: &mut dyn Driver, _: bool) -> annulet_driver::Socket {
        let (simulation, host) = (self.machine.simulation.clone(), self.machine.host);
        driver.sockets().adopt(simulation.descriptor(host, self.into_descriptor()))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.descriptor >= 0 && !std::thread::panicking() {
            self.machine.world().close(self.machine.host, self.descriptor).expect("closed once");
            self.machine.simulation.collect();
        }
    }
}

/// The count; `None` when there is nothing to be done now.
fn unless_it_would_block(result: io::Result<usize>) -> Option<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        result => Some(result.expect("a connection that is fine")),
    }
}
