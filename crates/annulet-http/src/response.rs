//! Responses, as handlers make them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use annulet_driver::Chunk;
use annulet_net::{Connection, HandlerError, HandlerResult, Payload};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::content_type::ContentType;
use crate::writer::BodyWriter;

/// A response: a status, fields, and a body that is at hand, or made while it is sent.
///
/// The server adds what frames it: `Content-Length` or `Transfer-Encoding`, `Connection`, and `Date`. These, set by a handler,
/// are not sent, but for `Connection: close`, which closes the connection, and a `Date` of its own. To HEAD the body is not
/// sent, its length is.
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) content_type: ContentType,
    /// Boxed: most responses have none, and all are moved.
    pub(crate) headers: Option<Box<HeaderMap>>,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    Empty,
    Payload(Payload),
    Stream(Box<Streaming>),
    Upgrade(Box<UpgradeFn>),
}

/// A body made while it is sent.
pub(crate) struct Streaming {
    /// Bytes there will be; `None` sends chunks.
    pub(crate) length: Option<u64>,
    pub(crate) source: Source,
}

pub(crate) enum Source {
    Writer(Box<WriterFn>),
    Body(Pin<Box<dyn http_body::Body<Data = Bytes, Error = HandlerError>>>),
}

pub(crate) type LocalFuture = Pin<Box<dyn Future<Output = HandlerResult>>>;
pub(crate) type WriterFn = dyn FnOnce(BodyWriter) -> LocalFuture;
pub(crate) type UpgradeFn = dyn FnOnce(Connection) -> LocalFuture;

impl Response {
    /// A response without a body.
    pub const fn new(status: StatusCode) -> Self {
        Self { status, content_type: ContentType::None, headers: None, content: Content::Empty }
    }

    /// 200 with text.
    pub fn text(text: impl Into<Text>) -> Self {
        Self::ok(ContentType::Text, text.into().0)
    }

    /// 200 with HTML.
    pub fn html(text: impl Into<Text>) -> Self {
        Self::ok(ContentType::Html, text.into().0)
    }

    /// 200 with bytes (`application/octet-stream`; [`content_type`](Self::content_type) changes that). They are not copied,
    /// unless they are so few that a copy is cheaper.
    pub fn bytes(bytes: impl Into<Payload>) -> Self {
        Self::ok(ContentType::Binary, bytes.into())
    }

    /// 200 with JSON.
    ///
    /// # Errors
    /// When `value` cannot be JSON: a map with keys that are no strings, or an error of its `Serialize`.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Self, HandlerError> {
        let bytes = serde_json::to_vec(value)?;
        Ok(Self::ok(ContentType::Json, bytes.into()))
    }

    /// 303: the client is to GET `location`.
    ///
    /// # Panics
    /// When `location` is no field value: it has a line end or another control character.
    pub fn see_other(location: &str) -> Self {
        let location = HeaderValue::from_str(location).expect("a location is a field value");
        Self::new(StatusCode::SEE_OTHER).header(http::header::LOCATION, location)
    }

    /// 200 with a body that `write` makes while it is sent, in chunks. It waits while the client is behind. An error, or a
    /// panic, cuts the connection off, so that the client does not take what it got for all there was.
    pub fn stream<F>(write: impl FnOnce(BodyWriter) -> F + 'static) -> Self
    where
        F: Future<Output = HandlerResult> + 'static,
    {
        Self::streaming(None, write)
    }

    /// [`stream`](Self::stream) with a body of so many bytes: fewer cut the connection off, more are an error.
    pub fn stream_sized<F>(length: u64, write: impl FnOnce(BodyWriter) -> F + 'static) -> Self
    where
        F: Future<Output = HandlerResult> + 'static,
    {
        Self::streaming(Some(length), write)
    }

    fn streaming<F>(length: Option<u64>, write: impl FnOnce(BodyWriter) -> F + 'static) -> Self
    where
        F: Future<Output = HandlerResult> + 'static,
    {
        let write: Box<WriterFn> = Box::new(move |writer| Box::pin(write(writer)));
        let content = Content::Stream(Box::new(Streaming { length, source: Source::Writer(write) }));
        Self { content, content_type: ContentType::Binary, ..Self::new(StatusCode::OK) }
    }

    /// 101: the connection goes on as `protocol`, in the hands of `serve`, which also gets the bytes that came after the
    /// request's. To CONNECT it is a 200, and `protocol` is not said.
    ///
    /// To a request that does not offer `protocol` in its `Upgrade` field, the server answers 426 instead.
    pub fn upgrade<F>(protocol: &'static str, serve: impl FnOnce(Connection) -> F + 'static) -> Self
    where
        F: Future<Output = HandlerResult> + 'static,
    {
        let serve: Box<UpgradeFn> = Box::new(move |connection| Box::pin(serve(connection)));
        let content = Content::Upgrade(serve);
        Self { content, ..Self::new(StatusCode::SWITCHING_PROTOCOLS) }
            .header(http::header::UPGRADE, HeaderValue::from_static(protocol))
    }

    /// From a response of the `http` crate, with any body.
    pub fn from_http<B>(response: http::Response<B>) -> Self
    where
        B: http_body::Body + 'static,
        B::Error: Into<HandlerError>,
    {
        let (parts, body) = response.into_parts();
        let length = body.size_hint().exact();
        let content = if body.is_end_stream() {
            Content::Empty
        } else {
            let source = Source::Body(Box::pin(Adapted { body }));
            Content::Stream(Box::new(Streaming { length, source }))
        };
        let headers = (!parts.headers.is_empty()).then(|| Box::new(parts.headers));
        Self { status: parts.status, content_type: ContentType::None, headers, content }
    }

    fn ok(content_type: ContentType, payload: Payload) -> Self {
        Self { status: StatusCode::OK, content_type, headers: None, content: Content::Payload(payload) }
    }

    /// Whether it is nothing but bytes of the program itself.
    #[inline]
    pub(crate) fn is_static(&self) -> bool {
        self.headers.is_none() && matches!(self.content, Content::Payload(Payload::Static(_)))
    }

    /// Sets the status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Sets the type of the body.
    ///
    /// # Panics
    /// When it has a line end or another control character.
    #[must_use]
    pub fn content_type(mut self, content_type: &'static str) -> Self {
        let value = HeaderValue::from_static(content_type);
        self.headers_mut().insert(http::header::CONTENT_TYPE, value);
        self
    }

    /// Adds a field, behind others of its name. `Content-Type` replaces that of the body.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers_mut().append(name, value);
        self
    }

    /// The fields added to it.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers.get_or_insert_default()
    }

    /// The status.
    pub fn status_code(&self) -> StatusCode {
        self.status
    }

    /// Has the connection close after it.
    #[must_use]
    pub fn close(self) -> Self {
        self.header(http::header::CONNECTION, HeaderValue::from_static("close"))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Text to send: static, or of its own.
#[derive(Debug)]
pub struct Text(Payload);

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

pin_project_lite::pin_project! {
    /// A body of any kind, as one of bytes.
    struct Adapted<B> {
        #[pin]
        body: B,
    }
}

impl<B> http_body::Body for Adapted<B>
where
    B: http_body::Body,
    B::Error: Into<HandlerError>,
{
    type Data = Bytes;
    type Error = HandlerError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, HandlerError>>> {
        self.project().body.poll_frame(cx).map(|frame| {
            frame.map(|frame| {
                let copied = |mut data: B::Data| data.copy_to_bytes(data.remaining());
                frame.map(|frame| frame.map_data(copied)).map_err(Into::into)
            })
        })
    }
}

/// What a handler may return.
pub trait IntoResponse {
    /// The response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    #[inline]
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for () {
    /// 200 without a body.
    fn into_response(self) -> Response {
        Response::new(StatusCode::OK)
    }
}

impl IntoResponse for &'static str {
    #[inline]
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

/// Into [`Response::bytes`].
macro_rules! bytes_into_response {
    ($($type:ty),*) => {$(
        impl IntoResponse for $type {
            fn into_response(self) -> Response {
                Response::bytes(self)
            }
        }
    )*};
}

bytes_into_response!(&'static [u8], Vec<u8>, Bytes, Chunk, Payload);

impl IntoResponse for StatusCode {
    /// The status, and its reason as text.
    fn into_response(self) -> Response {
        let reason = self.canonical_reason().unwrap_or_default();
        if reason.is_empty() || self.is_success() || self.is_informational() || self.is_redirection() {
            return Response::new(self);
        }
        Response::text(reason).status(self)
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().status(self.0)
    }
}

/// `None` is 404.
impl<T: IntoResponse> IntoResponse for Option<T> {
    fn into_response(self) -> Response {
        self.map_or_else(|| StatusCode::NOT_FOUND.into_response(), T::into_response)
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    #[inline]
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl IntoResponse for std::convert::Infallible {
    fn into_response(self) -> Response {
        match self {}
    }
}

impl IntoResponse for HandlerError {
    /// 500, and a line in the log: the client learns nothing of it. An error of the body becomes its own status.
    #[cold]
    fn into_response(self) -> Response {
        if let Some(error) = self.get_ref().downcast_ref::<crate::BodyError>() {
            return error.into_response();
        }
        tracing::warn!(error = %self, "a handler failed; answered 500");
        if let Some(reactor) = annulet_runtime::Reactor::try_current() {
            crate::local::Local::of(&reactor).counters.http_handlers_failed.increment();
        }
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

impl IntoResponse for crate::BodyError {
    #[cold]
    fn into_response(self) -> Response {
        Response::text(self.to_string()).status(self.status())
    }
}

impl<B> IntoResponse for http::Response<B>
where
    B: http_body::Body + 'static,
    B::Error: Into<HandlerError>,
{
    fn into_response(self) -> Response {
        Response::from_http(self)
    }
}
