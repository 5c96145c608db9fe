//! A new server takes over the port of one that drains, ten times: who was accepted is answered.

use std::net::SocketAddr;

use anyhow::Context;

use crate::client::{App, ClientReport, Orders};
use crate::crowd::Crowd;
use crate::report::{Kind, Violation};
use crate::round::Round;
use crate::server::{Launch, Server};

const RESTARTS: u64 = 10;

/// Connections that Linux may lose in all of them. With `net.ipv4.tcp_migrate_req` it moves them from a listener that closes
/// to one that stays, but for who becomes established in that very moment: some two in a thousand restarts of any server.
const LOST_BY_LINUX: u64 = 2;

pub(super) fn play(round: &mut Round) -> anyhow::Result<()> {
    let mut launch = round.launch(App::Http).arguments(&["--share-port", "--stats-at-exit"]);
    let mut server = start(round, &launch)?;
    launch.address = server.address;
    // One request for each connection, and connections that stay.
    let (single, lasting) = (orders(round, launch.address, 1), orders(round, launch.address, 50));
    let crowds = [Crowd::start(&single)?, Crowd::start(&lasting)?];
    let mut read = 0;
    for _ in 0..RESTARTS {
        round.pause(50..=400);
        let next = start(round, &launch)?;
        read += end(round, std::mem::replace(&mut server, next))?;
        round.report.figures.restarts += 1;
        round.fault(1);
    }
    round.pause(50..=400);
    let mut clients = ClientReport::default();
    for crowd in crowds {
        clients.add(crowd.finish()?);
    }
    read += end(round, server)?;
    judge(round, &clients, read);
    Ok(())
}

fn start(round: &mut Round, launch: &Launch) -> anyhow::Result<Server> {
    match Server::try_start(&round.orders.annulet, launch)? {
        Ok(server) => Ok(server),
        Err(not) => Err(Violation::new(Kind::Broken, format!("the server did not start: {not:?}")).into()),
    }
}

/// Ends a server; returns how many requests it read.
fn end(round: &mut Round, server: Server) -> anyhow::Result<u64> {
    let (violations, counters) = server.stop_counting()?;
    violations.into_iter().for_each(|violation| round.report.violate(violation));
    let counters = counters.context("no counters at the end")?;
    let (opened, closed) = (counters.get("connections_opened"), counters.get("connections_closed"));
    if opened != closed {
        round.violate(Kind::Leak, format!("{opened} connections opened, {closed} closed"));
    }
    Ok(counters.get("http_requests"))
}

fn orders(round: &mut Round, address: SocketAddr, exchanges_max: u64) -> Orders {
    let mut orders = Orders::new(address, App::Http, round.random.next());
    orders.exchanges_max = exchanges_max;
    orders.bytes_max = 64 * 1024;
    orders
}

/// Everybody is connected, nobody is reset, and what a server began to read is answered. A request that was sent while its
/// connection was already ending got no byte of an answer, and may be sent again.
///
/// A connection that was reset before a client had it was none that a server had: it would have ended it in order.
fn judge(round: &mut Round, clients: &ClientReport, read: u64) {
    round.add(clients);
    let ClientReport { answered, refused, reset_at_once, cut_short, broken, examples, .. } = clients;
    let examples = examples.join("; ");
    let refused = refused - (*reset_at_once).min(LOST_BY_LINUX);
    if refused + cut_short + broken > 0 {
        let what =
            format!("{refused} clients refused, {broken} broken off, {cut_short} cut short: {examples}");
        round.violate(Kind::Lost, what);
    }
    if read != *answered {
        round.violate(Kind::Lost, format!("{read} requests were read and {answered} answered: {examples}"));
    }
}
