//! What the integration tests share: scenarios on every driver, clients on threads, figures of the process.
//!
//! # Two drivers
//!
//! [`each_driver`] runs a scenario on epoll and on io_uring. Where the kernel refuses io_uring the reason is printed and
//! that half is left out; `ANNULET_TEST_DRIVER=epoll` (or `uring`) leaves out the other half by hand.
//!
//! # Clean ends
//!
//! [`run`] builds the runtime, runs a future in it and asserts that every reactor's `ExitReport` is clean: no operation,
//! socket, buffer, source or task may be left. Every test goes through it, so every test is a leak test.
//!
//! # Figures of the process
//!
//! Tests run side by side in one process. One that counts descriptors, threads or memory, or lowers a limit, runs in a
//! process of its own: see [`isolated`].
//!
//! # Big figures
//!
//! The normal run is scaled down. `ANNULET_FULL=1` gives the figures of the specification (1 GiB, 10,000 connections,
//! 200,000 connections, …); run it in release, with `--nocapture` to see what was measured:
//!
//! ```text
//! ANNULET_FULL=1 cargo test --release -p annulet --all-features -- --nocapture --test-threads=1
//! ```
//!
//! # Time
//!
//! Nothing sleeps to give something else time: tests wait for what they need ([`Gate`], [`until`], reading). Where a
//! clock is what is tested, it has a lower bound and an upper bound of at least ten times what is expected.

// Each test binary uses a part of it.
#![allow(dead_code, unused_imports)]

mod client;
mod gate;
pub(crate) mod helper;
#[cfg(feature = "http")]
pub(crate) mod http_peer;
mod isolate;
mod pattern;
mod process;
mod thread;

pub(crate) use client::{End, connect, connect_narrow, end_of, exchange, read_all, read_exactly};
pub(crate) use gate::{Gate, until};
pub(crate) use isolate::{each_driver_alone, isolated, isolated_under};
pub(crate) use pattern::Pattern;
pub(crate) use process::{Memory, descriptors, threads};
pub(crate) use thread::{Thread, thread};

use std::net::SocketAddr;
use std::time::Duration;

use annulet::driver::limits::raise_descriptor_limit;
use annulet::driver::select;
use annulet::time::timeout;
use annulet::{
    Builder, Connection, DriverChoice, DriverOptions, Handle, HandlerResult, Runtime, Server, Stats,
};

/// How long one wait of a client may take before it counts as hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Whether the figures are to be those of the specification.
pub(crate) fn full() -> bool {
    std::env::var_os("ANNULET_FULL").is_some_and(|value| value == "1")
}

/// A figure: what the specification says, or a smaller one in a normal run.
pub(crate) fn scaled<T>(normal: T, specified: T) -> T {
    if full() { specified } else { normal }
}

/// The drivers to be tested here.
pub(crate) fn drivers() -> Vec<DriverChoice> {
    // Both ends of every connection are in this process, and 1024 descriptors, the usual soft limit, are too few for tests
    // that run side by side.
    if let Err(error) = raise_descriptor_limit() {
        eprintln!("the limit on descriptors stays as it is: {error}");
    }
    match std::env::var("ANNULET_TEST_DRIVER").as_deref() {
        Ok("epoll") => return vec![DriverChoice::Epoll],
        Ok("uring") => return vec![DriverChoice::Uring],
        _ => {}
    }
    match select(DriverChoice::Uring, &DriverOptions::default()) {
        Ok(_) => vec![DriverChoice::Epoll, DriverChoice::Uring],
        Err(error) => {
            eprintln!("not tested on io_uring: {error}");
            vec![DriverChoice::Epoll]
        }
    }
}

/// Runs `scenario` on every driver, with one reactor unless the scenario says otherwise.
pub(crate) fn each_driver(scenario: impl Fn(Builder)) {
    for driver in drivers() {
        eprintln!("on {driver:?}");
        scenario(Runtime::builder().driver(driver).reactors(1));
    }
}

/// Runs `future` to its end on a runtime of these settings, and sees to it that nothing is left behind.
pub(crate) fn run<F: Future>(builder: Builder, future: F) -> F::Output {
    let runtime = builder.build().expect("a runtime");
    let (output, reports) = runtime.block_on_reporting(async {
        timeout(scaled(PATIENCE, PATIENCE * 30), future).await.expect("the scenario hangs")
    });
    let output = output.expect("a runtime that does not break");
    for report in reports {
        assert!(report.is_clean(), "left behind: {report}");
    }
    output
}

/// A server of one handler at a port of the kernel's choice.
pub(crate) async fn serve<H>(handler: H) -> Server
where
    H: AsyncFn(Connection) -> HandlerResult + Clone + Send + 'static,
{
    Server::builder().listen("127.0.0.1:0", handler).start().await.expect("a server")
}

/// Where a server listens.
pub(crate) fn address(server: &Server) -> SocketAddr {
    server.addresses()[0].as_tcp().expect("a TCP address")
}

/// Stops a server that has nobody left to wait for.
pub(crate) async fn stop(server: Server) {
    let report = server.stop().await;
    assert!(report.is_clean(), "{report}");
}

/// The handler most tests start from: leases are forwarded.
pub(crate) async fn echo(mut connection: Connection) -> HandlerResult {
    while let Some(chunk) = connection.recv().await? {
        connection.send(chunk).await?;
    }
    Ok(())
}

/// A counter of the current runtime, summed over its reactors.
///
/// # Panics
/// When there is none of that name, so that a renamed counter fails the test instead of hiding in a zero.
pub(crate) fn counter(name: &str) -> u64 {
    Stats::of(&Handle::current()).get(name).unwrap_or_else(|| panic!("there is no counter {name}"))
}
