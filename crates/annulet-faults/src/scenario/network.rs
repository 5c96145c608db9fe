//! The network between clients and server, in a namespace.

use crate::client::{App, Orders};
use crate::crowd::Crowd;
use crate::firewall::Firewall;
use crate::machine::system;
use crate::round::{Round, Served, Tolerance};

/// Clocks shorter than usual: where packets get lost, the end of a connection may never arrive, and a clock has to say it.
const CLOCKS: &str = "--setup-timeout 10s --idle-timeout 10s --request-timeout 20s --write-timeout 10s";

fn serve(round: &mut Round, bytes_max: u64) -> anyhow::Result<(Served, Orders)> {
    let app = round.any_app();
    let mut launch = round.launch(app).arguments(&CLOCKS.split(' ').collect::<Vec<_>>());
    if app == App::Http {
        launch = launch.arguments(&["--keep-alive", "10s"]);
    }
    let served = round.serve(&launch)?;
    let mut orders = round.client(&served);
    orders.bytes_max = bytes_max;
    orders.workers = 32;
    Ok((served, orders))
}

/// Packets get lost, now more, now less.
pub(super) fn loss(round: &mut Round) -> anyhow::Result<()> {
    let (mut served, orders) = serve(round, 64 * 1024)?;
    let mut firewall = Firewall::new(served.server.address)?;
    let crowd = Crowd::start(&orders)?;
    while round.goes_on() {
        firewall.lose(round.random.within(5..=150))?;
        round.pause(100..=1000);
        firewall.heal()?;
        round.pause(0..=100);
    }
    round.fault(firewall.met());
    round.finish(&mut served, crowd, Tolerance::Breaks)?;
    round.settle(served, Tolerance::Nothing)
}

/// Resets by the network, which only one side gets, and by an administrator, which both get.
pub(super) fn resets(round: &mut Round) -> anyhow::Result<()> {
    let (mut served, orders) = serve(round, 256 * 1024)?;
    let mut firewall = Firewall::new(served.server.address)?;
    let crowd = Crowd::start(&orders)?;
    let port = format!("= :{}", served.server.address.port());
    while round.goes_on() {
        if round.random.happens(500) {
            firewall.reset(round.random.within(1..=50))?;
            round.pause(5..=200);
            firewall.heal()?;
        } else {
            let side = round.random.one_of(&["dport", "sport"]);
            let killed = system(&["ss", "-K", "-H", "-t", "-n", "state", "established", side, &port])?;
            round.fault(killed.lines().count() as u64);
        }
        round.pause(5..=100);
    }
    round.fault(firewall.met());
    round.finish(&mut served, crowd, Tolerance::Breaks)?;
    round.settle(served, Tolerance::Nothing)
}

/// No packet arrives for a while.
pub(super) fn partition(round: &mut Round) -> anyhow::Result<()> {
    let (mut served, orders) = serve(round, 256 * 1024)?;
    let mut firewall = Firewall::new(served.server.address)?;
    let crowd = Crowd::start(&orders)?;
    while round.goes_on() {
        firewall.cut()?;
        // Mostly short: after a long one both ends wait for as long again before they try.
        let longest = round.random.size(10..=4000) as u64;
        round.pause(10..=longest.max(10));
        firewall.heal()?;
        round.pause(10..=1000);
    }
    round.fault(firewall.met());
    round.finish(&mut served, crowd, Tolerance::Breaks)?;
    round.settle(served, Tolerance::Nothing)
}

/// A slow link with a short queue; packets small, and changing.
pub(super) fn narrow(round: &mut Round) -> anyhow::Result<()> {
    let (mut served, orders) = serve(round, 64 * 1024)?;
    let crowd = Crowd::start(&orders)?;
    let delay = ["netem", "delay", "5ms", "3ms"];
    let has_delay = system(&[&["tc", "qdisc", "add", "dev", "lo", "root"][..], &delay].concat()).is_ok();
    if has_delay {
        system(&["tc", "qdisc", "del", "dev", "lo", "root"])?;
    } else {
        round.leave_out("narrow: no delay but the queue's, the kernel has no netem");
    }
    while round.goes_on() {
        let packet = round.random.within(576..=9000).to_string();
        system(&["ip", "link", "set", "lo", "mtu", &packet])?;
        let rate = format!("{}mbit", round.random.within(4..=200));
        let narrow = ["tbf", "rate", &rate, "burst", "32kb", "latency", "100ms"];
        let discipline = if has_delay && round.random.happens(300) { &delay[..] } else { &narrow[..] };
        system(&[&["tc", "qdisc", "replace", "dev", "lo", "root"][..], discipline].concat())?;
        round.fault(1);
        round.pause(200..=2000);
    }
    system(&["tc", "qdisc", "del", "dev", "lo", "root"])?;
    round.finish(&mut served, crowd, Tolerance::Breaks)?;
    round.settle(served, Tolerance::Nothing)
}
