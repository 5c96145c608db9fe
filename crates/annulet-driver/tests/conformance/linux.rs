//! The kernel this runs on. Whoever talks to a driver from outside is a blocking socket.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use annulet_driver::{
    Address, Domain, Driver, DriverChoice, DriverOptions, OpenError, Socket, UnixAddress, limits, select,
};
use socket2::{SockAddr, Type};

use crate::bench::PATIENCE;
use crate::case::read_to_end;
use crate::environment::{Act, Actor, Environment, Event, Listener, Peer};

/// Names a child process that runs one behaviour alone.
const ALONE: &str = "ANNULET_CONFORMANCE_ALONE";

/// The process of the tests, with drivers of one kind.
pub(crate) struct Linux {
    choice: DriverChoice,
    /// What is to be cleared away.
    directories: RefCell<Vec<PathBuf>>,
}

impl Linux {
    /// # Errors
    /// When the kernel has no such driver.
    pub(crate) fn new(choice: DriverChoice) -> Result<Self, OpenError> {
        select(choice, &DriverOptions::default())?;
        Ok(Self { choice, directories: RefCell::default() })
    }
}

impl Environment for Linux {
    fn open_driver(&self, options: &DriverOptions) -> Box<dyn Driver> {
        select(self.choice, options).expect("available a moment ago").open().expect("a driver")
    }

    fn pair(&self, driver: &mut dyn Driver, domain: Domain) -> (Socket, Box<dyn Peer>) {
        let (ours, peer) = match domain {
            Domain::Unix => socket2::Socket::pair(socket2::Domain::UNIX, Type::STREAM, None).expect("pair"),
            Domain::V4 => tcp_pair((Ipv4Addr::LOCALHOST, 0).into()),
            Domain::V6 => tcp_pair((Ipv6Addr::LOCALHOST, 0).into()),
        };
        (driver.sockets().adopt(ours.into()), patient(peer))
    }

    fn try_connect(&self, address: &Address) -> io::Result<Box<dyn Peer>> {
        let socket = fresh(address.domain());
        socket.connect(&to_kernel(address))?;
        Ok(patient(socket))
    }

    fn listen(&self, address: &Address, backlog: u32) -> (Box<dyn Listener>, Address) {
        let listener = listen(address, backlog);
        listener.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let bound = from_kernel(&listener.local_addr().expect("address"));
        (Box::new(listener), bound)
    }

    fn path(&self) -> PathBuf {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("annulet-conformance-{}-{number}", std::process::id()));
        // Of a process of the same number that was killed.
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).expect("a directory");
        let path = directory.join("socket");
        self.directories.borrow_mut().push(directory);
        path
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn pass(&self, time: Duration) {
        thread::sleep(time);
    }

    fn raise(&self, signal: i32) {
        raise(signal);
    }

    fn later(&self, delay: Duration, event: Event) -> Actor {
        on_a_thread(move || {
            thread::sleep(delay);
            match event {
                Event::Unpark(unparker) => unparker.unpark(),
                Event::Signal(signal) => raise(signal),
            }
            Vec::new()
        })
    }

    fn alone(&self, name: &str, behaviour: Box<dyn FnOnce() + '_>) {
        if is_alone() {
            return behaviour();
        }
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args([name, "--exact", "--nocapture", "--test-threads=1"])
            .env(ALONE, "1")
            .output()
            .expect("a child process");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "alone:\n{text}");
    }

    fn open_descriptors(&self) -> usize {
        std::fs::read_dir("/proc/self/fd").expect("procfs").count()
    }

    fn limit_descriptors(&self, left: Option<usize>) {
        assert!(is_alone(), "the limit is everybody's");
        match left {
            Some(left) => lower_descriptor_limit(left),
            None => drop(limits::raise_descriptor_limit().expect("a limit")),
        }
    }

    fn is_closed_on_exec(&self, socket: Socket) -> bool {
        // SAFETY: asks for the flags of a descriptor; no memory is passed.
        let flags = unsafe { libc::fcntl(socket.as_raw(), libc::F_GETFD) };
        flags == libc::FD_CLOEXEC
    }
}

fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// Has the calling thread handle a signal; it has when this returns.
fn raise(signal: i32) {
    // SAFETY: no memory is passed, and a driver handles the signal.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

/// The limit is one on numbers, and the lowest is given out first: what is opened after the last that may be has the first
/// that must not.
fn lower_descriptor_limit(left: usize) {
    let files: Vec<_> = (0..=left).map(|_| File::open("/dev/null").expect("open")).collect();
    let number = files.last().expect("one at least").as_raw_fd();
    let hard = limits::descriptor_limit().expect("a limit").hard;
    let limit = libc::rlimit { rlim_cur: number as libc::rlim_t, rlim_max: hard as libc::rlim_t };
    // SAFETY: `limit` is a local that outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

impl Drop for Linux {
    fn drop(&mut self) {
        for directory in self.directories.take() {
            // A panic is on its way, or what is left does no harm.
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

impl Peer for socket2::Socket {
    fn address(&self) -> Address {
        from_kernel(&self.local_addr().expect("address"))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }

    fn await_delivery(&self) {
        // What is written to a Unix socket is delivered.
        if !self.local_addr().expect("address").is_unix() {
            let start = Instant::now();
            while unacknowledged(self) > 0 {
                assert!(start.elapsed() < PATIENCE, "nobody acknowledges");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn reset(self: Box<Self>) {
        self.set_linger(Some(Duration::ZERO)).expect("linger");
    }

    fn narrow(&self) {
        self.set_recv_buffer_size(1).expect("receive buffer");
    }

    fn meanwhile(mut self: Box<Self>, act: Act) -> Actor {
        on_a_thread(move || match act {
            Act::Write { bytes, piece } => {
                bytes.chunks(piece).for_each(|piece| self.write_all(piece).expect("write"));
                Vec::new()
            }
            Act::Read => read_to_end(self),
        })
    }
}

impl Listener for socket2::Socket {
    fn accept(&self) -> (Box<dyn Peer>, Address) {
        let (socket, from) = self.accept().expect("accept");
        (patient(socket), from_kernel(&from))
    }

    fn hand_over(self: Box<Self>, driver: &mut dyn Driver, nonblocking: bool) -> Socket {
        self.set_read_timeout(None).expect("timeout");
        self.set_nonblocking(nonblocking).expect("mode");
        driver.sockets().adopt((*self).into())
    }
}

fn on_a_thread(act: impl FnOnce() -> Vec<u8> + Send + 'static) -> Actor {
    let thread = thread::spawn(act);
    Actor::new(|| thread.join().expect("an act that succeeds"))
}

fn fresh(domain: Domain) -> socket2::Socket {
    let domain = match domain {
        Domain::V4 => socket2::Domain::IPV4,
        Domain::V6 => socket2::Domain::IPV6,
        Domain::Unix => socket2::Domain::UNIX,
    };
    socket2::Socket::new(domain, Type::STREAM, None).expect("socket")
}

fn listen(address: &Address, backlog: u32) -> socket2::Socket {
    let listener = fresh(address.domain());
    listener.bind(&to_kernel(address)).expect("bind");
    listener.listen(backlog as i32).expect("listen");
    listener
}

/// Bytes of a TCP connection that have been written and not been acknowledged (tcp(7), SIOCOUTQ).
fn unacknowledged(socket: &socket2::Socket) -> i32 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: `bytes` is a local that outlives the call.
    assert_eq!(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) }, 0);
    bytes
}

fn tcp_pair(address: std::net::SocketAddr) -> (socket2::Socket, socket2::Socket) {
    let listener = listen(&address.into(), 1);
    let peer = fresh(Address::from(address).domain());
    peer.connect(&listener.local_addr().expect("address")).expect("connect");
    (listener.accept().expect("accept").0, peer)
}

fn patient(socket: socket2::Socket) -> Box<dyn Peer> {
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    socket.set_write_timeout(Some(PATIENCE)).expect("timeout");
    Box::new(socket)
}

fn to_kernel(address: &Address) -> SockAddr {
    match address {
        Address::Tcp(address) => (*address).into(),
        Address::Unix(UnixAddress::Path(path)) => SockAddr::unix(path).expect("a name that fits"),
        Address::Unix(UnixAddress::Abstract(name)) => {
            let name = [b"\0", name.as_slice()].concat();
            SockAddr::unix(OsStr::from_bytes(&name)).expect("a name that fits")
        }
        Address::Unix(UnixAddress::Unnamed) => panic!("nobody is found without a name"),
    }
}

fn from_kernel(address: &SockAddr) -> Address {
    match (address.as_socket(), address.as_pathname(), address.as_abstract_namespace()) {
        (Some(address), ..) => Address::Tcp(address),
        (_, Some(path), _) => Address::Unix(UnixAddress::Path(path.to_owned())),
        (_, _, Some(name)) => Address::Unix(UnixAddress::Abstract(name.to_owned())),
        _ => Address::Unix(UnixAddress::Unnamed),
    }
}
