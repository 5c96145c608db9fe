//! What every benchmarked server shares, so that only the runtime differs: the same listener, the same
//! signal handling, the same start line, the same option syntax, and for the hand-written loops the same
//! scraps of HTTP; and what the harness uses to look at a server from outside (pinning, CPU clocks, memory).

pub mod affinity;
pub mod args;
pub mod counters;
pub mod cpu;
pub mod http;
pub mod listen;
pub mod memory;
pub mod protocol;
pub mod server;
pub mod signals;
