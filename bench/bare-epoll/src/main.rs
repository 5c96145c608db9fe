//! Echo, or one response to all requests (`--protocol http`), on epoll by hand: the floor for readiness servers.
//!
//! Edge-triggered and registered once for both directions; a receive shorter than the buffer means drained (new data
//! makes a new edge), so a request costs one `recv` and one `send` and never an `EAGAIN`. One hot buffer
//! per thread; only what the socket does not take is copied.

mod conn;
mod poll;
mod reactor;
mod sock;

use bench_common::args::Args;
use bench_common::counters::Counters;
use bench_common::listen::Blocking;
use bench_common::protocol::Protocol;
use bench_common::server::{self, ServerArgs};

fn main() -> std::io::Result<()> {
    let mut args = Args::from_env();
    let server = ServerArgs::take(&mut args);
    let protocol = args.value_or("--protocol", Protocol::Echo);
    args.finish();
    let counters = Counters::leak(server.reactors);
    let report = || Some(Counters::json(counters));
    server::run(server, Blocking::No, report, move |index, listener| {
        reactor::Reactor::new(protocol, &counters[index], listener)?.run()
    })
}
