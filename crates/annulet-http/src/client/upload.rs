//! A request's body on its way out.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use annulet_net::{Connection, Error, HandlerError};
use annulet_proto::http1::{LAST_CHUNK, write_chunk_size, write_field};
use annulet_runtime::Reactor;
use annulet_runtime::time::Sleep;
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Frame;

use crate::outgoing::{COPIED_MAX, Framing};

/// The body of a request: bytes at hand, which may be sent again, or a stream of them, which may not.
#[derive(Default)]
pub(super) enum RequestBody {
    #[default]
    None,
    Bytes(Bytes),
    Stream {
        /// Bytes there will be; `None` sends chunks.
        length: Option<u64>,
        source: Pin<Box<dyn Source>>,
    },
    /// A stream that has been begun.
    Gone,
}

/// Where a streamed body comes from.
pub(super) trait Source {
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HandlerError>>>;
}

/// A body of the `http_body` crate.
struct Foreign<B>(Pin<Box<B>>);

impl<B> Source for Foreign<B>
where
    B: http_body::Body,
    B::Error: Into<HandlerError>,
{
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HandlerError>>> {
        let frame = ready!(self.0.as_mut().poll_frame(cx));
        let copied = |mut data: B::Data| data.copy_to_bytes(data.remaining());
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(copied)).map_err(Into::into)))
    }
}

impl RequestBody {
    pub(super) fn from_body<B>(body: B) -> Self
    where
        B: http_body::Body + 'static,
        B::Error: Into<HandlerError>,
    {
        if body.is_end_stream() {
            return Self::None;
        }
        Self::stream(body.size_hint().exact(), Foreign(Box::pin(body)))
    }

    pub(super) fn stream(length: Option<u64>, source: impl Source + 'static) -> Self {
        Self::Stream { length, source: Box::pin(source) }
    }

    /// Whether all of it can be sent (once more).
    pub(super) fn can_be_sent(&self) -> bool {
        !matches!(self, Self::Gone)
    }

    /// How it is framed; `None` when there is none.
    pub(super) fn framing(&self) -> Option<Framing> {
        match self {
            Self::None | Self::Gone => None,
            Self::Bytes(bytes) => Some(Framing::Sized(bytes.len() as u64)),
            Self::Stream { length: Some(length), .. } => Some(Framing::Sized(*length)),
            Self::Stream { length: None, .. } => Some(Framing::Chunked),
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream { length, .. } => {
                f.debug_struct("Stream").field("length", length).finish_non_exhaustive()
            }
            Self::Gone => f.write_str("Gone"),
        }
    }
}

/// What is left of a body that is being sent.
pub(super) struct Upload {
    /// `None` once it has given all.
    source: Option<Pin<Box<dyn Source>>>,
    framing: Framing,
    /// Given and not staged.
    pending: Bytes,
    trailers: Option<HeaderMap>,
    /// Until then the server is given time to say whether it wants the body.
    held: Option<Sleep>,
}

/// Why a body is not sent to its end.
pub(super) enum UploadError {
    /// Because of the connection, which says so when it is read, too.
    Connection,
    /// Because of the body.
    Source(HandlerError),
}

impl From<Error> for UploadError {
    fn from(_: Error) -> Self {
        Self::Connection
    }
}

impl Upload {
    /// What is to be sent while the response is waited for; `None` when there is nothing.
    pub(super) fn take(body: &mut RequestBody, held: Option<Sleep>) -> Option<Self> {
        let framing = body.framing()?;
        let (source, pending, framing) = match std::mem::replace(body, RequestBody::Gone) {
            RequestBody::Stream { source, .. } => (Some(source), Bytes::new(), framing),
            RequestBody::Bytes(bytes) => {
                *body = RequestBody::Bytes(bytes.clone());
                // There is no more to come than is at hand.
                (None, bytes, Framing::Sized(0))
            }
            RequestBody::None | RequestBody::Gone => return None,
        };
        Some(Self { source, framing, pending, trailers: None, held })
    }

    /// Whether it is few bytes at hand.
    pub(super) fn is_short(&self) -> bool {
        self.source.is_none() && self.pending.len() <= COPIED_MAX
    }

    /// The server wants the body.
    pub(super) fn release(&mut self) {
        self.held = None;
    }

    /// Sends as much as there is and the connection has room for; ready when that was all.
    pub(super) fn poll(
        &mut self,
        connection: &mut Connection,
        reactor: &Reactor,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UploadError>> {
        if let Some(held) = &mut self.held {
            ready!(Future::poll(Pin::new(held), cx));
            self.held = None;
        }
        loop {
            ready!(reactor.poll_budget(cx));
            if !self.pending.is_empty() {
                ready!(connection.poll_room(cx, self.pending.len()))?;
                self.stage(connection)?;
            }
            let Some(source) = &mut self.source else {
                return Poll::Ready(self.finish(connection));
            };
            match ready!(source.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => self.keep(frame)?,
                Some(Err(error)) => return Poll::Ready(Err(UploadError::Source(error))),
                None => self.source = None,
            }
        }
    }

    fn keep(&mut self, frame: Frame<Bytes>) -> Result<(), UploadError> {
        match frame.into_data() {
            Ok(data) => {
                if let Framing::Sized(left) = &mut self.framing {
                    let more = left.checked_sub(data.len() as u64);
                    *left = more.ok_or_else(|| wrong_length("it has more bytes than it announced"))?;
                }
                self.pending = data;
            }
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
        Ok(())
    }

    fn stage(&mut self, connection: &mut Connection) -> Result<(), Error> {
        let data = std::mem::take(&mut self.pending);
        let is_chunked = self.framing == Framing::Chunked;
        if data.len() > COPIED_MAX {
            if is_chunked {
                connection.compose(|out| write_chunk_size(out, data.len() as u64))?;
            }
            connection.stage(data)?;
            return if is_chunked {
                connection.compose(|out| out.extend_from_slice(b"\r\n"))
            } else {
                Ok(())
            };
        }
        connection.compose(|out| {
            if is_chunked {
                write_chunk_size(out, data.len() as u64);
            }
            out.extend_from_slice(&data);
            if is_chunked {
                out.extend_from_slice(b"\r\n");
            }
        })
    }

    fn finish(&mut self, connection: &mut Connection) -> Result<(), UploadError> {
        match (self.framing, self.trailers.take()) {
            (Framing::Chunked, None) => connection.compose(|out| out.extend_from_slice(LAST_CHUNK))?,
            (Framing::Chunked, Some(trailers)) => connection.compose(|out| {
                out.extend_from_slice(b"0\r\n");
                for (name, value) in &trailers {
                    // A value that is a field's is one line.
                    let _ = write_field(out, name.as_str(), value.as_bytes());
                }
                out.extend_from_slice(b"\r\n");
            })?,
            (Framing::Sized(1..), _) => return Err(wrong_length("it has fewer bytes than it announced")),
            (Framing::Sized(0) | Framing::UntilEnd, _) => {}
        }
        Ok(())
    }
}

#[cold]
fn wrong_length(reason: &'static str) -> UploadError {
    UploadError::Source(HandlerError::message(reason))
}
