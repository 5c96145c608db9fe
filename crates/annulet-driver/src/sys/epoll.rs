//! epoll(7), raw.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::clock::Timespec;
use crate::kernel::Polling;

/// Something may be read, or a listener has a connection.
pub(crate) const READABLE: u32 = libc::EPOLLIN as u32;
/// The send buffer has room, or connecting has ended.
pub(crate) const WRITABLE: u32 = libc::EPOLLOUT as u32;
/// The peer finished sending: there will be nothing to read after what is queued.
pub(crate) const READ_CLOSED: u32 = libc::EPOLLRDHUP as u32;
/// Both directions are closed. Always reported.
pub(crate) const CLOSED: u32 = libc::EPOLLHUP as u32;
/// The socket has an error. Always reported.
pub(crate) const ERROR: u32 = libc::EPOLLERR as u32;

/// One epoll instance and the events of its latest wait.
#[derive(Debug)]
pub(crate) struct Poller {
    descriptor: OwnedFd,
    events: Box<[libc::epoll_event]>,
    /// How many of `events` the latest wait filled.
    filled: usize,
    /// The kernel has no epoll_pwait2 (before 5.11) or a filter hides it: timeouts are rounded up to milliseconds.
    is_coarse: bool,
}

impl Poller {
    /// A poller that takes up to `capacity` events at a time.
    ///
    /// # Errors
    /// Descriptor exhaustion.
    pub(crate) fn new(capacity: usize) -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let descriptor = super::retry(|| unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) as isize })?;
        // SAFETY: S3.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; capacity].into_boxed_slice();
        Ok(Self { descriptor, events, filled: 0, is_coarse: false })
    }

    fn control(&self, action: i32, descriptor: i32, interest: u32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest | libc::EPOLLET as u32, u64: data };
        let poller = self.descriptor.as_raw_fd();
        // SAFETY: S2: a local.
        super::retry(|| unsafe { libc::epoll_ctl(poller, action, descriptor, &mut event) as isize }).map(drop)
    }

    fn wait_finely(&mut self, limit: Duration) -> io::Result<usize> {
        let timeout = Timespec::from(limit);
        let no_mask = std::ptr::null::<libc::sigset_t>();
        // By number, for the C library's wrapper is younger than the call. Not repeated on EINTR: the caller looks at
        // its clock again.
        // SAFETY: S2: `events` is writable for its length, `timeout` is a local in the kernel's 64-bit layout.
        let filled = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.descriptor.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as libc::c_int,
                &raw const timeout,
                no_mask,
                0_usize,
            )
        };
        if filled >= 0 {
            return Ok(filled as usize);
        }
        let error = io::Error::last_os_error();
        // EPERM is what older container runtimes answer for calls they do not know.
        if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) {
            self.is_coarse = true;
            return self.wait_coarsely(milliseconds(limit));
        }
        Err(error)
    }

    fn wait_coarsely(&mut self, milliseconds: i32) -> io::Result<usize> {
        let (events, capacity) = (self.events.as_mut_ptr(), self.events.len() as libc::c_int);
        // SAFETY: S2: `events` is writable for its length.
        let filled = unsafe { libc::epoll_wait(self.descriptor.as_raw_fd(), events, capacity, milliseconds) };
        if filled >= 0 { Ok(filled as usize) } else { Err(io::Error::last_os_error()) }
    }
}

impl Polling for Poller {
    fn watch(&self, descriptor: i32, interest: u32, data: u64) -> io::Result<()> {
        match self.control(libc::EPOLL_CTL_ADD, descriptor, interest, data) {
            // Watched already; or a duplicate was closed and its number is back for the same open file.
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                self.control(libc::EPOLL_CTL_MOD, descriptor, interest, data)
            }
            result => result,
        }
    }

    fn watch_again(&self, descriptor: i32, interest: u32, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, descriptor, interest, data)
    }

    fn forget(&self, descriptor: i32) {
        let _ = self.control(libc::EPOLL_CTL_DEL, descriptor, 0, 0);
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<usize> {
        let result = match limit {
            Some(limit) if !limit.is_zero() && !self.is_coarse => self.wait_finely(limit),
            Some(limit) => self.wait_coarsely(milliseconds(limit)),
            None => self.wait_coarsely(-1),
        };
        self.filled = match result {
            Ok(filled) => filled,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        Ok(self.filled)
    }

    fn filled(&self) -> usize {
        self.filled
    }

    #[inline]
    fn event(&self, index: usize) -> (u32, u64) {
        debug_assert!(index < self.filled, "an event of an earlier wait");
        // By value: the struct is packed on x86-64, as the kernel's is.
        let libc::epoll_event { events, u64: data } = self.events[index];
        (events, data)
    }

    fn clear(&mut self) {
        self.filled = 0;
    }
}

/// So that one can be watched by another kind of wait: it is readable while it has events.
impl AsRawFd for Poller {
    fn as_raw_fd(&self) -> i32 {
        self.descriptor.as_raw_fd()
    }
}

/// Rounded up, so that a wait never ends before its time; the longest is 24 days, after which the caller comes again.
fn milliseconds(limit: Duration) -> i32 {
    i32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{WakeFd, monotonic_now};

    #[test]
    fn a_wait_lasts_its_time_with_and_without_epoll_pwait2() {
        let mut poller = Poller::new(4).expect("poller");
        for is_coarse in [false, true] {
            poller.is_coarse = is_coarse;
            let limit = Duration::from_micros(2_500);
            let start = monotonic_now();
            assert_eq!(poller.wait(Some(limit)).expect("wait"), 0);
            assert!(monotonic_now() - start >= limit);
        }
    }

    #[test]
    fn each_write_to_an_eventfd_is_an_edge_though_nobody_reads_it() {
        let wake = WakeFd::new().expect("eventfd");
        let mut poller = Poller::new(4).expect("poller");
        poller.watch(wake.as_raw_fd(), READABLE, 7).expect("watch");
        for _ in 0..3 {
            assert_eq!(poller.wait(Some(Duration::ZERO)).expect("wait"), 0);
            wake.wake();
            assert_eq!(poller.wait(None).expect("wait"), 1);
            assert_eq!(poller.event(0), (READABLE, 7));
        }
    }

    #[test]
    fn milliseconds_are_rounded_up_and_capped() {
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(7)), 7);
        assert_eq!(milliseconds(Duration::MAX), i32::MAX);
    }
}
