//! What can go wrong with a request, and whether it may be sent again.

use std::fmt;
use std::io;

use annulet_net::{Error, HandlerError};
use annulet_proto::http1::HttpError;

use crate::body::BodyError;

/// Why there is no response, or no more of it.
///
/// The request has been tried again already where that was [safe](Self::is_retry_safe) and the client's settings allow it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The text is no URL that can be asked for. Nothing was sent.
    #[error("{url:?} cannot be asked for: {reason}")]
    Url {
        /// The text, without a user and a password in front of its host.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An `https` URL. Nothing was sent.
    #[error("{url:?} needs TLS, which is not built in yet: only http URLs can be asked for")]
    Tls {
        /// The URL, without a user and a password in front of its host.
        url: String,
    },
    /// The request cannot be written: a malformed field, a method that is not supported. Nothing was sent.
    #[error("the request cannot be sent: {0}")]
    Request(&'static str),
    /// As many requests wait for a connection as may. Nothing was sent.
    #[error("too many requests wait for a connection already")]
    QueueFull,
    /// The time for a phase, or for the request as a whole, was up.
    #[error("timed out {0}")]
    TimedOut(Phase),
    /// The name has no address. Nothing was sent.
    #[error("cannot find the address of {host}")]
    Resolve {
        /// Host and port.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// None of the addresses takes a connection. Nothing was sent.
    #[error("cannot connect to {host}")]
    Connect {
        /// Host and port.
        host: String,
        /// The last address's error.
        source: io::Error,
    },
    /// There was no connection to send the request again, or to send what a redirect made of it. It had been sent before.
    #[error("the request was sent, and could not be sent again")]
    Again {
        /// Why there was no connection.
        source: Box<ClientError>,
        /// What the server that it was sent to first can have done with it.
        processed: Processed,
    },
    /// The connection failed or ended before a response head had arrived.
    #[error("the connection failed before there was a response")]
    NoResponse {
        /// How; [`Error::UnexpectedEnd`] for an orderly end.
        source: Error,
        /// What that means for the request, and for what was sent of it before.
        processed: Processed,
    },
    /// The response's head is malformed, or larger than the limit.
    #[error("the response is malformed: {0}")]
    Head(HttpError),
    /// The server did what the request does not allow: switched protocols without being asked, or sent informational responses
    /// without end.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
    /// The response's body ended before its end, was malformed, too large, too slow, or not what it was to be.
    #[error("the response's body failed")]
    Body(#[from] BodyError),
    /// The request's own body failed, or had not the length it announced.
    #[error("the request's body failed: {0}")]
    RequestBody(HandlerError),
    /// A redirect that is not followed: to where no request can go, or one too many.
    #[error("redirected {reason}: {location:?}")]
    Redirect {
        /// Where to, without a user and a password in front of its host.
        location: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What a request was doing when its time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Waiting for a connection while others used all there may be.
    Waiting,
    /// Looking up the host's addresses.
    Resolving,
    /// Making a connection.
    Connecting,
    /// Sending the request and waiting for the response's head.
    Head,
    /// Receiving the response's body.
    Body,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting for a free connection",
            Self::Resolving => "looking up the host",
            Self::Connecting => "connecting",
            Self::Head => "waiting for the response",
            Self::Body => "receiving the response's body",
        })
    }
}

/// What the server can have done with a request that got no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Processed {
    /// Nothing: nothing of it was sent.
    No,
    /// Probably nothing: it was sent on a connection that had been idle, which the server may have closed just then.
    Unlikely,
    /// Anything. All of it, when there was a redirect.
    Maybe,
}

impl ClientError {
    /// True when time ran out: [`TimedOut`](Self::TimedOut), or a body that stopped coming.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::TimedOut(_) => true,
            Self::Again { source, .. } => source.is_timeout(),
            Self::Body(BodyError::Connection(error)) | Self::NoResponse { source: error, .. } => {
                matches!(error, Error::Timeout(_))
            }
            _ => false,
        }
    }

    /// True when there was no connection: too many requests in front, no address, nobody listening, or no time left for it.
    /// False when that happened [after the request had been sent](Self::Again).
    pub fn is_connect(&self) -> bool {
        match self {
            Self::QueueFull | Self::Resolve { .. } | Self::Connect { .. } => true,
            Self::TimedOut(phase) => phase.is_before_sending(),
            _ => false,
        }
    }

    /// True when it is certain that no server did anything with the request, so that it may be sent again whatever its method.
    pub fn is_retry_safe(&self) -> bool {
        self.is_connect() || matches!(self, Self::NoResponse { processed: Processed::No, .. })
    }

    /// What the server can have done with the attempt that ended so.
    pub(crate) fn processed(&self) -> Processed {
        match self {
            Self::NoResponse { processed, .. } => *processed,
            error if error.is_connect() => Processed::No,
            _ => Processed::Maybe,
        }
    }

    /// The same error of a request with which that may have been done before.
    pub(crate) fn after(self, before: Processed) -> Self {
        match self {
            Self::NoResponse { source, processed } => {
                Self::NoResponse { source, processed: processed.max(before) }
            }
            error if error.is_connect() && before > Processed::No => {
                Self::Again { source: Box::new(error), processed: before }
            }
            error => error,
        }
    }

    /// Whether an idempotent request may be sent again.
    pub(crate) fn is_worth_a_retry(&self) -> bool {
        matches!(self, Self::NoResponse { processed: Processed::No | Processed::Unlikely, source }
            if !matches!(source, Error::Timeout(_)))
    }
}

impl Phase {
    fn is_before_sending(self) -> bool {
        matches!(self, Self::Waiting | Self::Resolving | Self::Connecting)
    }
}
