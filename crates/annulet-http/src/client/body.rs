//! Bodies of responses, as clients read them.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use annulet_driver::Chunk;
use annulet_net::{Connection, Error};
use annulet_proto::http1::{BodyLength, ResponseHead};
use annulet_runtime::time::Sleep;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::error::{ClientError, Phase};
use super::wire::Wire;
use crate::body::BodyError;
use crate::incoming::Incoming;
use crate::trailers;

/// The body of a response, received as it is asked for: a client that reads slowly slows the server down through TCP.
///
/// While it is read, the rest of the request's own body goes on being sent.
pub struct ClientBody {
    /// `None` once the body has ended or failed.
    wire: Option<Box<Wire>>,
    incoming: Incoming,
    /// The end of the connection is its end.
    is_until_end: bool,
    /// The connection has become another protocol's.
    is_switched: bool,
    is_waiting: bool,
    /// Bytes of it that are collected.
    collected_max: usize,
    /// When the request's time is up.
    timer: Option<Sleep>,
    error: Option<Failed>,
    /// Trailers have been handed out as a frame.
    gave_trailers: bool,
}

/// An error that is given again.
#[derive(Clone, Copy)]
enum Failed {
    Body(BodyError),
    TimedOut,
}

impl From<Failed> for ClientError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Body(error) => Self::Body(error),
            Failed::TimedOut => Self::TimedOut(Phase::Body),
        }
    }
}

impl ClientBody {
    pub(super) fn new(
        mut wire: Box<Wire>,
        head: &ResponseHead,
        timer: Option<Sleep>,
        collected_max: usize,
    ) -> Self {
        let mut incoming = Incoming::none();
        let length = head.body_length();
        let is_switched = head.status() == 101;
        if length != BodyLength::None {
            incoming.begin(length, false, u64::MAX, 0);
            wire.body_begins();
        }
        let mut body = Self {
            wire: Some(wire),
            incoming,
            is_until_end: length == BodyLength::UntilEnd,
            is_switched,
            is_waiting: false,
            collected_max,
            timer,
            error: None,
            gave_trailers: false,
        };
        if length == BodyLength::None && !is_switched {
            body.finish();
        }
        body
    }

    /// The next bytes of the body, `None` at its end. Never empty.
    ///
    /// # Errors
    /// [`ClientError::Body`], [`ClientError::TimedOut`], [`ClientError::RequestBody`]. Nothing more comes.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Result<Option<Chunk>, ClientError> {
        let waiting = StopWaiting(self);
        poll_fn(|cx| waiting.0.poll_recv(cx)).await
    }

    /// [`recv`](Self::recv) for code that polls by hand.
    ///
    /// # Errors
    /// As for `recv`.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, ClientError>> {
        if let Some(failed) = self.error {
            return Poll::Ready(Err(failed.into()));
        }
        let mut polled = self.poll_data(cx);
        if polled.is_pending()
            && let Some(timer) = &mut self.timer
            && Future::poll(Pin::new(timer), cx).is_ready()
        {
            polled = Poll::Ready(Err(self.fail(Failed::TimedOut)));
        }
        self.is_waiting = polled.is_pending();
        polled
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, ClientError>> {
        loop {
            let Some(wire) = &mut self.wire else { return Poll::Ready(Ok(None)) };
            if self.is_switched {
                return Poll::Ready(Ok(None));
            }
            if let Poll::Ready(Err(error)) = wire.poll_upload(cx) {
                self.fail(Failed::Body(BodyError::Connection(Error::Aborted)));
                return Poll::Ready(Err(error));
            }
            match self.incoming.take(&mut wire.input) {
                Ok(data) => {
                    if self.incoming.is_ended() {
                        self.finish();
                    }
                    if data.is_some() {
                        return Poll::Ready(Ok(data));
                    }
                    if self.wire.is_none() {
                        continue;
                    }
                }
                Err(error) => return Poll::Ready(Err(self.fail(Failed::Body(error)))),
            }
            let Some(wire) = &mut self.wire else { continue };
            match ready!(wire.poll_recv(cx)) {
                Ok(Some(chunk)) => wire.input = Some(chunk),
                Ok(None) if self.is_until_end => {
                    self.incoming.begin_empty();
                    self.finish();
                }
                Ok(None) => return Poll::Ready(Err(self.broke(Error::UnexpectedEnd))),
                Err(error) => return Poll::Ready(Err(self.broke(error))),
            }
        }
    }

    /// The last byte is here: the connection goes back.
    fn finish(&mut self) {
        if let Some(wire) = self.wire.take() {
            wire.finish();
        }
        self.timer = None;
    }

    /// The connection failed.
    #[cold]
    fn broke(&mut self, error: Error) -> ClientError {
        if let Some(wire) = &mut self.wire
            && !matches!(error, Error::Timeout(_))
        {
            wire.give_up();
        }
        self.fail(Failed::Body(BodyError::Connection(error)))
    }

    /// Nothing more comes.
    #[cold]
    fn fail(&mut self, failed: Failed) -> ClientError {
        self.timer = None;
        self.error = Some(failed);
        let error = failed.into();
        if let Some(wire) = self.wire.take() {
            wire.count(&error);
        }
        error
    }

    /// All that is left of the body, in one piece.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv); [`BodyError::TooLarge`] when it is larger than [`body_max`](super::ClientBuilder::body_max).
    ///
    /// # Cancel safety
    /// Not cancel-safe: what was received is gone.
    pub async fn bytes(&mut self) -> Result<Bytes, ClientError> {
        if self.left().is_some_and(|left| left > self.collected_max as u64) {
            return Err(self.fail(Failed::Body(BodyError::TooLarge)));
        }
        let Some(first) = self.recv().await? else { return Ok(Bytes::new()) };
        if self.is_ended() && first.len() <= self.collected_max {
            return Ok(first.into_bytes());
        }
        let mut bytes = BytesMut::with_capacity(first.len() * 2);
        bytes.extend_from_slice(&first);
        drop(first);
        loop {
            if bytes.len() > self.collected_max {
                return Err(self.fail(Failed::Body(BodyError::TooLarge)));
            }
            match self.recv().await? {
                Some(chunk) => bytes.extend_from_slice(&chunk),
                None => return Ok(bytes.freeze()),
            }
        }
    }

    /// [`bytes`](Self::bytes) as UTF-8.
    ///
    /// # Errors
    /// As for `bytes`; [`BodyError::NotA`] when it is not UTF-8.
    ///
    /// # Cancel safety
    /// Not cancel-safe.
    pub async fn text(&mut self) -> Result<String, ClientError> {
        let bytes = self.bytes().await?;
        String::from_utf8(bytes.into()).map_err(|_| BodyError::NotA("UTF-8").into())
    }

    /// [`bytes`](Self::bytes) as JSON.
    ///
    /// # Errors
    /// As for `bytes`; [`BodyError::NotA`] when it is not JSON, or not that of a `T`.
    ///
    /// # Cancel safety
    /// Not cancel-safe.
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, ClientError> {
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            tracing::debug!(%error, "a response is not the JSON it was to be");
            BodyError::NotA("the JSON that was expected").into()
        })
    }

    /// Bytes still to come; `None` when the server did not say.
    pub fn left(&self) -> Option<u64> {
        self.incoming.left()
    }

    /// True when all of it has been read.
    pub fn is_ended(&self) -> bool {
        self.incoming.is_ended()
    }

    /// The trailer fields of a chunked body that has been read to its end; empty otherwise.
    pub fn trailers(&self) -> HeaderMap {
        if !self.is_ended() {
            return HeaderMap::new();
        }
        trailers::fields(self.incoming.trailers())
    }

    /// The connection after a 101; see [`ClientResponse::upgrade`](super::ClientResponse::upgrade).
    pub fn upgrade(&mut self) -> Option<Connection> {
        let wire = self.wire.take_if(|_| self.is_switched)?;
        Some(wire.hand_over())
    }

    /// Reads to the end what is of no interest, when that is no more than `max` bytes, so that the connection can be used again.
    pub(super) async fn discard(mut self, max: usize) -> Result<(), ClientError> {
        let mut left = max;
        while let Some(chunk) = self.recv().await? {
            match left.checked_sub(chunk.len()) {
                Some(less) => left = less,
                None => break,
            }
        }
        Ok(())
    }

    /// Takes what has arrived. The connection goes back if that was the rest.
    fn settle(&mut self) {
        while let Some(wire) = &mut self.wire {
            if wire.input.is_none() {
                wire.input = wire.try_recv();
            }
            if wire.input.is_none() || self.incoming.take(&mut wire.input).is_err() {
                return;
            }
            if self.incoming.is_ended() {
                self.finish();
            }
        }
    }

    /// The trailers, once.
    fn take_trailers(&mut self) -> Option<HeaderMap> {
        let trailers = (!self.gave_trailers).then(|| self.trailers());
        self.gave_trailers = true;
        trailers.filter(|trailers| !trailers.is_empty())
    }

    fn stop_waiting(&mut self) {
        if std::mem::take(&mut self.is_waiting)
            && let Some(wire) = &self.wire
        {
            wire.stop_waiting();
        }
    }
}

/// A wait that ends when it is dropped.
struct StopWaiting<'a>(&'a mut ClientBody);

impl Drop for StopWaiting<'_> {
    fn drop(&mut self) {
        self.0.stop_waiting();
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        self.stop_waiting();
        if !self.is_switched {
            self.settle();
        }
    }
}

impl http_body::Body for ClientBody {
    type Data = Bytes;
    type Error = ClientError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientError>>> {
        Poll::Ready(match ready!(self.poll_recv(cx)) {
            Ok(Some(chunk)) => Some(Ok(Frame::data(chunk.into_bytes()))),
            Ok(None) => self.take_trailers().map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended() && (self.gave_trailers || self.trailers().is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        self.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for ClientBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBody").field("left", &self.left()).finish_non_exhaustive()
    }
}
