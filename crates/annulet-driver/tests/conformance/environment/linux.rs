//! The kernel this runs on.

mod sockets;

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use annulet_driver::{
    Address, Domain, Driver, DriverChoice, DriverOptions, OpenError, Socket, limits, select,
};

use super::{Actor, Environment, Event, Listener, Peer};

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
        let (ours, peer) = sockets::pair(domain);
        (driver.sockets().adopt(ours.into()), peer)
    }

    fn try_connect(&self, address: &Address) -> io::Result<Box<dyn Peer>> {
        sockets::connect(address)
    }

    fn listen(&self, address: &Address, backlog: u32) -> (Box<dyn Listener>, Address) {
        sockets::listener(address, backlog)
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

impl fmt::Display for Linux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this kernel, {:?}", self.choice)
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

fn on_a_thread(act: impl FnOnce() -> Vec<u8> + Send + 'static) -> Actor {
    let thread = thread::spawn(act);
    Actor::new(|| thread.join().expect("an act that succeeds"))
}
