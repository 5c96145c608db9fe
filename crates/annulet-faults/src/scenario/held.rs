//! Connections that are held, by a process of its own, while others come and go: memory and descriptors stay as they are.

use std::thread;
use std::time::Duration;

use crate::client::App;
use crate::crowd::Crowd;
use crate::report::Kind;
use crate::round::{Round, Tolerance};
use crate::server::{DescriptorLimit, Server};

/// What the busy ones may add to the server's memory while the others are held: buffers and staging of their own.
const GROWTH_MAX: u64 = 8 << 20;

pub(super) fn play(round: &mut Round) -> anyhow::Result<()> {
    let mut held = u64::from(round.orders.held);
    if !round.orders.has_namespace {
        // Ports are everybody's, and stay used for a minute.
        held = held.min(2000);
        round.leave_out("held: 2000 connections only, for want of a network namespace");
    }
    let mut served = round.serve(&round.launch(App::Echo).arguments(&["--backlog", "4096"]))?;
    let mut busy = round.client(&served);
    busy.workers = 16;
    // The busy ones first: what they need is not the growth that is looked for.
    let warm = Crowd::start(&busy)?;
    round.pause(500..=500);
    round.finish(&mut served, warm, Tolerance::Nothing)?;
    let before = served.server.memory()?;

    let mut orders = round.client(&served);
    orders.held = u32::try_from(held)?;
    orders.workers = 0;
    let holder = Crowd::start(&orders)?;
    let descriptors = served.server.descriptors().limit();
    let memory = served.server.memory()?;
    let open = served.server.counters()?.get("connections_open");
    if open != held {
        round.violate(Kind::Broken, format!("{open} connections open, {held} are held"));
    }

    let crowd = Crowd::start(&busy)?;
    while round.goes_on() {
        round.pause(100..=100);
    }
    round.finish(&mut served, crowd, Tolerance::Nothing)?;
    await_descriptors(round, &served.server, descriptors);
    let after = served.server.memory()?;
    if after > memory + GROWTH_MAX {
        round.violate(Kind::Leak, format!("{memory} bytes of memory grew to {after} with {held} held"));
    }
    eprintln!("held {held}: {} bytes each", (after.saturating_sub(before)) / held);
    round.finish(&mut served, holder, Tolerance::Nothing)?;
    round.settle(served, Tolerance::Nothing)
}

/// With the busy ones gone, the descriptors are those of the held.
fn await_descriptors(round: &mut Round, server: &Server, expected: DescriptorLimit) {
    for _ in 0..500 {
        if server.descriptors().are_within(expected) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let count = server.descriptors().count();
    round.violate(Kind::Leak, format!("{count} descriptors, {expected:?} before the busy ones came"));
}
