//! Every example, started as a user starts it and talked to as a user talks to it, on every driver.
//!
//! The programs are those that `cargo test` builds beside this one. To run this test alone, build them first:
//! `cargo build -p annulet-examples --examples`.

mod http;
mod program;
mod servers;
mod standalone;

use std::collections::BTreeSet;
use std::path::Path;

/// Which examples the tests of this target start.
const TESTED: [&str; 22] = [
    "client",
    "command",
    "echo",
    "graceful_shutdown",
    "http_chat",
    "http_client",
    "http_events",
    "http_graceful_shutdown",
    "http_hello",
    "http_long_polling",
    "http_router",
    "http_streaming",
    "length_prefixed",
    "lines",
    "per_reactor_state",
    "proxy",
    "several_listeners",
    "simulation",
    "spawn_blocking",
    "timeouts",
    "tokio_io",
    "unix_socket",
];

#[test]
fn no_example_is_left_out() {
    let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the examples");
    let names: BTreeSet<String> = folder
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, TESTED.map(String::from).into());
}
