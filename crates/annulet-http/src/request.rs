//! Requests, as handlers see them.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use annulet_net::Address;
use annulet_proto::http1::{self, Fields, RequestHead, TargetForm};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use percent_encoding::percent_decode_str;

use crate::body::{Body, BodyError};
use crate::exchange::Exchange;
use crate::params::Params;

/// A request: its head, looked at where it lies, and its [`Body`].
///
/// Nothing is parsed that nobody asks for. Names of fields are found whatever their case; values are as they were sent.
pub struct Request {
    /// Always there, but while dropped. All of it is behind one pointer: a request is moved several times on its way to its
    /// handler.
    parts: Option<Box<Parts>>,
}

/// What of a request goes back to the reactor's pool.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) head: RequestHead,
    pub(crate) params: Params,
    /// Always there while a request has these parts.
    body: Option<Body>,
}

impl Parts {
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.params.clear();
    }

    #[inline]
    fn body(&self) -> &Body {
        self.body.as_ref().expect(BODY)
    }
}

const PARTS: &str = "a request has its parts until it is dropped";
const BODY: &str = "a request has a body, be it empty";

impl Request {
    #[inline]
    pub(crate) fn new(mut parts: Box<Parts>, exchange: &Rc<Exchange>, number: u32) -> Self {
        parts.body = Some(Body::new(exchange.clone(), number));
        Self { parts: Some(parts) }
    }

    #[inline]
    fn parts(&self) -> &Parts {
        self.parts.as_ref().expect(PARTS)
    }

    fn exchange(&self) -> &Rc<Exchange> {
        self.parts().body().exchange()
    }

    fn head(&self) -> &RequestHead {
        &self.parts().head
    }

    /// The method.
    pub fn method(&self) -> Method {
        Method::from_bytes(self.head().method().as_bytes()).expect("a method is a token")
    }

    /// The target as it was sent: usually the path and the query.
    pub fn target(&self) -> &str {
        self.head().target()
    }

    /// The target's form.
    pub fn target_form(&self) -> TargetForm {
        self.head().target_form()
    }

    /// The target as a [`Uri`]; parses and allocates.
    pub fn uri(&self) -> Uri {
        self.target().parse().unwrap_or_default()
    }

    /// The path, as it was sent: percent signs and all, without the query.
    pub fn path(&self) -> &str {
        self.head().path()
    }

    /// What follows the first `?` of the target, as it was sent.
    pub fn query(&self) -> Option<&str> {
        self.head().query()
    }

    /// The names and values of the query, decoded.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(self.query().unwrap_or_default().as_bytes())
    }

    /// The decoded value of the first pair of this name in the query.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// What stands in the path for `{name}` of the route, decoded; bytes that are not UTF-8 become U+FFFD. `None` when the route
    /// has no such parameter.
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        let parts = self.parts();
        let value = parts.params.get(name, parts.head.path())?;
        Some(percent_decode_str(value).decode_utf8_lossy())
    }

    /// The version.
    pub fn version(&self) -> http::Version {
        match self.head().version() {
            http1::Version::Http10 => http::Version::HTTP_10,
            http1::Version::Http11 => http::Version::HTTP_11,
        }
    }

    /// The host and port the request is for.
    pub fn host(&self) -> Option<&str> {
        self.head().host()
    }

    /// The value of the first field of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.head().field(name)
    }

    /// [`header`](Self::header) where it is text.
    pub fn header_str(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.header(name)?).ok()
    }

    /// All fields, in their order.
    pub fn headers(&self) -> Fields<'_> {
        self.head().fields()
    }

    /// Names and values of all cookies, in their order (RFC 6265 §5.4); what has no `=` is left out.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers()
            .filter(|(name, _)| name.eq_ignore_ascii_case("cookie"))
            .filter_map(|(_, value)| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
    }

    /// The body.
    pub fn body(&mut self) -> &mut Body {
        self.parts.as_mut().and_then(|parts| parts.body.as_mut()).expect(BODY)
    }

    /// The body alone.
    pub fn into_body(mut self) -> Body {
        let rest = self.body().nothing();
        std::mem::replace(self.body(), rest)
    }

    /// [`Body::bytes`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Not cancel-safe.
    pub async fn bytes(&mut self) -> Result<Bytes, BodyError> {
        self.body().bytes().await
    }

    /// [`Body::text`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Not cancel-safe.
    pub async fn text(&mut self) -> Result<String, BodyError> {
        self.body().text().await
    }

    /// [`Body::form`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Not cancel-safe.
    pub async fn form(&mut self) -> Result<Vec<(String, String)>, BodyError> {
        self.body().form().await
    }

    /// [`Body::json`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Not cancel-safe.
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, BodyError> {
        self.body().json().await
    }

    /// Whether the client offers to go on with another protocol; [`Response::upgrade`](crate::Response::upgrade) accepts.
    pub fn asks_for_upgrade(&self) -> bool {
        self.head().asks_for_upgrade()
    }

    /// The number of the connection it came on.
    pub fn connection_number(&self) -> u64 {
        self.exchange().number()
    }

    /// The client's address. Asks the kernel.
    ///
    /// # Errors
    /// The kernel's: not connected any more.
    pub fn peer_address(&self) -> Result<Address, annulet_net::Error> {
        self.exchange().peer_address()
    }

    /// Waits until the client has ended or reset the connection, so that nobody waits for the answer any more. A client that
    /// ends its side after the request and goes on reading counts as gone, too; one that has sent more than the connection's
    /// unread limit is not watched. Also ends when the request has been answered. For one task at a time.
    ///
    /// # Cancel safety
    /// Dropping it does nothing.
    pub async fn client_gone(&self) {
        self.parts().body().client_gone().await;
    }

    /// Waits until the server drains: long answers are to come to an end.
    ///
    /// # Cancel safety
    /// Dropping it does nothing.
    pub async fn draining(&self) {
        self.parts().body().draining().await;
    }

    /// True once the server drains: long answers are to come to an end.
    pub fn is_draining(&self) -> bool {
        self.exchange().is_draining()
    }

    /// The same as a request of the `http` crate, for code that is written for it. Allocates.
    pub fn into_http(self) -> http::Request<Body> {
        let mut request = http::Request::new(());
        *request.method_mut() = self.method();
        *request.uri_mut() = self.uri();
        *request.version_mut() = self.version();
        let mut headers = HeaderMap::with_capacity(self.headers().len());
        for (name, value) in self.headers() {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        *request.headers_mut() = headers;
        let body = self.into_body();
        request.map(|()| body)
    }
}

impl Drop for Request {
    #[inline]
    fn drop(&mut self) {
        if let Some(mut parts) = self.parts.take()
            && let Some(body) = parts.body.take()
        {
            body.exchange().shared().keep_request(parts);
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.head().method())
            .field("target", &self.target())
            .finish_non_exhaustive()
    }
}
