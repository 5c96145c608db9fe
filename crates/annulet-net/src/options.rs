//! Limits and clocks of connections.

use std::fmt;
use std::time::Duration;

/// Bounds on the memory one connection holds in this process. The kernel's socket buffers are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes staged and not yet taken by the kernel, default 64 KiB. Beyond it writers wait. One payload larger than the
    /// limit may be staged when nothing else is, never two.
    pub unsent_max: usize,
    /// Memory pinned by what arrived and was not yet taken by the handler, default 64 KiB. Beyond it receiving stops, and
    /// TCP slows the peer down; it resumes at half. What the kernel delivers until it has taken notice comes on top: on
    /// io_uring up to two passes, of 64 KiB each where the kernel can be told a cap (Linux 6.17), else of 32 buffers.
    pub unread_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { unsent_max: 64 * 1024, unread_max: 64 * 1024 }
    }
}

impl Limits {
    /// Sets the bound on staged bytes.
    #[must_use]
    pub fn unsent_max(mut self, bytes: usize) -> Self {
        self.unsent_max = bytes;
        self
    }

    /// Sets the bound on unread memory.
    #[must_use]
    pub fn unread_max(mut self, bytes: usize) -> Self {
        self.unread_max = bytes;
        self
    }
}

/// How long a connection may take for what; `None` turns a clock off.
///
/// Exactly one *read* clock runs at a time:
///
/// | state of the connection | clock | counted from |
/// |---|---|---|
/// | nothing received yet | `setup` | its opening |
/// | between messages, handler waits for input | `idle` | the later of last byte and start of the wait |
/// | within a message, handler waits for input | `inactivity` and `request` | last byte; first byte of the message |
/// | handler is busy | none | |
///
/// Where messages begin and end is told by [`message_started`](crate::Connection::message_started) and
/// [`message_ended`](crate::Connection::message_ended), which `framed` calls by itself; a connection that is read
/// without them is always between messages. The *write* clock runs while staged bytes wait for the kernel and starts
/// again with every byte taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Clocks {
    /// Until the first byte arrives. Default 10 s on accepted connections.
    pub setup: Option<Duration>,
    /// Between messages. Off by default.
    pub idle: Option<Duration>,
    /// Between two bytes of a message. Default 60 s.
    pub inactivity: Option<Duration>,
    /// For a whole message, however steadily it trickles in. Default 30 s.
    pub request: Option<Duration>,
    /// Without progress while bytes are unsent. Default 30 s; the connection is then reset.
    pub write: Option<Duration>,
    /// After this side ended: how long to wait for the peer's end, discarding what it still sends (64 KiB at most), so
    /// that the last response is not lost to a reset. Default 2 s; `None` closes at once.
    pub linger: Option<Duration>,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            setup: Some(Duration::from_secs(10)),
            idle: None,
            inactivity: Some(Duration::from_secs(60)),
            request: Some(Duration::from_secs(30)),
            write: Some(Duration::from_secs(30)),
            linger: Some(Duration::from_secs(2)),
        }
    }
}

impl Clocks {
    /// The defaults for connections this side opened: no setup clock, for who speaks first is the protocol's matter.
    pub fn outgoing() -> Self {
        Self { setup: None, ..Self::default() }
    }

    /// Sets the setup clock.
    #[must_use]
    pub fn setup(mut self, limit: Option<Duration>) -> Self {
        self.setup = limit;
        self
    }

    /// Sets the clock between messages.
    #[must_use]
    pub fn idle(mut self, limit: Option<Duration>) -> Self {
        self.idle = limit;
        self
    }

    /// Sets the clock between two bytes of a message.
    #[must_use]
    pub fn inactivity(mut self, limit: Option<Duration>) -> Self {
        self.inactivity = limit;
        self
    }

    /// Sets the clock for a whole message.
    #[must_use]
    pub fn request(mut self, limit: Option<Duration>) -> Self {
        self.request = limit;
        self
    }

    /// Sets the write clock.
    #[must_use]
    pub fn write(mut self, limit: Option<Duration>) -> Self {
        self.write = limit;
        self
    }

    /// Sets the linger clock.
    #[must_use]
    pub fn linger(mut self, limit: Option<Duration>) -> Self {
        self.linger = limit;
        self
    }
}

/// Which clock ran out; see [`Clocks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clock {
    /// Nothing arrived after the connection was opened.
    Setup,
    /// Nothing arrived between messages.
    Idle,
    /// Nothing arrived within a message.
    Inactivity,
    /// The message was not complete in time.
    Request,
    /// The peer took no bytes.
    Write,
    /// The peer did not end after this side had.
    Linger,
    /// The connection was not made in time.
    Connect,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setup => "nothing was received after the connection was opened",
            Self::Idle => "nothing was received between messages",
            Self::Inactivity => "nothing was received within a message",
            Self::Request => "the message was not complete in time",
            Self::Write => "the peer took no bytes",
            Self::Linger => "the peer did not end its side",
            Self::Connect => "the connection was not made in time",
        })
    }
}
