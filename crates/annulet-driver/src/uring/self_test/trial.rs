//! A ring under test.

use std::collections::VecDeque;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use io_uring::{cqueue, squeue};
use socket2::{SockAddr, Socket};

use crate::driver::Wait;
use crate::kernel::Queues;
use crate::op::Key;
use crate::options::PoolOptions;
use crate::pool::BufferPool;
use crate::sys;
use crate::uring::buffer_ring::{self, BufferRing};
use crate::uring::memory::with_memory;
use crate::uring::ring::Ring;
use crate::uring::{entry, refusal};

/// How long a step may take. Only a broken kernel, or a machine stopped meanwhile, needs it.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// Buffers and their size: the smallest pool there is.
pub(super) const BUFFERS: u32 = 4;
pub(super) const BUFFER_SIZE: u32 = 512;

/// Turns an error into a reason that begins with what was done.
pub(super) fn doing(what: &'static str) -> impl FnOnce(std::io::Error) -> String {
    move |error| refusal::describe(what, &error)
}

/// Requires something of the kernel.
pub(super) fn require(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("self-test: {what}")) }
}

/// A ring under test and what its operations use.
pub(super) struct Trial {
    // Dropped first, as in the driver.
    pub(super) ring: Ring,
    pool: BufferPool,
    buffers: Option<BufferRing>,
    pub(super) staged: VecDeque<squeue::Entry>,
    /// What connects go to; kept for those that fail to end.
    pub(super) address: Option<Box<SockAddr>>,
    /// Number of the latest operation.
    latest: u32,
    /// Operations the kernel has taken and not ended; without end when it ended more than it had.
    in_flight: u32,
}

/// A completion, copied.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) key: Key,
    pub(super) result: i32,
    flags: u32,
}

impl Seen {
    pub(super) fn more(self) -> bool {
        cqueue::more(self.flags)
    }
}

impl Trial {
    pub(super) fn new(ring: Ring) -> Result<Self, String> {
        let options = PoolOptions { buffers: BUFFERS, buffers_max: BUFFERS, buffer_size: BUFFER_SIZE };
        let pool = BufferPool::new(&options, Arc::default()).map_err(doing("mmap"))?;
        let staged = VecDeque::new();
        Ok(Self { ring, pool, buffers: None, staged, address: None, latest: 0, in_flight: 0 })
    }

    /// A key for the next operation.
    pub(super) fn key(&mut self) -> Key {
        self.latest += 1;
        Key { slot: self.latest, generation: 0 }
    }

    pub(super) fn enter(&mut self, wait: Wait) -> Result<(), String> {
        let count = self.staged.len();
        // SAFETY: R2: `self` keeps the buffers and the address until all operations ended, or leaks them.
        let filled = unsafe { self.ring.fill(&mut self.staged, count) };
        require(filled == count, "the submission queue stays full")?;
        let before = self.ring.pending();
        let result = self.ring.enter(wait);
        // Also those taken by a call that failed.
        self.in_flight = self.in_flight.saturating_add(before - self.ring.pending());
        result.map_err(doing("io_uring_enter"))?;
        Ok(())
    }

    /// Submits what is staged and takes exactly `count` completions.
    pub(super) fn take(&mut self, count: usize) -> Result<Vec<Seen>, String> {
        let deadline = sys::monotonic_now() + PATIENCE;
        let mut seen = Vec::new();
        self.enter(Wait::Poll)?;
        loop {
            seen.append(&mut self.take_present());
            if seen.len() >= count {
                require(seen.len() == count, "more completions than operations explain")?;
                return Ok(seen);
            }
            require(sys::monotonic_now() < deadline, "a completion did not come")?;
            self.enter(Wait::Until(Some(deadline)))?;
        }
    }

    /// Takes what is there.
    pub(super) fn take_present(&mut self) -> Vec<Seen> {
        let seen = |cqe: cqueue::Entry| Seen {
            key: Key::from_bits(cqe.user_data()),
            result: cqe.result(),
            flags: cqe.flags(),
        };
        let seen: Vec<Seen> = self.ring.completions().map(seen).collect();
        let ended = seen.iter().filter(|seen| !seen.more()).count() as u32;
        self.in_flight = self.in_flight.checked_sub(ended).unwrap_or(u32::MAX);
        seen
    }

    /// An operation ended whose completion is left out.
    pub(super) fn ended_silently(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(super) fn take_one(&mut self) -> Result<Seen, String> {
        self.take(1).map(|seen| seen[0])
    }

    /// The bytes of a receive's completion; its buffer goes back to the kernel.
    pub(super) fn bytes(&mut self, seen: Seen) -> Result<Vec<u8>, String> {
        require(seen.result > 0, "a receive did not bring bytes")?;
        let buffer = buffer_ring::buffer(seen.flags).filter(|id| u32::from(*id) < BUFFERS);
        let buffer = buffer.ok_or("self-test: a receive named no buffer")?;
        Ok(self.pool.deliver(buffer, seen.result as usize).to_vec())
    }

    pub(super) fn register_buffers(&mut self) -> Result<(), String> {
        let buffers = with_memory(|| BufferRing::register(&self.ring, BUFFERS));
        let buffers = buffers.map_err(doing("a provided buffer ring"))?;
        self.buffers = Some(buffers);
        self.publish();
        Ok(())
    }

    pub(super) fn publish(&mut self) {
        if let Some(buffers) = &mut self.buffers {
            buffers.publish(&self.pool);
        }
    }

    /// Stages a connect to the address.
    pub(super) fn connect(&mut self, key: Key, socket: &Socket) {
        let address = self.address.as_deref().expect("set before");
        self.staged.push_back(entry::connect(key, socket.as_raw_fd(), address));
    }

    pub(super) fn cancel(&mut self, key: Key, complaint: &str) -> Result<(), String> {
        self.staged.push_back(entry::cancel(key));
        let seen = self.take(2)?;
        require(
            seen.iter().any(|seen| seen.key.slot == key.slot && seen.result < 0 && !seen.more()),
            complaint,
        )
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.in_flight > 0 {
            // The kernel may still write. A few pages, once for each rung that fails half way.
            std::mem::forget(self.pool.clone());
            std::mem::forget(self.address.take());
            if let Some(buffers) = &mut self.buffers {
                buffers.leak();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::uring::ladder::Rung;

    #[test]
    fn an_operation_is_in_flight_from_the_call_that_takes_it_to_its_last_completion() {
        let ring = match Ring::new(Rung::Cooperative, 8, 16, false) {
            Ok(ring) => ring,
            Err(error) => return eprintln!("not tested on io_uring: {error}"),
        };
        let mut trial = Trial::new(ring).expect("a pool");
        if let Err(reason) = trial.register_buffers() {
            return eprintln!("not tested on io_uring: {reason}");
        }
        let (_near, far) = UnixStream::pair().expect("a pair");
        let key = trial.key();
        trial.staged.push_back(entry::receive(key, far.as_raw_fd(), 0));
        assert_eq!(trial.in_flight, 0);
        trial.enter(Wait::Poll).expect("taken");
        assert_eq!(trial.in_flight, 1);
        trial.cancel(key, "a receive that does not end").expect("cancelled");
        assert_eq!(trial.in_flight, 0);
    }
}
