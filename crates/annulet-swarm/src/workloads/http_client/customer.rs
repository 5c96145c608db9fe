//! A client, and what can be known of it.

use std::time::Duration;

use annulet::Reactor;
use annulet::http::Client;
use annulet_sim::Sim;

use super::{REDIRECTS_MAX, RETRIES_MAX};
use crate::draw::{millis, percent};

/// A client and its settings.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    pub(super) client: Client,
    /// It takes so many connections, so many of them idle for each of two hosts, and lets so many requests wait.
    limits: Limits,
    /// Collected bodies are no longer.
    pub(super) body_max: usize,
    pub(super) redirects_max: u32,
    /// It gives the slowest server time enough.
    pub(super) is_patient: bool,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    connections: usize,
    idle: usize,
    waiting: usize,
}

/// The least patience with which a request succeeds over a slow link.
const PATIENT: Duration = Duration::from_secs(10);

impl Customer {
    pub(super) fn draw(sim: &Sim) -> Self {
        let redirects_max = sim.below(REDIRECTS_MAX + 1) as u32;
        let (acquire, head) = (millis(sim, 100, 20_000), millis(sim, 100, 60_000));
        let client = Client::builder()
            .retries_max(sim.below(RETRIES_MAX + 1) as u32)
            .redirects_max(redirects_max)
            .acquire_timeout(acquire)
            .head_timeout(Some(head));
        let is_patient = acquire >= PATIENT && head >= PATIENT;
        if percent(sim, 30) {
            let limits = Limits { connections: 1024, idle: 2 * 16, waiting: 1024 };
            let body_max = 16 * 1024 * 1024;
            return Self { client: client.build(), limits, body_max, redirects_max, is_patient };
        }
        let (per_host, connections) = (sim.spread(1, 16) as usize, sim.spread(1, 16) as usize);
        let (idle, waiting) = (sim.below(4) as usize, sim.below(30) as usize);
        let (inactivity, write) = (millis(sim, 100, 60_000), millis(sim, 100, 60_000));
        let body_max = sim.spread(1000, 200_000) as usize;
        let client = client
            .connections_per_host_max(per_host)
            .connections_max(connections)
            .idle_per_host_max(idle)
            .idle_timeout(millis(sim, 1, 60_000))
            .waiting_max(waiting)
            .body_inactivity(Some(inactivity))
            .write_timeout(Some(write))
            .body_max(body_max)
            .build();
        Self {
            client,
            limits: Limits { connections: connections.min(2 * per_host), idle: 2 * idle, waiting },
            body_max,
            redirects_max,
            is_patient: is_patient && inactivity >= PATIENT && write >= PATIENT,
        }
    }

    /// One that has few connections, and time to wait for one.
    pub(super) fn narrow(sim: &Sim) -> Self {
        let (per_host, idle) = (sim.spread(1, 3) as usize, sim.below(3) as usize);
        let client = Client::builder()
            .connections_per_host_max(per_host)
            .connections_max(sim.spread(1, 3) as usize)
            .idle_per_host_max(idle)
            .acquire_timeout(Duration::from_secs(120))
            .build();
        let limits = Limits { connections: per_host, idle, waiting: 1024 };
        Self { client, limits, ..Self::plain() }
    }

    /// One as it comes.
    pub(super) fn plain() -> Self {
        let limits = Limits { connections: 1024, idle: 2 * 16, waiting: 1024 };
        let client = Client::new();
        Self { client, limits, body_max: 16 * 1024 * 1024, redirects_max: 0, is_patient: true }
    }
}

/// All clients together keep within their limits, and count right.
pub(super) fn audit(customers: &[Customer]) {
    let sum = |of: fn(&Limits) -> usize| customers.iter().map(|customer| of(&customer.limits)).sum::<usize>();
    let (mut connections, mut idle, mut waiting) = (0, 0, 0);
    let handle = Reactor::current().handle().expect("a runtime");
    handle.visit_counters(|_, name, value| match name {
        "client_connections" => connections = value as usize,
        "client_connections_idle" => idle = value as usize,
        "client_waiting" => waiting = value as usize,
        _ => {}
    });
    assert!(connections <= sum(|limits| limits.connections), "{connections} connections: {customers:?}");
    assert!(idle <= sum(|limits| limits.idle), "{idle} idle connections: {customers:?}");
    assert!(waiting <= sum(|limits| limits.waiting), "{waiting} requests wait: {customers:?}");
}
