//! hyper's server, on bytes in memory.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use annulet_proto::http1::HttpError;
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;

/// A request, as far as both can tell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// What an absolute target or CONNECT's names.
    pub(crate) authority: Option<String>,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) is_1_1: bool,
    /// By name, in lower case; those of one name in their order.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Result<Vec<u8>, Option<HttpError>>,
}

/// Fields as hyper has them: the order is kept only among those of one name.
pub(crate) fn by_name(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

/// The first request that hyper hands to its service, if it does; then the input ends.
pub(crate) fn request(input: &[u8]) -> Option<Request> {
    let seen = Rc::new(RefCell::new(None));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (head, body) = request.into_parts();
        let request = Request {
            method: head.method.to_string(),
            authority: head.uri.authority().map(ToString::to_string),
            path: head.uri.path().to_owned(),
            query: head.uri.query().map(str::to_owned),
            is_1_1: head.version == hyper::Version::HTTP_11,
            fields: by_name(
                head.headers
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.as_bytes().to_owned()))
                    .collect(),
            ),
            body: Err(None),
        };
        *seen.borrow_mut() = Some(request);
        let seen = Rc::clone(&seen);
        async move {
            let body = read(body).await;
            if let Some(request) = seen.borrow_mut().as_mut() {
                request.body = body;
            }
            Ok::<_, Infallible>(hyper::Response::new(String::new()))
        }
    });
    let mut connection = pin!(
        http1::Builder::new().keep_alive(false).half_close(true).serve_connection(Memory(input), service)
    );
    let mut context = Context::from_waker(Waker::noop());
    // Nothing is ever waited for, so that it is enough to ask again.
    let is_over = (0..1000).any(|_| connection.as_mut().poll(&mut context).is_ready() || has_body(&seen));
    assert!(is_over, "hyper waits for something");
    seen.take()
}

fn has_body(seen: &RefCell<Option<Request>>) -> bool {
    seen.borrow().as_ref().is_some_and(|request| request.body.is_ok())
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, Option<HttpError>> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.map_err(|_| None)?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// A connection that has these bytes, and takes all that is written.
struct Memory<'a>(&'a [u8]);

impl Read for Memory<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let (piece, rest) = self.0.split_at(self.0.len().min(buffer.remaining()));
        buffer.put_slice(piece);
        self.0 = rest;
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
