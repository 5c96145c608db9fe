//! Limits and clocks of HTTP connections.

use std::time::Duration;

use annulet_net::Clocks;
use annulet_proto::http1::HeadLimits;

/// What a client may ask for, and how long it may take. All on by default.
///
/// | limit | answer when it is crossed |
/// |---|---|
/// | `head` | 431, or 414 for the target; the connection closes |
/// | `body_max`, by a declared length | 400; the connection closes |
/// | `body_max`, by what arrives | 413; the connection closes |
/// | `requests_max` | none: the last response says `Connection: close` |
/// | `head_timeout` | 408; the connection closes |
/// | `body_rate_min` | 408; the connection closes |
/// | `keep_alive` | none: the connection closes |
///
/// The connection's own clocks hold besides: `setup` until the first byte, `inactivity` between two bytes of a body (408),
/// `write` while the client takes nothing (a reset). See [`Clocks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Bounds of a request's head: by default 16 KiB, 100 fields, a target of 8 KiB.
    pub head: HeadLimits,
    /// Bytes of a request's body, default 1 MiB. A route may have its own.
    pub body_max: u64,
    /// Requests on one connection, default 1,000,000; 0 is no limit.
    pub requests_max: u32,
    /// From the first byte of a head to its last, however steadily it trickles in. Default 30 s; `None` turns it off.
    pub head_timeout: Option<Duration>,
    /// Between a response and the next request. Default 75 s; `None` turns it off.
    pub keep_alive: Option<Duration>,
    /// Bytes per second that a body must come with on average, while the handler waits for it and from 5 s of waiting on.
    /// Default 240; 0 turns it off.
    pub body_rate_min: u32,
    /// Whether each request is logged (at `info`, target `annulet_http::access`). Default off.
    pub access_log: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            body_max: 1024 * 1024,
            requests_max: 1_000_000,
            head_timeout: Some(Duration::from_secs(30)),
            keep_alive: Some(Duration::from_secs(75)),
            body_rate_min: 240,
            access_log: false,
        }
    }
}

impl Settings {
    /// Sets the bounds of a head.
    #[must_use]
    pub fn head(mut self, limits: HeadLimits) -> Self {
        self.head = limits;
        self
    }

    /// Sets the bound on a body.
    #[must_use]
    pub fn body_max(mut self, bytes: u64) -> Self {
        self.body_max = bytes;
        self
    }

    /// Sets how many requests one connection may bring; 0 is no limit.
    #[must_use]
    pub fn requests_max(mut self, requests: u32) -> Self {
        self.requests_max = requests;
        self
    }

    /// Sets the time for a head.
    #[must_use]
    pub fn head_timeout(mut self, limit: Option<Duration>) -> Self {
        self.head_timeout = limit;
        self
    }

    /// Sets the time between requests.
    #[must_use]
    pub fn keep_alive(mut self, limit: Option<Duration>) -> Self {
        self.keep_alive = limit;
        self
    }

    /// Sets the least rate of a body, in bytes per second; 0 turns it off.
    #[must_use]
    pub fn body_rate_min(mut self, bytes_per_second: u32) -> Self {
        self.body_rate_min = bytes_per_second;
        self
    }

    /// Has each request logged.
    #[must_use]
    pub fn access_log(mut self, on: bool) -> Self {
        self.access_log = on;
        self
    }

    /// The connection's clocks: a head is what it calls a message, keep-alive what it calls idle.
    pub(crate) fn clocks(&self, set: Clocks) -> Clocks {
        set.request(self.head_timeout).idle(self.keep_alive)
    }
}
