//! Bodies of requests, as handlers read them.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use annulet_driver::Chunk;
use annulet_net::{Clock, Error};
use annulet_proto::http1::HttpError;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};

use crate::exchange::Exchange;
use crate::incoming::Incoming;
use crate::trailers;

/// The body of a request, received as it is asked for: a handler that reads slowly slows its client down through TCP.
///
/// It belongs to its request's answer: once the response has been given, nothing more can be read from it, and what was not
/// read is thrown away. A response that streams may read it to its own end.
///
/// A body that breaks the rules, is too large, or comes too slowly fails here, and the server answers the request itself, with
/// [`BodyError::status`], whatever the handler returns, unless a response is on its way already.
pub struct Body {
    exchange: Rc<Exchange>,
    number: u32,
    // Cells, in which the compiler cannot note that there is no body: it is to do that in the pointer.
    is_waiting: Cell<bool>,
    /// It was read to its end.
    saw_end: Cell<bool>,
    /// Trailers have been handed out as a frame.
    gave_trailers: Cell<bool>,
}

const _: () = assert!(size_of::<Option<Body>>() == size_of::<Body>());

/// Why a body ends before its end. Nothing more comes, and the connection closes after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// Malformed chunks or trailers.
    #[error(transparent)]
    Framing(#[from] HttpError),
    /// More bytes than the limit.
    #[error("the body is larger than the limit")]
    TooLarge,
    /// Fewer bytes per second than the least rate.
    #[error("the body comes too slowly")]
    TooSlow,
    /// The connection failed, ended, or timed out.
    #[error("the rest of the body did not come")]
    Connection(#[from] Error),
    /// The request was answered already.
    #[error("the request this body belongs to has been answered")]
    Answered,
    /// The bytes are not what they were to be: not text, not a form, not JSON.
    #[error("the body is not {0}")]
    NotA(&'static str),
}

impl BodyError {
    /// The status that answers the request.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Framing(error) => StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST),
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow | Self::Connection(Error::Timeout(Clock::Inactivity | Clock::Request)) => {
                StatusCode::REQUEST_TIMEOUT
            }
            Self::Connection(_) | Self::NotA(_) => StatusCode::BAD_REQUEST,
            Self::Answered => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Body {
    #[inline]
    pub(crate) fn new(exchange: Rc<Exchange>, number: u32) -> Self {
        Self {
            exchange,
            number,
            is_waiting: Cell::new(false),
            saw_end: Cell::new(false),
            gave_trailers: Cell::new(false),
        }
    }

    /// The next bytes of the body, `None` at its end. Never empty. Asks a client that waits for it to go on
    /// (`100 Continue`).
    ///
    /// # Errors
    /// [`BodyError`]; the same again from then on.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Result<Option<Chunk>, BodyError> {
        let waiting = StopWaiting(self);
        poll_fn(|cx| waiting.0.poll_recv(cx)).await
    }

    /// [`recv`](Self::recv) for code that polls by hand.
    ///
    /// # Errors
    /// As for `recv`.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, BodyError>> {
        let polled = self.exchange.poll_body(self.number, cx);
        self.is_waiting.set(polled.is_pending());
        if let Poll::Ready(Ok(None)) = polled {
            self.saw_end.set(true);
        }
        polled
    }

    /// All that is left of the body, in one piece: no more than its limit.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Not cancel-safe: what was received is gone.
    pub async fn bytes(&mut self) -> Result<Bytes, BodyError> {
        let Some(first) = self.recv().await? else { return Ok(Bytes::new()) };
        if self.is_ended() {
            return Ok(first.into_bytes());
        }
        // A lease is not kept over a wait.
        let mut bytes = BytesMut::from(&first[..]);
        drop(first);
        while let Some(chunk) = self.recv().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// [`bytes`](Self::bytes) as UTF-8.
    ///
    /// # Errors
    /// As for `bytes`; [`BodyError::NotA`] when it is not UTF-8.
    ///
    /// # Cancel safety
    /// Not cancel-safe.
    pub async fn text(&mut self) -> Result<String, BodyError> {
        let bytes = self.bytes().await?;
        String::from_utf8(bytes.into()).map_err(|_| BodyError::NotA("UTF-8"))
    }

    /// The fields of an HTML form (`application/x-www-form-urlencoded`), decoded, in their order.
    ///
    /// # Errors
    /// As for [`bytes`](Self::bytes).
    ///
    /// # Cancel safety
    /// Not cancel-safe.
    pub async fn form(&mut self) -> Result<Vec<(String, String)>, BodyError> {
        let bytes = self.bytes().await?;
        Ok(form_urlencoded::parse(&bytes).into_owned().collect())
    }

    /// [`bytes`](Self::bytes) as JSON.
    ///
    /// # Errors
    /// As for `bytes`; [`BodyError::NotA`] when it is not JSON, or not that of a `T`.
    ///
    /// # Cancel safety
    /// Not cancel-safe.
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, BodyError> {
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            tracing::debug!(%error, "a body is not the JSON it was to be");
            BodyError::NotA("the JSON that was expected")
        })
    }

    #[inline]
    pub(crate) fn exchange(&self) -> &Rc<Exchange> {
        &self.exchange
    }

    pub(crate) async fn draining(&self) {
        poll_fn(|cx| self.exchange.poll_draining(cx)).await;
    }

    pub(crate) async fn client_gone(&self) {
        poll_fn(|cx| self.exchange.poll_client_gone(self.number, cx)).await;
    }

    /// A body in the place of this one, when that is taken.
    pub(crate) fn nothing(&self) -> Self {
        Self::new(self.exchange.clone(), self.number)
    }

    /// Bytes still to come; `None` when the client did not say, or when the request has been answered meanwhile.
    pub fn left(&self) -> Option<u64> {
        self.exchange
            .with_incoming(self.number, |incoming| incoming.left())
            .unwrap_or(self.saw_end.get().then_some(0))
    }

    /// True when all of it has been read.
    pub fn is_ended(&self) -> bool {
        self.exchange.with_incoming(self.number, |incoming| incoming.is_ended()).unwrap_or(self.saw_end.get())
    }

    /// Sets the bound on the whole body, instead of that of the route or of the [`Settings`](crate::Settings). A length that
    /// was declared has been compared with theirs already.
    pub fn set_max(&mut self, bytes: u64) {
        self.exchange.with_incoming(self.number, |incoming| incoming.set_max(bytes));
    }

    /// The trailer fields of a chunked body that has been read to its end; empty otherwise.
    pub fn trailers(&self) -> HeaderMap {
        let of = |incoming: &mut Incoming| incoming.is_ended().then(|| trailers::fields(incoming.trailers()));
        self.exchange.with_incoming(self.number, of).flatten().unwrap_or_default()
    }
}

/// A wait that ends when it is dropped.
struct StopWaiting<'a>(&'a mut Body);

impl Drop for StopWaiting<'_> {
    fn drop(&mut self) {
        self.0.stop_waiting();
    }
}

impl Body {
    /// The trailers, once.
    fn take_trailers(&mut self) -> Option<HeaderMap> {
        let trailers = (!self.gave_trailers.replace(true)).then(|| self.trailers());
        trailers.filter(|trailers| !trailers.is_empty())
    }

    #[inline]
    fn stop_waiting(&mut self) {
        if self.is_waiting.get() {
            self.is_waiting.set(false);
            self.exchange.stop_waiting(self.number);
        }
    }
}

impl Drop for Body {
    #[inline]
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = std::task::ready!(self.poll_recv(cx));
        Poll::Ready(match polled {
            Ok(Some(chunk)) => Some(Ok(Frame::data(chunk.into_bytes()))),
            Ok(None) => self.take_trailers().map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended() && (self.gave_trailers.get() || self.trailers().is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        self.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("left", &self.left()).finish_non_exhaustive()
    }
}
