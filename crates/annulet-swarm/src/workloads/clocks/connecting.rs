//! A host that does not answer: connecting has one limit, however many addresses it has.

use std::future::pending;
use std::net::Ipv4Addr;

use annulet::Connector;
use annulet::time::now;
use annulet_sim::Sim;

use super::Term;

const NAME: &str = "island";

/// A host of several addresses.
pub(super) fn add_host(sim: &Sim) {
    let addresses = (1..=sim.spread(1, 4) as u8).map(|number| Ipv4Addr::new(10, 2, 0, number).into());
    let _ = sim.host(NAME).addresses(addresses.collect()).start(async || pending().await);
}

/// Nobody on the machine reaches it.
pub(super) fn cut_off(sim: &Sim) {
    sim.partition("machine", NAME);
}

pub(super) async fn case(term: Term) {
    let begin = now();
    let result = Connector::new().timeout(term.limit).connect("island:7000").await;
    let error = result.expect_err("nobody is there");
    if term.is_peaceful {
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
        term.was_up_after(now() - begin);
    }
}
