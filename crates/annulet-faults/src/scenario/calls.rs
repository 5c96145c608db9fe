//! System calls that fail while serving, at low rates. What is only a delay may not be noticed; what breaks a connection
//! may break that one.

use crate::cli::Driver;
use crate::crowd::Crowd;
use crate::journal::{Injection, Journal};
use crate::round::{Round, Tolerance};

/// Calls and errors after which everything goes on as if nothing had been.
const HARMLESS: [(&str, &[&str]); 5] = [
    ("io_uring_enter", &["EINTR", "EAGAIN", "EBUSY", "ENOMEM"]),
    ("epoll_wait", &["EINTR"]),
    ("epoll_pwait2", &["EINTR"]),
    ("accept4", &["EINTR", "EAGAIN", "EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "ECONNABORTED"]),
    ("sendto", &["EINTR", "EAGAIN"]),
];

/// Calls and errors that break a connection while its peer is still there: a reset that was none would be a lie.
const BREAKING: [(&str, &[&str]); 3] = [
    ("sendto", &["ENOMEM", "ENOBUFS"]),
    ("sendmsg", &["ENOMEM", "ENOBUFS"]),
    ("recvfrom", &["ENOMEM", "ETIMEDOUT"]),
];

/// Calls a thread makes before the first fails: by then it serves.
const QUIET: u64 = 300;

pub(super) fn play(round: &mut Round) -> anyhow::Result<()> {
    let tolerance = if round.random.happens(600) { Tolerance::Nothing } else { Tolerance::Breaks };
    let injections = injections(round, tolerance);
    round.trying = format!("{injections:?}");
    let journal = Journal::new(injections);
    let app = round.any_app();
    let mut served = round.serve(&round.launch(app).prefix(journal.prefix()))?;
    let mut orders = round.client(&served);
    // Every traced call costs two switches of process.
    orders.bytes_max = 64 * 1024;
    let crowd = Crowd::start(&orders)?;
    while round.goes_on() {
        round.pause(50..=50);
    }
    round.finish(&mut served, crowd, tolerance)?;
    round.settle(served, tolerance)?;
    round.fault(journal.injected());
    Ok(())
}

fn injections(round: &mut Round, tolerance: Tolerance) -> Vec<Injection> {
    let calls: &[(&'static str, &[&'static str])] =
        if tolerance == Tolerance::Nothing { &HARMLESS } else { &BREAKING };
    let is_uring = round.orders.driver == Driver::Uring;
    let mut injections = Vec::new();
    for (call, errors) in calls {
        let belongs = match *call {
            "io_uring_enter" => is_uring,
            "accept4" | "recvfrom" | "epoll_wait" | "epoll_pwait2" => !is_uring,
            _ => true,
        };
        if belongs {
            let error = round.random.one_of(errors);
            let when = format!("{}+{}", QUIET, round.random.within(7..=200));
            injections.push(Injection { call, error, when });
        }
    }
    injections
}
