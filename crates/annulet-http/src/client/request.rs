//! Requests, as code makes them.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use annulet_net::{HandlerError, HandlerResult};
use annulet_proto::http1::{Answers, write_content_length, write_field, write_request_line};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Client;
use super::error::ClientError;
use super::response::ClientResponse;
use super::sender::{BodySender, Written};
use super::target::Target;
use super::upload::RequestBody;
use super::wire::Asked;
use crate::outgoing::Framing;

/// A request that is being made; [`send`](Self::send) sends it.
///
/// The client adds what frames it and says where it goes: `Host` unless one was set, `Content-Length` or `Transfer-Encoding`,
/// `Connection`. Those, set by hand, are not sent, but for `Connection: close`, after which the connection is not used again.
/// An `Upgrade` field offers another protocol.
///
/// Fields and URLs come as they like: what is wrong with them is the error of [`send`](Self::send), and a line end in any of
/// them is wrong.
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    request: Result<Prepared, ClientError>,
}

/// A request, ready to be written.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: HeaderMap,
    pub(super) body: RequestBody,
    pub(super) timeout: Option<Duration>,
}

impl RequestBuilder {
    pub(super) fn new(client: Client, method: Method, url: &str) -> Self {
        let prepared = |target| Prepared::new(method, target, HeaderMap::new(), RequestBody::None);
        Self { client, request: Target::parse(url).and_then(prepared) }
    }

    fn with(mut self, change: impl FnOnce(&mut Prepared) -> Result<(), ClientError>) -> Self {
        self.request = self.request.and_then(|mut request| change(&mut request).map(|()| request));
        self
    }

    /// Adds a field, behind others of its name.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.with(|request| {
            let name = name.try_into().map_err(|_| ClientError::Request("a field's name is no token"))?;
            let value = value
                .try_into()
                .map_err(|_| ClientError::Request("a field's value is not one line of text"))?;
            request.headers.append(name, value);
            Ok(())
        })
    }

    /// Adds fields, in front of nothing and behind all that are there.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.with(|request| {
            let mut last = None;
            for (name, value) in headers {
                // A name comes with the first of its values only.
                last = name.or(last);
                if let Some(name) = &last {
                    request.headers.append(name.clone(), value);
                }
            }
            Ok(())
        })
    }

    /// Adds pairs to the URL's query, encoded as forms are.
    pub fn query<N: AsRef<str>, V: AsRef<str>>(self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        self.with(|request| {
            let path = &mut request.target.path;
            path.push(if path.contains('?') { '&' } else { '?' });
            let start = path.len();
            let mut encoder = form_urlencoded::Serializer::for_suffix(std::mem::take(path), start);
            *path = encoder.extend_pairs(pairs).finish();
            if path.len() == start {
                path.pop();
            }
            Ok(())
        })
    }

    /// Sets the body: bytes at hand. They are not copied unless they are few, and can be sent again by a retry or a redirect.
    pub fn body(self, bytes: impl Into<Bytes>) -> Self {
        self.with(|request| {
            request.body = RequestBody::Bytes(bytes.into());
            Ok(())
        })
    }

    /// Sets the body to an HTML form (`application/x-www-form-urlencoded`).
    pub fn form<N: AsRef<str>, V: AsRef<str>>(self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.content_type("application/x-www-form-urlencoded").body(body)
    }

    /// Sets the body to JSON. A value that cannot be JSON is the error of [`send`](Self::send).
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.content_type("application/json").body(bytes),
            Err(error) => self.with(|_| Err(ClientError::RequestBody(error.into()))),
        }
    }

    fn content_type(self, value: &'static str) -> Self {
        self.with(|request| {
            request.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(value));
            Ok(())
        })
    }

    /// Sets the body to one that `write` makes while it is sent, in chunks. It waits while the server is behind. An error cuts
    /// the connection off, so that the server does not take what it got for all there was.
    pub fn stream<F>(self, write: impl FnOnce(BodySender) -> F) -> Self
    where
        F: Future<Output = HandlerResult> + 'static,
    {
        self.written(None, write)
    }

    /// [`stream`](Self::stream) with a body of so many bytes; any other number is an error.
    pub fn stream_sized<F>(self, length: u64, write: impl FnOnce(BodySender) -> F) -> Self
    where
        F: Future<Output = HandlerResult> + 'static,
    {
        self.written(Some(length), write)
    }

    fn written<F>(self, length: Option<u64>, write: impl FnOnce(BodySender) -> F) -> Self
    where
        F: Future<Output = HandlerResult> + 'static,
    {
        self.with(|request| {
            request.body = RequestBody::stream(length, Written::new(write));
            Ok(())
        })
    }

    /// Sets the body to one of the `http_body` crate; in chunks unless it says how long it is.
    pub fn stream_body<B>(self, body: B) -> Self
    where
        B: http_body::Body + 'static,
        B::Error: Into<HandlerError>,
    {
        self.with(|request| {
            request.body = RequestBody::from_body(body);
            Ok(())
        })
    }

    /// Asks the server whether it wants the body before it is sent (`Expect: 100-continue`). It is sent when the server says so,
    /// or has said nothing for a second.
    pub fn expect_continue(self) -> Self {
        self.with(|request| {
            request.headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
            Ok(())
        })
    }

    /// How long everything may take, from now to the last byte of the response's body, with all waiting, retries and redirects.
    pub fn timeout(self, time: Duration) -> Self {
        self.with(|request| {
            request.timeout = Some(time);
            Ok(())
        })
    }

    /// Sends the request and waits for the response's head.
    ///
    /// # Errors
    /// [`ClientError`]. A status is none, whatever it is.
    ///
    /// # Cancel safety
    /// Dropped early, the request may have been sent, and the server may do what it asks for. The connection is cut off then,
    /// or was never made, or goes back unused; nothing of it stays behind.
    pub async fn send(self) -> Result<ClientResponse, ClientError> {
        self.client.run(self.request?).await
    }
}

impl Prepared {
    pub(super) fn new(
        method: Method,
        target: Target,
        headers: HeaderMap,
        body: RequestBody,
    ) -> Result<Self, ClientError> {
        if method == Method::CONNECT {
            return Err(ClientError::Request("CONNECT, which makes tunnels, is not supported"));
        }
        Ok(Self { method, target, headers, body, timeout: None })
    }

    pub(super) fn asked(&self) -> Asked {
        let answers = if self.method == Method::HEAD { Answers::Head } else { Answers::Other };
        let options = self.headers.get_all(CONNECTION).into_iter();
        let closes = options
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
        Asked { answers, closes, offers_upgrade: self.headers.contains_key(UPGRADE) }
    }

    /// Whether the server is to be asked before the body is sent.
    pub(super) fn expects_continue(&self) -> bool {
        self.headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
            && self.body.framing().is_some()
    }

    /// Appends the head (RFC 9112 §3, §5).
    pub(super) fn write_head(&self, out: &mut Vec<u8>) {
        let is_a_line = write_request_line(out, self.method.as_str(), &self.target.path);
        assert!(is_a_line, "a Method is a token, and the target was looked at");
        let host = self.headers.get(HOST).map_or(self.target.authority.as_bytes(), HeaderValue::as_bytes);
        write_line(out, "Host", host);
        for (name, value) in &self.headers {
            if !is_the_clients(name) && (*name != EXPECT || self.expects_continue()) {
                write_line(out, name.as_str(), value.as_bytes());
            }
        }
        let asked = self.asked();
        match (asked.closes, asked.offers_upgrade) {
            (true, true) => write_line(out, "Connection", b"close, upgrade"),
            (true, false) => write_line(out, "Connection", b"close"),
            (false, true) => write_line(out, "Connection", b"upgrade"),
            (false, false) => {}
        }
        match self.body.framing() {
            Some(Framing::Sized(length)) => write_content_length(out, length),
            Some(Framing::Chunked | Framing::UntilEnd) => write_line(out, "Transfer-Encoding", b"chunked"),
            // Where a body is usual, its absence is said (RFC 9110 §8.6).
            None if [Method::POST, Method::PUT, Method::PATCH].contains(&self.method) => {
                write_content_length(out, 0);
            }
            None => {}
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Fields that the client sets itself.
fn is_the_clients(name: &HeaderName) -> bool {
    [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

fn write_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let is_a_line = write_field(out, name, value);
    assert!(is_a_line, "what a HeaderValue or a URL's authority holds is one line");
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.fmt(f)
    }
}
