//! Bodies of requests, as code writes them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use annulet_net::{HandlerError, HandlerResult};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::upload::Source;
use crate::writer::WriteError;

/// Writes the body of a request while it is sent; see [`RequestBuilder::stream`](super::RequestBuilder::stream).
///
/// Writing waits while the server is behind. The body ends when the future that was given the sender does.
pub struct BodySender {
    place: Rc<Place>,
}

/// Where a payload waits to be sent: one at a time.
#[derive(Default)]
struct Place {
    payload: RefCell<Option<Bytes>>,
    trailers: RefCell<Option<HeaderMap>>,
    /// Who waits for the place to be free.
    sender: RefCell<Option<Waker>>,
    /// Who waits for something to be in it.
    receiver: RefCell<Option<Waker>>,
    is_closed: Cell<bool>,
}

impl BodySender {
    /// Sends bytes, once those before are on their way.
    ///
    /// # Errors
    /// [`WriteError::Ended`] when the server wants no more of the body, or the request is over.
    ///
    /// # Cancel safety
    /// Dropped early, nothing of the bytes is sent.
    pub async fn send(&mut self, bytes: impl Into<Bytes>) -> Result<(), WriteError> {
        let bytes = bytes.into();
        poll_fn(|cx| self.place.poll_free(cx)).await?;
        if !bytes.is_empty() {
            self.place.payload.replace(Some(bytes));
            wake(&self.place.receiver);
        }
        Ok(())
    }

    /// Sets the trailer fields, which follow the last chunk. A body of an announced length has none.
    pub fn set_trailers(&mut self, trailers: HeaderMap) {
        self.place.trailers.replace(Some(trailers));
    }
}

impl fmt::Debug for BodySender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodySender").finish_non_exhaustive()
    }
}

impl Place {
    fn poll_free(&self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        if self.is_closed.get() {
            return Poll::Ready(Err(WriteError::Ended));
        }
        if self.payload.borrow().is_none() {
            return Poll::Ready(Ok(()));
        }
        self.sender.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// The body that a future writes.
pub(super) struct Written {
    place: Rc<Place>,
    /// `None` once it has ended.
    future: Option<Pin<Box<dyn Future<Output = HandlerResult>>>>,
}

impl Written {
    pub(super) fn new<F>(write: impl FnOnce(BodySender) -> F) -> Self
    where
        F: Future<Output = HandlerResult> + 'static,
    {
        let place: Rc<Place> = Rc::default();
        let future = write(BodySender { place: place.clone() });
        Self { place, future: Some(Box::pin(future)) }
    }
}

impl Written {
    /// Lets the future write; an error once it has failed.
    fn poll_future(&mut self, cx: &mut Context<'_>) -> HandlerResult {
        if let Some(future) = &mut self.future
            && let Poll::Ready(result) = future.as_mut().poll(cx)
        {
            self.future = None;
            return result;
        }
        Ok(())
    }
}

impl Source for Written {
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HandlerError>>> {
        if let Err(error) = self.poll_future(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(payload) = self.place.payload.take() {
            wake(&self.place.sender);
            return Poll::Ready(Some(Ok(Frame::data(payload))));
        }
        if self.future.is_none() {
            return Poll::Ready(self.place.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        self.place.receiver.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        self.place.is_closed.set(true);
        wake(&self.place.sender);
    }
}
