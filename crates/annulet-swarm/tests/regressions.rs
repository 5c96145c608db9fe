//! Seeds that found something, each under the name of what it was.

use annulet_sim::Check;
use annulet_swarm::Workload;

#[track_caller]
fn holds(workload: &str, seed: u64) {
    let found = Workload::named(workload).expect("a workload");
    if let Err(failure) = found.run(Check::default().range(seed..seed + 1)) {
        panic!("workload {workload}: {failure}");
    }
}

/// The audit allowed two passes of 32 buffers beyond the limit, where a pass of 64 KiB has more buffers when they are small.
#[test]
fn a_pass_of_small_buffers_is_no_overrun() {
    holds("lines", 23);
}

/// The answer to a HEAD of which only a part had come has a body: the server gave up before it knew the method.
#[test]
fn a_head_that_is_given_up_may_be_answered_with_a_body() {
    holds("http-server", 124);
}

/// A server of several reactors has accepted connections when its start fails on the last one; they are drained.
#[test]
fn a_start_that_fails_halfway_ends_what_it_accepted_in_order() {
    holds("echo", 1356);
}

/// Unix sockets have no reset: the peer of a handler that panicked sees an orderly end, unless it had sent something unread.
#[test]
fn a_panic_behind_a_unix_socket_looks_like_an_end() {
    holds("unix", 858);
}
