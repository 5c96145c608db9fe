//! Bodies of responses, as handlers write them.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use annulet_net::{Error, Payload};
use http::HeaderMap;

use crate::exchange::{Exchange, State};

/// Copied at a time.
const PIECE_MAX: usize = 8 * 1024;

/// Writes the body of a response while it is sent; see [`Response::stream`](crate::Response::stream).
///
/// What is written leaves when the writer waits for something, in chunks of what was written at a time. Writing waits while the
/// client is too far behind, so a slow client holds up its own response and costs bounded memory.
///
/// The body ends when the future that was given the writer does. A writer kept longer writes into the void, with an error.
pub struct BodyWriter {
    exchange: Rc<Exchange>,
    number: u32,
}

/// Why bytes of a body cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The connection failed: the client is gone.
    #[error("the response cannot be sent")]
    Connection(#[from] Error),
    /// More bytes than the length that was announced. None of them were written.
    #[error("more bytes were written than the response announced")]
    TooMany,
    /// The response has ended.
    #[error("the response this writer belongs to has ended")]
    Ended,
}

impl BodyWriter {
    pub(crate) fn new(exchange: Rc<Exchange>, number: u32) -> Self {
        Self { exchange, number }
    }

    /// Writes a copy of `bytes`.
    ///
    /// # Errors
    /// [`WriteError`]; the client has got a part of the body.
    ///
    /// # Cancel safety
    /// Not cancel-safe: dropped early it may have written a part. A body of an announced length is cut off then.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), WriteError> {
        let bytes = bytes.as_ref();
        self.check(bytes.len())?;
        for piece in bytes.chunks(PIECE_MAX) {
            poll_fn(|cx| self.poll_stage(cx, piece.len(), |state| state.copy_body(piece))).await?;
        }
        Ok(())
    }

    /// Writes a payload: a received chunk, `Bytes`, static bytes or a `Vec`, copied only when it is small.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    ///
    /// # Cancel safety
    /// Dropped early, nothing of the payload is sent.
    pub async fn send(&mut self, payload: impl Into<Payload>) -> Result<(), WriteError> {
        let mut payload = Some(payload.into());
        let length = payload.as_ref().map_or(0, Payload::len);
        poll_fn(|cx| {
            self.poll_stage(cx, length, |state| {
                payload.take().map_or(Ok(()), |payload| state.stage_body(payload))
            })
        })
        .await
    }

    /// Waits until the kernel has taken all that was written. Rarely needed.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    ///
    /// # Cancel safety
    /// Dropping it does nothing.
    pub async fn flush(&mut self) -> Result<(), WriteError> {
        poll_fn(|cx| {
            self.check(0)?;
            self.exchange.state().connection().poll_flush(cx).map_err(WriteError::from)
        })
        .await
    }

    /// Sets the trailer fields, which follow the last chunk. Without chunks (a response of an announced length, a client of
    /// HTTP/1.0) they are not sent.
    pub fn set_trailers(&mut self, trailers: HeaderMap) {
        if self.check(0).is_ok() {
            self.exchange.state().outgoing.trailers = Some(Box::new(trailers));
        }
    }

    /// Waits until the client has ended or reset the connection: nobody reads any more. Writing finds out later, when the
    /// kernel does. For one task at a time. A client that has sent more than the connection's unread limit is not watched.
    ///
    /// # Cancel safety
    /// Dropping it does nothing.
    pub async fn client_gone(&self) {
        poll_fn(|cx| self.exchange.poll_client_gone(self.number, cx)).await;
    }

    /// Waits until the server drains: the body is to come to an end.
    ///
    /// # Cancel safety
    /// Dropping it does nothing.
    pub async fn draining(&self) {
        poll_fn(|cx| self.exchange.poll_draining(cx)).await;
    }

    /// True once the server drains: the body is to come to an end.
    pub fn is_draining(&self) -> bool {
        self.exchange.is_draining()
    }

    /// Whether `length` bytes may be written.
    fn check(&self, length: usize) -> Result<(), WriteError> {
        if !self.exchange.is_current(self.number) {
            return Err(WriteError::Ended);
        }
        let state = self.exchange.state();
        if !state.outgoing.is_begun() {
            return Err(WriteError::Ended);
        }
        if length as u64 > state.outgoing.left() {
            return Err(WriteError::TooMany);
        }
        Ok(())
    }

    /// Has `stage` stage `length` bytes once there is room for them.
    fn poll_stage(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        stage: impl FnOnce(&mut State) -> Result<(), Error>,
    ) -> Poll<Result<(), WriteError>> {
        self.check(length)?;
        if length == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.exchange.state();
        std::task::ready!(state.connection().poll_room(cx, length))?;
        std::task::ready!(self.exchange.local().reactor.poll_budget(cx));
        Poll::Ready(stage(&mut state).map_err(WriteError::from))
    }
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter").finish_non_exhaustive()
    }
}
