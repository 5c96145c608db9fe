//! The measured window: what the clocks said when it opened and when it closed.

use std::io;
use std::time::{Duration, Instant};

use bench_common::cpu::{self, Machine};

/// All clocks and the counter, at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    messages: u64,
    client: Duration,
    client_idle: Duration,
    server: Option<Duration>,
    machine: Machine,
}

/// What happened between opening and closing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) wall: Duration,
    pub(crate) messages: u64,
    pub(crate) client: Duration,
    pub(crate) client_idle: Duration,
    pub(crate) server: Option<Duration>,
    /// CPU time of everybody else on this machine, in ticks of 10 ms.
    pub(crate) others: Duration,
    pub(crate) steal: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    WarmUp,
    Open,
    Closed,
}

pub(crate) struct Window {
    server_pid: Option<u32>,
    opens: Instant,
    closes: Instant,
    start: Option<Sample>,
    end: Option<Sample>,
}

impl Window {
    /// A window that opens after `warm_up` and lasts `length`.
    pub(crate) fn new(server_pid: Option<u32>, warm_up: Duration, length: Duration) -> Self {
        let opens = Instant::now() + warm_up;
        Self { server_pid, opens, closes: opens + length, start: None, end: None }
    }

    /// To be called at least once per round of the client's loop.
    #[inline]
    pub(crate) fn phase(&mut self, now: Instant, messages: u64, idle: Duration) -> io::Result<Phase> {
        if now < self.opens {
            return Ok(Phase::WarmUp);
        }
        if self.start.is_none() {
            self.start = Some(self.sample(messages, idle)?);
        }
        if now < self.closes {
            return Ok(Phase::Open);
        }
        self.close(messages, idle)?;
        Ok(Phase::Closed)
    }

    /// Closes the window before its time.
    pub(crate) fn close(&mut self, messages: u64, idle: Duration) -> io::Result<()> {
        if self.end.is_none() {
            self.end = Some(self.sample(messages, idle)?);
        }
        Ok(())
    }

    /// Time until the next change of phase.
    pub(crate) fn remaining(&self, now: Instant) -> Duration {
        let next = if self.start.is_none() { self.opens } else { self.closes };
        next.saturating_duration_since(now)
    }

    pub(crate) fn measured(&self) -> Option<Measured> {
        let (start, end) = (self.start?, self.end?);
        let client = end.client - start.client;
        let server = end.server.zip(start.server).map(|(end, start)| end - start);
        let busy = end.machine.busy.saturating_sub(start.machine.busy);
        Some(Measured {
            wall: end.at - start.at,
            messages: end.messages - start.messages,
            client,
            client_idle: end.client_idle - start.client_idle,
            server,
            others: busy.saturating_sub(client + server.unwrap_or_default()),
            steal: end.machine.steal.saturating_sub(start.machine.steal),
        })
    }

    fn sample(&self, messages: u64, client_idle: Duration) -> io::Result<Sample> {
        Ok(Sample {
            machine: cpu::machine(),
            server: self.server_pid.map(cpu::process_cpu).transpose()?,
            client: cpu::thread_cpu()?,
            client_idle,
            messages,
            at: Instant::now(),
        })
    }
}
