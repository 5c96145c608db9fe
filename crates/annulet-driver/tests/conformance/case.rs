//! One behaviour on one kernel.

use std::io::Read;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::rc::Rc;

use annulet_driver::{Address, DriverChoice, DriverOptions, OpenError, UnixAddress};

use crate::bench::Bench;
use crate::environment::{Environment, Linux, Listener, Peer, Simulated};

/// Defines each behaviour once and makes it a test on each kernel.
macro_rules! on_each_kernel {
    ($($(#[$doc:meta])* fn $name:ident($case:ident) $body:block)*) => {
        $($(#[$doc])* fn $name($case: &$crate::case::Case) $body)*

        $crate::case::on_kernel! { mod epoll: Epoll, $($name)* }
        $crate::case::on_kernel! { mod uring: Uring, $($name)* }
        $crate::case::on_kernel! { mod simulated_epoll: SimulatedEpoll, $($name)* }
        $crate::case::on_kernel! { mod simulated_uring: SimulatedUring, $($name)* }
    };
}
pub(crate) use on_each_kernel;

macro_rules! on_kernel {
    (mod $module:ident: $kernel:ident, $($name:ident)*) => {
        mod $module {
            $(#[test] fn $name() {
                let path = concat!(module_path!(), "::", stringify!($name));
                $crate::case::run($crate::case::Kernel::$kernel, path, super::$name);
            })*
        }
    };
}
pub(crate) use on_kernel;

/// What the suite is run on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kernel {
    Epoll,
    Uring,
    SimulatedEpoll,
    SimulatedUring,
}

impl Kernel {
    /// The kinds of it there are.
    pub(crate) fn environments(self) -> Result<Vec<Rc<dyn Environment>>, OpenError> {
        Ok(match self {
            Self::Epoll => vec![Rc::new(Linux::new(DriverChoice::Epoll)?)],
            Self::Uring => vec![Rc::new(Linux::new(DriverChoice::Uring)?)],
            Self::SimulatedEpoll => Simulated::epoll().into_iter().map(boxed).collect(),
            Self::SimulatedUring => Simulated::uring().into_iter().map(boxed).collect(),
        })
    }
}

fn boxed(environment: Simulated) -> Rc<dyn Environment> {
    Rc::new(environment)
}

/// One behaviour on one kernel. It stands for the [`Environment`] as well.
pub(crate) struct Case {
    path: &'static str,
    environment: Rc<dyn Environment>,
}

pub(crate) fn run(kernel: Kernel, path: &'static str, test: fn(&Case)) {
    let environments = match kernel.environments() {
        Ok(environments) => environments,
        Err(reason) => return eprintln!("not tested on {kernel:?}: {path}: {reason}"),
    };
    for environment in environments {
        eprintln!("on {environment}");
        test(&Case { path, environment });
    }
}

impl Deref for Case {
    type Target = dyn Environment;

    fn deref(&self) -> &Self::Target {
        &*self.environment
    }
}

impl Case {
    pub(crate) fn open(&self) -> Bench {
        self.open_with(DriverOptions::default())
    }

    pub(crate) fn open_with(&self, options: DriverOptions) -> Bench {
        Bench::new(Rc::clone(&self.environment), &options)
    }

    /// A client of a listener.
    pub(crate) fn connect(&self, address: impl Into<Address>) -> Box<dyn Peer> {
        self.try_connect(&address.into()).expect("connect")
    }

    /// A listener outside of the driver, on a port of the kernel's choice.
    pub(crate) fn listener(&self) -> (Box<dyn Listener>, Address) {
        self.listen(&any_port(), 128)
    }

    /// The two kinds of names of Unix sockets, both unused.
    pub(crate) fn unix_names(&self) -> [Address; 2] {
        let name = self.path().into_os_string().into_encoded_bytes();
        [UnixAddress::Path(self.path()), UnixAddress::Abstract(name)].map(Address::Unix)
    }

    /// Runs the rest of the behaviour in a process of its own, whose limit and descriptors are nobody else's.
    pub(crate) fn alone(&self, behaviour: impl FnOnce()) {
        let (_, name) = self.path.split_once("::").expect("crate::module::test");
        self.environment.alone(name, Box::new(behaviour));
    }
}

/// An address of this machine that nobody has.
pub(crate) fn any_port() -> Address {
    Address::Tcp((Ipv4Addr::LOCALHOST, 0).into())
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
