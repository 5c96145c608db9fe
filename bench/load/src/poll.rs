//! epoll with nanosecond timeouts, sleeping or spinning.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

const EVENTS_MAX: usize = 256;
const INTEREST: i32 = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;

/// How the client waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// In the kernel: the server pays for waking us.
    Sleep,
    /// By asking again and again: our core never sleeps and is never woken.
    Spin,
}

pub(crate) struct Poll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
    waiting: Waiting,
    /// Time spent spinning without result.
    idle: Duration,
}

impl Poll {
    pub(crate) fn new(waiting: Waiting) -> io::Result<Self> {
        // The default slack of 50 µs would be added to each intended send time.
        // SAFETY: no pointer is involved.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
        // SAFETY: no pointer is involved.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        Ok(Self { fd, events, waiting, idle: Duration::ZERO })
    }

    /// Watches both directions, edge-triggered; closing the fd ends it.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: usize) -> io::Result<()> {
        let mut event = libc::epoll_event { events: INTEREST as u32, u64: token as u64 };
        let (epoll, fd) = (self.fd.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: `event` is a live value that the kernel only reads during the call.
        let done = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Waits until something is ready, at most `timeout`; how many tokens there are.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<usize> {
        if self.waiting == Waiting::Sleep {
            return self.wait_once(timeout);
        }
        let ready = self.wait_once(Duration::ZERO)?;
        if ready > 0 {
            return Ok(ready);
        }
        let start = Instant::now();
        loop {
            let ready = self.wait_once(Duration::ZERO)?;
            let waited = start.elapsed();
            if ready > 0 || waited >= timeout {
                self.idle += waited;
                return Ok(ready);
            }
        }
    }

    fn wait_once(&mut self, timeout: Duration) -> io::Result<usize> {
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(timeout.subsec_nanos()),
        };
        let (epoll, events, max) = (self.fd.as_raw_fd(), self.events.as_mut_ptr(), EVENTS_MAX as i32);
        // SAFETY: events and their number are those of the live vector, the timeout is a live value, and null means
        // that the signal mask stays.
        let ready = unsafe { libc::epoll_pwait2(epoll, events, max, &timeout, std::ptr::null()) };
        if ready >= 0 {
            return Ok(ready as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::Interrupted { Ok(0) } else { Err(error) }
    }

    /// The token of one event of the last wait.
    #[inline]
    pub(crate) fn token(&self, at: usize) -> usize {
        self.events[at].u64 as usize
    }

    /// Time spent spinning without result, since the start.
    pub(crate) fn idle(&self) -> Duration {
        self.idle
    }
}
