//! Responses, as a client sees them.

use std::fmt;

use annulet_driver::Chunk;
use annulet_net::Connection;
use annulet_proto::http1::{self, Fields};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::body::ClientBody;
use super::error::ClientError;
use super::local::Head;
use super::target::Target;

/// A response: its head, looked at where it lies, and its streaming [`ClientBody`].
///
/// The connection goes back to the client's pool when the body has been read to its end, as soon as its last byte is here. A
/// response that is dropped before that has its connection cut off, unless the rest has arrived already.
pub struct ClientResponse {
    head: Head,
    body: ClientBody,
    target: Target,
}

impl ClientResponse {
    pub(super) fn new(head: Head, body: ClientBody, target: Target) -> Self {
        Self { head, body, target }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.head.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The version.
    pub fn version(&self) -> http::Version {
        match self.head.version() {
            http1::Version::Http10 => http::Version::HTTP_10,
            http1::Version::Http11 => http::Version::HTTP_11,
        }
    }

    /// The value of the first field of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.field(name)
    }

    /// [`header`](Self::header), when it is text.
    pub fn header_str(&self, name: &str) -> Option<&str> {
        self.header(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All fields, in their order, as they were sent.
    pub fn fields(&self) -> Fields<'_> {
        self.head.fields()
    }

    /// All fields, as a map; allocates.
    pub fn headers(&self) -> HeaderMap {
        let name = |name: &str| HeaderName::from_bytes(name.as_bytes()).ok();
        let value = |value: &[u8]| HeaderValue::from_bytes(value).ok();
        self.fields().filter_map(|(a, b)| Some((name(a)?, value(b)?))).collect_map()
    }

    /// What Content-Length says: to HEAD, how long the body would have been.
    pub fn content_length(&self) -> Option<u64> {
        self.head.content_length()
    }

    /// The URL that answered: another than was asked for when redirects were followed.
    pub fn url(&self) -> String {
        self.target.url()
    }

    /// The body.
    pub fn body(&mut self) -> &mut ClientBody {
        &mut self.body
    }

    /// The body alone.
    pub fn into_body(self) -> ClientBody {
        self.body
    }

    /// [`ClientBody::recv`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Result<Option<Chunk>, ClientError> {
        self.body.recv().await
    }

    /// [`ClientBody::bytes`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Not cancel-safe: what was received is gone.
    pub async fn bytes(&mut self) -> Result<Bytes, ClientError> {
        self.body.bytes().await
    }

    /// [`ClientBody::text`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Not cancel-safe.
    pub async fn text(&mut self) -> Result<String, ClientError> {
        self.body.text().await
    }

    /// [`ClientBody::json`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Not cancel-safe.
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, ClientError> {
        self.body.json().await
    }

    /// After a 101: the connection, which goes on as the protocol the request offered in its `Upgrade` field, with the bytes
    /// that have arrived already. It is the caller's from now on, and no longer counts as the client's. `None` when the
    /// response is no 101, or was asked before.
    pub fn upgrade(&mut self) -> Option<Connection> {
        self.body.upgrade()
    }
}

/// Fields gathered in a map, several of a name behind each other.
trait CollectMap: Iterator<Item = (HeaderName, HeaderValue)> + Sized {
    fn collect_map(self) -> HeaderMap {
        let mut map = HeaderMap::new();
        self.for_each(|(name, value)| {
            map.append(name, value);
        });
        map
    }
}

impl<I: Iterator<Item = (HeaderName, HeaderValue)>> CollectMap for I {}

impl From<ClientResponse> for http::Response<ClientBody> {
    fn from(response: ClientResponse) -> Self {
        let (status, version, headers) = (response.status(), response.version(), response.headers());
        let mut converted = Self::new(response.into_body());
        *converted.status_mut() = status;
        *converted.version_mut() = version;
        *converted.headers_mut() = headers;
        converted
    }
}

impl fmt::Debug for ClientResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientResponse").field("status", &self.head.status()).finish_non_exhaustive()
    }
}
