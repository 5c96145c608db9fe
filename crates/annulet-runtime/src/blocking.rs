//! Threads for work that blocks, so that no reactor has to: files without ring support, name resolution, user
//! code.
//!
//! A job is in one of these states, all of them guarded by one mutex:
//!
//! | state | leaves it by | what the waiter sees |
//! |---|---|---|
//! | refused | being dropped before [`BlockingPool::spawn`] returns the error | the error |
//! | queued | a thread taking it | |
//! | queued | shutdown, which drops it unrun | cancellation, when the closure drops its sender |
//! | running | returning or panicking | whatever the closure arranged for |
//!
//! Neither running a job nor dropping one happens with the mutex held: both are foreign code, and may call
//! back.

pub(crate) mod resolve;
pub(crate) mod task;
#[cfg(test)]
mod tests;

pub(crate) use resolve::{parse_literal, resolve, system_resolver};

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, mem, thread};

use annulet_driver::limits::allow_current_thread;
use thiserror::Error;

use crate::contain::contain;
use crate::outside::Refused;

/// Threads a pool starts at most. They wait rather than compute, so there may be more of them than cores.
pub(crate) const BLOCKING_THREADS_MAX: usize = 64;
/// Jobs a pool keeps waiting at most: sixteen for each thread.
pub(crate) const BLOCKING_QUEUE_MAX: usize = 16 * BLOCKING_THREADS_MAX;
/// How long a thread waits for another job before it ends, unless it is the last.
pub(crate) const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A piece of work. It delivers its own result, and drops the means to do so when it is dropped unrun.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Bounds of a [`BlockingPool`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockingLimits {
    /// Threads at most; at least 1.
    pub(crate) threads_max: usize,
    /// Jobs at most that wait for a busy thread. A job that a thread without one is about to take does not
    /// count.
    pub(crate) queue_max: usize,
    /// How long a thread waits for another job before it ends, unless it is the last.
    pub(crate) keep_alive: Duration,
}

impl Default for BlockingLimits {
    fn default() -> Self {
        Self {
            threads_max: BLOCKING_THREADS_MAX,
            queue_max: BLOCKING_QUEUE_MAX,
            keep_alive: BLOCKING_KEEP_ALIVE,
        }
    }
}

/// Why a job was not taken. It has been dropped without running.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum BlockingError {
    /// All threads are busy and as many jobs wait as may. Worth another try when some have finished.
    #[error("the blocking pool is full: {queue_max} jobs are waiting for {threads_max} threads")]
    QueueFull {
        /// The bound that was met.
        queue_max: usize,
        /// Threads the pool may start.
        threads_max: usize,
    },
    /// The pool is shutting down or has shut down. Final.
    #[error("the blocking pool has shut down")]
    ShutDown,
    /// The pool has no thread, and the system refused to start one. Worth another try when it has room.
    #[error("cannot start a thread for the blocking pool")]
    ThreadStart(#[source] io::Error),
    /// There is no pool, and who stands in for it refused. Worth another try.
    #[error(transparent)]
    Outside(#[from] Refused),
}

/// What a [`BlockingPool`] is doing, and has done since it was made.
///
/// Every job ever accepted is in exactly one of `queued`, `running`, `completed` and `discarded`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockingStats {
    /// Threads alive, with or without a job.
    pub(crate) threads: usize,
    /// Jobs that have started and not ended.
    pub(crate) running: usize,
    /// Jobs accepted and not started.
    pub(crate) queued: usize,
    /// Jobs that ran to their end, by panic or otherwise.
    pub(crate) completed: u64,
    /// Of the completed, those that panicked.
    pub(crate) panicked: u64,
    /// Jobs dropped by shutdown before they started.
    pub(crate) discarded: u64,
    /// Jobs not accepted, for whatever reason.
    pub(crate) refused: u64,
    /// Times the system refused to start a thread.
    pub(crate) thread_start_failures: u64,
}

/// A bounded pool of threads, started when there is work for them and ended, but for the last, when there has been
/// none for a while.
///
/// Shared by all reactors of a process. Dropping it closes it, as [`shutdown`](Self::shutdown) does, without
/// waiting.
pub(crate) struct BlockingPool {
    shared: Arc<Shared>,
    start_thread: StartThread,
}

/// Starts the thread of this number; a parameter so that its failure can be tested.
type StartThread = fn(Arc<Shared>, u64) -> io::Result<()>;

/// What the pool and its threads have in common.
struct Shared {
    limits: BlockingLimits,
    cpus: Vec<usize>,
    state: Mutex<State>,
    /// There is a job in the queue, or the pool is closed.
    work: Condvar,
    /// A thread has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    closed: bool,
    /// Threads alive. Each of them either runs a job or is available.
    threads: usize,
    /// Threads without a job: waiting, starting, or on their way back to the queue. While the queue is
    /// shorter than this, each job in it has a thread coming for it.
    available: usize,
    /// Threads ever started; their numbers count from 1.
    threads_started: u64,
    completed: u64,
    panicked: u64,
    discarded: u64,
    refused: u64,
    thread_start_failures: u64,
}

impl State {
    fn running(&self) -> usize {
        self.threads - self.available
    }
}

impl BlockingPool {
    /// An empty pool; it has no thread before it has a job.
    ///
    /// # Panics
    ///
    /// If `limits` allow no thread.
    #[cfg(test)]
    pub(crate) fn new(limits: BlockingLimits) -> Self {
        Self::on_cpus(limits, Vec::new())
    }

    /// [`new`](Self::new), with threads that run on these processors; on those of whoever starts them when empty. A
    /// pinned reactor starts threads too, and they would keep it company on its processor.
    ///
    /// # Panics
    ///
    /// If `limits` allow no thread.
    pub(crate) fn on_cpus(limits: BlockingLimits, cpus: Vec<usize>) -> Self {
        Self::with_start_thread(limits, cpus, start_thread)
    }

    fn with_start_thread(limits: BlockingLimits, cpus: Vec<usize>, start_thread: StartThread) -> Self {
        assert!(limits.threads_max > 0, "a blocking pool needs a thread");
        let state = Mutex::new(State::default());
        let shared = Shared { limits, cpus, state, work: Condvar::new(), ended: Condvar::new() };
        Self { shared: Arc::new(shared), start_thread }
    }

    /// Hands `job` to a thread: an idle one, else a new one, else whichever gets to it first.
    ///
    /// Does not wait for the job; at worst for the start of a thread. A job that panics ends there; whoever
    /// wants to know catches the panic within the job.
    pub(crate) fn spawn(&self, job: Job) -> Result<(), BlockingError> {
        let mut state = self.shared.lock();
        match self.admit(&mut state) {
            Ok(()) => {
                state.queue.push_back(job);
                drop(state);
                self.shared.work.notify_one();
                Ok(())
            }
            Err(error) => {
                state.refused += 1;
                drop(state);
                drop(job);
                Err(error)
            }
        }
    }

    /// Makes sure that a thread will come for one more job, and that there is room for it until then.
    fn admit(&self, state: &mut State) -> Result<(), BlockingError> {
        let BlockingLimits { threads_max, queue_max, .. } = self.shared.limits;
        if state.closed {
            return Err(BlockingError::ShutDown);
        }
        if state.queue.len() < state.available {
            return Ok(());
        }
        if state.threads < threads_max {
            // With the mutex held, so that no job is ever queued for a thread that then does not start.
            match (self.start_thread)(Arc::clone(&self.shared), state.threads_started + 1) {
                Ok(()) => {
                    state.threads_started += 1;
                    state.threads += 1;
                    state.available += 1;
                    return Ok(());
                }
                Err(error) => {
                    state.thread_start_failures += 1;
                    if state.threads == 0 {
                        return Err(BlockingError::ThreadStart(error));
                    }
                }
            }
        }
        if state.queue.len() - state.available < queue_max {
            return Ok(());
        }
        Err(BlockingError::QueueFull { queue_max, threads_max })
    }

    /// Stops taking jobs, drops those that have not started, and waits for the others, for as long as
    /// `timeout`.
    ///
    /// Returns how many jobs were still running when the time was up; they go on, on threads that end after
    /// them and that nobody waits for. Blocks its caller, so it is not for a reactor, nor for a job, which
    /// would wait for itself. May be called again to wait for longer.
    pub(crate) fn shutdown(&self, timeout: Duration) -> usize {
        self.close();
        let state = self.shared.lock();
        let wait = self.shared.ended.wait_timeout_while(state, timeout, |state| state.threads > 0);
        let (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        state.running()
    }

    /// The counters, all of one moment.
    pub(crate) fn stats(&self) -> BlockingStats {
        let state = self.shared.lock();
        BlockingStats {
            threads: state.threads,
            running: state.running(),
            queued: state.queue.len(),
            completed: state.completed,
            panicked: state.panicked,
            discarded: state.discarded,
            refused: state.refused,
            thread_start_failures: state.thread_start_failures,
        }
    }

    fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let discarded = mem::take(&mut state.queue);
        state.discarded += discarded.len() as u64;
        drop(state);
        self.shared.work.notify_all();
        for job in discarded {
            contain(|| drop(job));
        }
    }
}

impl Drop for BlockingPool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No foreign code runs with the mutex held, so a poisoned one would still guard a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a thread.
    fn run(&self) {
        let mut state = self.lock();
        loop {
            let wait = self.work.wait_timeout_while(state, self.limits.keep_alive, |state| {
                state.queue.is_empty() && !state.closed && state.threads > 1
            });
            (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
            if state.threads == 1 {
                // The last one stays, without a look at the clock: a process at rest is to make no system call.
                let wait = self.work.wait_while(state, |state| state.queue.is_empty() && !state.closed);
                state = wait.unwrap_or_else(PoisonError::into_inner);
            }
            // A job that came while the wait ran out is still taken: its spawner counted on this thread.
            let Some(job) = state.queue.pop_front() else { break };
            state.available -= 1;
            drop(state);
            let returned = contain(job).is_some();
            state = self.lock();
            state.available += 1;
            state.completed += 1;
            state.panicked += u64::from(!returned);
        }
        state.available -= 1;
        state.threads -= 1;
        drop(state);
        self.ended.notify_all();
    }
}

/// Starts a thread and leaves it detached.
fn start_thread(shared: Arc<Shared>, number: u64) -> io::Result<()> {
    // The kernel keeps the first 15 bytes, so the number shows in panic messages and debuggers but not in
    // `top`.
    let name = format!("annulet-blocking-{number}");
    let run = move || {
        if !shared.cpus.is_empty()
            && let Err(error) = allow_current_thread(&shared.cpus)
        {
            tracing::debug!(%error, "a blocking thread stays where its reactor is pinned");
        }
        shared.run();
    };
    thread::Builder::new().name(name).spawn(run).map(drop)
}
