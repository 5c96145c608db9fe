//! Limits on memory.

use std::process::{Command, Stdio};

use crate::client::converse;
use crate::process::{Server, serve};

/// `command` with so many MiB of address space.
fn limited(mebibytes: u64, command: &Command) -> Command {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--as={}", mebibytes << 20));
    limited.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    limited
}

#[test]
fn a_server_with_little_address_space_serves_or_says_why_it_cannot() {
    if let Err(error) = Command::new("prlimit").arg("--version").output() {
        eprintln!("not tested with little address space, for want of prlimit: {error}");
        return;
    }
    // What a thread reserves comes in big pieces: somewhere among these it is the last thread that cannot be had.
    for mebibytes in (96..=240).step_by(8) {
        let mut command = limited(mebibytes, &serve(&["echo"]));
        match Server::try_start_command(&mut command) {
            Ok(server) => {
                converse(server.address(), b"all the same", b"all the same");
                server.stop_cleanly();
            }
            Err(finished) => {
                assert_eq!(finished.code, Some(1), "{mebibytes} MiB: {finished:?}");
                let last = finished.stderr.lines().last().expect("a line");
                assert!(last.starts_with("annulet: "), "{mebibytes} MiB: {finished:?}");
            }
        }
    }
}
