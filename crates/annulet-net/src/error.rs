//! What can go wrong with a connection, and whose fault it is.

use std::fmt;
use std::io;

use crate::options::Clock;

/// Why an operation on a connection failed.
///
/// Errors of sending are sticky: the connection returns the same one from every later call. None of them is worth a
/// retry on the same connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer reset the connection (ECONNRESET). What it had not read is lost.
    #[error("the peer reset the connection")]
    Reset,
    /// Bytes were sent after the peer had gone, or after this side's [`shutdown`](crate::Connection::shutdown) (EPIPE).
    #[error("the connection no longer takes bytes")]
    BrokenPipe,
    /// A clock of the connection ran out.
    #[error("timed out: {0}")]
    Timeout(Clock),
    /// The peer ended in the middle of something.
    #[error("the peer ended the connection in the middle of a message")]
    UnexpectedEnd,
    /// This side aborted the connection, or its runtime cut it at the drain deadline.
    #[error("the connection was aborted")]
    Aborted,
    /// Any other error of the kernel, by its number.
    #[error("{}", io::Error::from_raw_os_error(*.0))]
    Os(i32),
}

impl Error {
    pub(crate) fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset => Self::Reset,
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Os(error.raw_os_error().unwrap_or(0)),
        }
    }

    /// True when the peer is at fault or simply gone, so that nothing needs mending on this side.
    pub fn is_peers(&self) -> bool {
        matches!(self, Self::Reset | Self::BrokenPipe | Self::Timeout(_) | Self::UnexpectedEnd)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Reset => io::ErrorKind::ConnectionReset,
            Error::BrokenPipe => io::ErrorKind::BrokenPipe,
            Error::Timeout(_) => io::ErrorKind::TimedOut,
            Error::UnexpectedEnd => io::ErrorKind::UnexpectedEof,
            Error::Aborted => io::ErrorKind::ConnectionAborted,
            Error::Os(number) => return Self::from_raw_os_error(number),
        };
        Self::new(kind, error)
    }
}

/// What a handler returns: nothing, or whatever went wrong.
pub type HandlerResult = Result<(), HandlerError>;

/// Any error, as `?` makes it in a handler.
///
/// It takes every error type, so a handler needs no conversion of its own. Like other such types it does not implement
/// [`std::error::Error`] itself.
pub struct HandlerError(Box<dyn std::error::Error + 'static>);

impl HandlerError {
    /// An error from a message.
    pub fn message(message: impl Into<String>) -> Self {
        Self(Box::<dyn std::error::Error + Send + Sync>::from(message.into()))
    }

    /// The error.
    pub fn get_ref(&self) -> &(dyn std::error::Error + 'static) {
        &*self.0
    }

    /// The connection's own error, if that is what went wrong: directly, within an [`io::Error`], or as a cause.
    pub fn connection_error(&self) -> Option<Error> {
        let mut cause = Some(&*self.0);
        while let Some(error) = cause {
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let own = error.downcast_ref::<Error>().or_else(|| inner?.downcast_ref::<Error>());
            if own.is_some() {
                return own.copied();
            }
            cause = error.source();
        }
        None
    }
}

impl<E: std::error::Error + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for HandlerError {
    /// The error and its causes, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        annulet_runtime::error_chain(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framed::FramedError;

    #[test]
    fn the_connections_error_is_found_however_deep_it_lies() {
        let direct = HandlerError::from(Error::Reset);
        let in_io = HandlerError::from(io::Error::from(Error::Reset));
        let framed = HandlerError::from(FramedError::<io::Error>::Connection(Error::Reset));
        for error in [direct, in_io, framed] {
            assert_eq!(error.connection_error(), Some(Error::Reset), "{error:?}");
        }
        assert_eq!(HandlerError::message("else").connection_error(), None);
    }

    #[test]
    fn a_handlers_error_prints_its_causes_in_one_line() {
        let framed = HandlerError::from(FramedError::<io::Error>::Connection(Error::Reset));
        assert_eq!(framed.to_string(), "the connection failed: the peer reset the connection");
    }
}
