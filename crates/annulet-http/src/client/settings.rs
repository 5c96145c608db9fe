//! Limits, clocks and policies of clients.

use std::time::Duration;

use annulet_net::{Address, Clocks, Connector, UnixAddress};
use annulet_proto::http1::HeadLimits;

use super::Client;

/// Settings of a [`Client`], all with defaults.
///
/// | setting | default | when it is crossed |
/// |---|---|---|
/// | [`connections_per_host_max`](Self::connections_per_host_max) | 64 | requests wait |
/// | [`connections_max`](Self::connections_max) | 1024 | an idle connection to another host closes, else requests wait |
/// | [`idle_per_host_max`](Self::idle_per_host_max) | 16 | the connection idle for longest closes |
/// | [`idle_timeout`](Self::idle_timeout) | 60 s | the connection closes |
/// | [`waiting_max`](Self::waiting_max) | 1024 | [`QueueFull`](super::ClientError::QueueFull) |
/// | [`acquire_timeout`](Self::acquire_timeout) | 10 s | [`TimedOut`](super::ClientError::TimedOut) |
/// | [`head_timeout`](Self::head_timeout) | 30 s | [`TimedOut`](super::ClientError::TimedOut) |
/// | [`body_inactivity`](Self::body_inactivity) | 60 s | [`Body`](super::ClientError::Body) |
/// | [`write_timeout`](Self::write_timeout) | 30 s | [`NoResponse`](super::ClientError::NoResponse) or [`Body`](super::ClientError::Body) |
/// | [`head_limits`](Self::head_limits) | 64 KiB, 100 fields | [`Head`](super::ClientError::Head) |
/// | [`body_max`](Self::body_max) | 16 MiB | [`Body`](super::ClientError::Body), where a body is collected |
/// | [`retries_max`](Self::retries_max) | 2 | the error |
/// | [`redirects_max`](Self::redirects_max) | 0 | with 0 the redirect is the response, else [`Redirect`](super::ClientError::Redirect) |
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    settings: Settings,
    clocks: Clocks,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) per_host_max: usize,
    pub(super) connections_max: usize,
    pub(super) idle_per_host_max: usize,
    pub(super) idle_timeout: Duration,
    pub(super) waiting_max: usize,
    pub(super) acquire_timeout: Duration,
    pub(super) head_timeout: Option<Duration>,
    pub(super) head_limits: HeadLimits,
    pub(super) body_max: usize,
    pub(super) retries_max: u32,
    pub(super) redirects_max: u32,
    /// Where every request goes, whatever its URL says.
    pub(super) socket: Option<Address>,
    pub(super) connector: Connector,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        let settings = Settings {
            per_host_max: 64,
            connections_max: 1024,
            idle_per_host_max: 16,
            idle_timeout: Duration::from_secs(60),
            waiting_max: 1024,
            acquire_timeout: Duration::from_secs(10),
            head_timeout: Some(Duration::from_secs(30)),
            head_limits: HeadLimits { bytes: 64 * 1024, ..HeadLimits::default() },
            body_max: 16 * 1024 * 1024,
            retries_max: 2,
            redirects_max: 0,
            socket: None,
            connector: Connector::new(),
        };
        Self { settings, clocks: Clocks::outgoing() }
    }
}

impl ClientBuilder {
    /// Connections to one host and port, idle ones and those being made included. At least one.
    pub fn connections_per_host_max(mut self, connections: usize) -> Self {
        self.settings.per_host_max = connections.max(1);
        self
    }

    /// Connections in all. At least one.
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.settings.connections_max = connections.max(1);
        self
    }

    /// Connections to one host that stay open unused; 0 closes each after its response.
    pub fn idle_per_host_max(mut self, connections: usize) -> Self {
        self.settings.idle_per_host_max = connections;
        self
    }

    /// How long a connection stays open unused. Shorter than the servers' own patience, or requests meet connections that are
    /// just being closed.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.settings.idle_timeout = time;
        self
    }

    /// Requests that may wait for a connection; they are served in the order they came.
    pub fn waiting_max(mut self, requests: usize) -> Self {
        self.settings.waiting_max = requests;
        self
    }

    /// One deadline over waiting for a connection, finding the host's addresses and connecting, with all attempts.
    pub fn acquire_timeout(mut self, time: Duration) -> Self {
        self.settings.acquire_timeout = time;
        self
    }

    /// From the request's last byte to the last of the response's head, however steadily it trickles in. `None` turns it off.
    pub fn head_timeout(mut self, time: Option<Duration>) -> Self {
        self.settings.head_timeout = time;
        self
    }

    /// Between two bytes of a response's body, while they are waited for. `None` turns it off.
    pub fn body_inactivity(mut self, time: Option<Duration>) -> Self {
        self.clocks.inactivity = time;
        self
    }

    /// Without progress while bytes of the request are unsent. `None` turns it off.
    pub fn write_timeout(mut self, time: Option<Duration>) -> Self {
        self.clocks.write = time;
        self
    }

    /// Bounds of a response's head.
    pub fn head_limits(mut self, limits: HeadLimits) -> Self {
        self.settings.head_limits = limits;
        self
    }

    /// Bytes of a body that is collected: by `bytes`, `text` or `json`. One that is streamed may be of any size.
    pub fn body_max(mut self, bytes: usize) -> Self {
        self.settings.body_max = bytes;
        self
    }

    /// How often a request is tried again. Only an idempotent one is (RFC 9110 §9.2.2: GET, HEAD, OPTIONS, TRACE, PUT, DELETE),
    /// and only when no byte of a response has come and the connection could not be made, or failed before anything was sent on
    /// it, or had been idle before: a server that closes an idle connection has not seen the request. One with a body that is
    /// streamed is not sent twice.
    pub fn retries_max(mut self, retries: u32) -> Self {
        self.settings.retries_max = retries;
        self
    }

    /// Redirects that are followed, one after the other. 0, the default, follows none: the redirect is the response.
    pub fn redirects_max(mut self, redirects: u32) -> Self {
        self.settings.redirects_max = redirects;
        self
    }

    /// Sends every request to this Unix socket. The host of a URL is only what the Host field says.
    pub fn unix(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.settings.socket = Some(Address::Unix(UnixAddress::Path(path.into())));
        self
    }

    /// The client, on this reactor.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    #[must_use]
    pub fn build(self) -> Client {
        let mut settings = self.settings;
        settings.connector = settings.connector.clocks(self.clocks);
        Client::with(settings)
    }
}
