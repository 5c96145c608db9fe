//! Echo on io_uring by hand: no futures, no runtime, nothing that an echo does not need. The floor. `--protocol http`
//! answers all requests with one response instead, all those of a receive in one send.
//!
//! `--send direct` answers with a non-blocking `send(2)` while the completions are walked; `--send ring` stages a
//! submission queue entry instead, so that all answers of a turn leave with its one `io_uring_enter`; `--send quiet`
//! the same with entries that complete in silence.

mod buffers;
mod conn;
mod reactor;
mod ring;
mod run;
mod sock;

use std::time::Duration;

use bench_common::args::Args;
use bench_common::counters::Counters;
use bench_common::listen::Blocking;
use bench_common::protocol::Protocol;
use bench_common::server::{self, ServerArgs};

use crate::reactor::{Options, Reactor, SendMode};

fn main() -> std::io::Result<()> {
    let mut args = Args::from_env();
    let server = ServerArgs::take(&mut args);
    let options = Options {
        protocol: args.value_or("--protocol", Protocol::Echo),
        send: args.value_or("--send", SendMode::Direct),
        watch: Duration::from_micros(args.value_or("--watch-us", 0)),
        sq_entries: args.value_or("--sq", 256),
        cq_entries: args.value_or("--cq", 4096),
        buffers: args.value_or("--buffers", 128),
        buffer_size: args.value_or("--buffer-size", 8192),
    };
    args.finish();
    let counters = Counters::leak(server.reactors);
    let report = || Some(Counters::json(counters));
    server::run(server, Blocking::Yes, report, move |index, listener| {
        ring::with_ring(&options, |submitter, sq, cq| {
            Reactor::new(options, &counters[index], &listener, submitter, sq, cq)?.run()
        })
    })
}
