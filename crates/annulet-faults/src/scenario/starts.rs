//! System calls that fail while a server starts, one at a time: it starts all the same, or says in one line why not.

use crate::cli::Driver;
use crate::crowd::Crowd;
use crate::journal::{Injection, Journal};
use crate::report::Kind;
use crate::round::{Round, Tolerance};
use crate::server::Server;

const CALLS: [(&str, &[&str]); 9] = [
    ("io_uring_setup", &["EPERM", "ENOSYS", "EINVAL", "ENOMEM", "EMFILE"]),
    ("io_uring_register", &["EINVAL", "ENOMEM", "EPERM", "EOPNOTSUPP"]),
    ("io_uring_enter", &["ENOMEM", "EAGAIN", "EINTR", "EBUSY"]),
    ("epoll_create1", &["EMFILE", "ENOMEM"]),
    ("epoll_ctl", &["ENOMEM", "ENOSPC"]),
    ("eventfd2", &["EMFILE", "ENFILE"]),
    ("socket", &["EMFILE", "ENOBUFS", "EACCES"]),
    ("bind", &["EADDRINUSE", "EACCES"]),
    ("listen", &["EADDRINUSE"]),
];

pub(super) fn play(round: &mut Round) -> anyhow::Result<()> {
    while round.goes_on() {
        let (call, errors) = round.random.one_of(&CALLS);
        let error = round.random.one_of(errors);
        let number = round.random.size(1..=24);
        // Once, or from then on.
        let when = if round.random.happens(300) { format!("{number}+1") } else { number.to_string() };
        let lasts = when.contains('+');
        start(round, Injection { call, error, when }, lasts)?;
    }
    Ok(())
}

fn start(round: &mut Round, injection: Injection, lasts: bool) -> anyhow::Result<()> {
    let call = injection.call;
    round.trying = format!("{injection:?}");
    let journal = Journal::new(vec![injection]);
    let app = round.any_app();
    let mut launch = round.launch(app).prefix(journal.prefix());
    if round.orders.driver == Driver::Uring && round.random.happens(700) {
        launch.driver = None;
    }
    match Server::try_start(&round.orders.annulet, &launch)? {
        Err(not) => {
            let said = not.stderr.lines().filter(|line| line.starts_with("annulet: ")).count();
            if not.status.code() != Some(1) || said != 1 {
                round.violate(Kind::Broken, format!("{}; {}", not.status, not.stderr));
            }
        }
        // What fails from now on is a matter of `calls`, and may break a connection: this server only has to end.
        Ok(server) if lasts || call == "epoll_ctl" => round.stop(server)?,
        Ok(server) => {
            let mut served = round.warm(server)?;
            let crowd = Crowd::start(&round.client(&served))?;
            round.pause(20..=100);
            round.finish(&mut served, crowd, Tolerance::Nothing)?;
            round.settle(served, Tolerance::Nothing)?;
        }
    }
    // A server may try for as long as it is refused.
    round.fault(if lasts { 1 } else { journal.injected() });
    Ok(())
}
