//! What surrounds a driver: the far ends of its connections and the machine it runs on.
//!
//! The tests know no other way out. A kernel is put under the suite by one implementation of [`Environment`].

mod linux;
mod simulated;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use annulet_driver::{Address, Domain, Driver, DriverOptions, Socket, Unpark};

pub(crate) use self::linux::Linux;
pub(crate) use self::simulated::Simulated;

/// What a test gives the kernel before it gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// One machine, and who talks to it from outside. Its calls, like those of a [`Peer`], wait for as long as a test has
/// patience.
pub(crate) trait Environment: fmt::Display {
    /// A driver on this machine; several are several reactors of one process.
    fn open_driver(&self, options: &DriverOptions) -> Box<dyn Driver>;

    /// An established connection, one end of which is adopted by `driver`.
    fn pair(&self, driver: &mut dyn Driver, domain: Domain) -> (Socket, Box<dyn Peer>);

    /// Connects to a listener. When this returns the connection waits in the listener's queue.
    fn try_connect(&self, address: &Address) -> io::Result<Box<dyn Peer>>;

    /// A listener that is not the driver's, and the address it really has.
    fn listen(&self, address: &Address, backlog: u32) -> (Box<dyn Listener>, Address);

    /// A path where nothing is.
    fn path(&self) -> PathBuf;

    /// Whether something is at a path.
    fn exists(&self, path: &Path) -> bool;

    /// Lets time pass while no driver turns.
    fn pass(&self, time: Duration);

    /// Sends the process a signal; what watches it has noted it when this returns.
    fn raise(&self, signal: i32);

    /// Has something happen to the process after a while.
    fn later(&self, delay: Duration, event: Event) -> Actor;

    /// Runs the behaviour of this name in a process of its own, whose limit and descriptors are nobody else's.
    fn alone(&self, name: &str, behaviour: Box<dyn FnOnce() + '_>);

    /// How many descriptors the process has.
    fn open_descriptors(&self) -> usize;

    /// Lets the process open so many descriptors and no more; `None` lifts the limit. Only [alone](Self::alone).
    fn limit_descriptors(&self, left: Option<usize>);

    /// Whether a program that the process turns into would not have the socket.
    fn is_closed_on_exec(&self, socket: Socket) -> bool;
}

/// Something that happens to a process.
pub(crate) enum Event {
    /// Another thread wakes a driver.
    Unpark(Arc<dyn Unpark>),
    /// The process is sent a signal.
    Signal(i32),
}

/// The far end of a connection. What is written to it leaves at once; dropping it closes it.
pub(crate) trait Peer: Read + Write {
    /// Its own address.
    fn address(&self) -> Address;

    /// Ends sending, receiving or both.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Reads what is there without waiting.
    fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize>;

    /// Waits until all that was written has reached the driver's machine.
    fn await_delivery(&self);

    /// Closes with a reset.
    fn reset(self: Box<Self>);

    /// Gives it the smallest receive buffer there is.
    fn narrow(&self);

    /// Acts by itself while the driver turns, then closes.
    fn meanwhile(self: Box<Self>, act: Act) -> Actor;
}

/// What a peer does by itself.
pub(crate) enum Act {
    /// Writes the bytes in pieces of this size.
    Write { bytes: Vec<u8>, piece: usize },
    /// Reads until the end.
    Read,
    /// Reads a question of this length, and answers it.
    Answer { question: usize, answer: Vec<u8> },
}

/// Something that goes on beside the driver.
#[must_use]
pub(crate) struct Actor(Box<dyn FnOnce() -> Vec<u8>>);

impl Actor {
    /// `finish` waits for the end of it and returns what it read.
    pub(crate) fn new(finish: impl FnOnce() -> Vec<u8> + 'static) -> Self {
        Self(Box::new(finish))
    }

    /// Waits until it is done; what it read.
    pub(crate) fn join(self) -> Vec<u8> {
        (self.0)()
    }
}

/// A listener outside of any driver. Dropping it closes it; the file of a Unix one stays.
pub(crate) trait Listener {
    /// The next connection, and where it comes from.
    fn accept(&self) -> (Box<dyn Peer>, Address);

    /// Leaves it to a driver, in non-blocking mode or not.
    fn hand_over(self: Box<Self>, driver: &mut dyn Driver, nonblocking: bool) -> Socket;
}
