//! The one line of JSON a run prints.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::poll::Waiting;
use crate::window::Measured;

/// Over this share of its time at work, the client may be what limits the rate...
const CLIENT_BUSY: f64 = 0.95;
/// ...if the server is below this share.
const SERVER_BUSY: f64 = 0.90;

/// What is counted while a mode runs.
pub(crate) struct Tally {
    /// Messages whose echo is complete, warm-up included.
    pub(crate) messages: u64,
    pub(crate) errors: u64,
    pub(crate) wrong_bytes: u64,
    /// The first error, in words.
    pub(crate) first_error: Option<String>,
    /// Latency in nanoseconds, of messages inside the window only.
    pub(crate) latency: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("constant, valid bounds");
        Self { messages: 0, errors: 0, wrong_bytes: 0, first_error: None, latency }
    }

    #[inline]
    pub(crate) fn record(&mut self, latency: Duration) {
        self.latency.saturating_record(latency.as_nanos() as u64);
    }

    pub(crate) fn error(&mut self, what: impl Into<String>) {
        self.errors += 1;
        self.first_error.get_or_insert(what.into());
    }

    /// Whether every byte came back right.
    pub(crate) fn is_clean(&self) -> bool {
        self.errors == 0 && self.wrong_bytes == 0
    }

    /// The fields every mode prints.
    pub(crate) fn report(&self, measured: Option<Measured>, waiting: Waiting) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.into(), value);
        put("errors", json!(self.errors));
        put("wrong_bytes", json!(self.wrong_bytes));
        put("messages_total", json!(self.messages));
        if let Some(error) = &self.first_error {
            put("first_error", json!(error));
        }
        if !self.latency.is_empty() {
            for (name, quantile) in [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999)] {
                put(name, json!(self.latency.value_at_quantile(quantile) as f64 / 1000.0));
            }
            put("max_us", json!(self.latency.max() as f64 / 1000.0));
        }
        if let Some(measured) = measured {
            clocks(measured, waiting, &mut put);
        }
        fields
    }
}

fn clocks(measured: Measured, waiting: Waiting, put: &mut impl FnMut(&str, Value) -> Option<Value>) {
    let wall = measured.wall.as_secs_f64();
    let messages = measured.messages as f64;
    let per_message = |time: Duration| time.as_secs_f64() * 1e6 / messages;
    put("seconds", json!(wall));
    put("messages", json!(measured.messages));
    put("rate", json!(messages / wall));
    put("client_cpu_us", json!(per_message(measured.client)));
    let client_busy = match waiting {
        Waiting::Sleep => measured.client.as_secs_f64() / wall,
        Waiting::Spin => 1.0 - measured.client_idle.as_secs_f64() / wall,
    };
    put("client_busy", json!(client_busy));
    put("client_spins", json!(waiting == Waiting::Spin));
    put("others_busy", json!(measured.others.as_secs_f64() / wall));
    put("steal", json!(measured.steal.as_secs_f64() / wall));
    if let Some(server) = measured.server {
        let server_busy = server.as_secs_f64() / wall;
        put("server_cpu_us", json!(per_message(server)));
        put("both_cpu_us", json!(per_message(server + measured.client)));
        put("server_busy", json!(server_busy));
        put("client_limited", json!(client_busy > CLIENT_BUSY && server_busy < SERVER_BUSY));
    }
}
