//! What the connections of a run say, and what they expect to hear.

use std::net::SocketAddr;

use crate::pattern::Pattern;
use crate::requests::{Head, Requests};
use crate::responses::Responses;

/// A message, as the command line names it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Message {
    /// So many bytes, which must come back.
    Echo { size: u64 },
    /// So many requests in one go, each of which must be answered.
    Http { head: Head, depth: u64 },
}

impl Message {
    /// How much it adds to the count of messages: every request is one.
    pub(crate) fn weight(self) -> u64 {
        match self {
            Self::Echo { .. } => 1,
            Self::Http { depth, .. } => depth,
        }
    }
}

pub(crate) enum Traffic {
    Echo { bytes: Pattern, size: u64 },
    Http { requests: Requests, depth: u64, responses: Responses },
}

impl Traffic {
    pub(crate) fn new(message: Message, server: SocketAddr) -> Self {
        match message {
            Message::Echo { size } => Self::Echo { bytes: Pattern::random(), size },
            Message::Http { head, depth } => {
                Self::Http { requests: Requests::new(head, server), depth, responses: Responses::default() }
            }
        }
    }

    /// The stream that is sent.
    #[inline]
    pub(crate) fn outgoing(&self) -> &Pattern {
        match self {
            Self::Echo { bytes, .. } => bytes,
            Self::Http { requests, .. } => requests.bytes(),
        }
    }
}
