//! A handler with its type forgotten, called without allocating: the memory of its futures is used again.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::request::Request;
use crate::response::{IntoResponse, Response};
use crate::spares::Spares;

pub(crate) struct Endpoint {
    make: Box<dyn Fn() -> Call>,
    spares: Spares<Call>,
    /// Its own bound on bodies.
    pub(crate) body_max: Option<u64>,
}

/// One call of a handler: idle, or under way.
pub(crate) type Call = Pin<Box<dyn Slot>>;

/// Responses are put where the caller wants them: they are large.
pub(crate) trait Slot {
    /// Polls the handler, which a request calls first. Once it is ready, the call is idle.
    fn poll(
        self: Pin<&mut Self>,
        request: Option<Request>,
        cx: &mut Context<'_>,
        response: &mut Option<Response>,
    ) -> Poll<()>;
}

pin_project! {
    struct SlotOf<S, F> {
        start: S,
        // One that is ready stays until another takes its place: all it had is gone already.
        #[pin]
        future: Option<F>,
    }
}

impl<S, F> Slot for SlotOf<S, F>
where
    S: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    // One function for the first time and the others: the handler's code is in it, once.
    fn poll(
        self: Pin<&mut Self>,
        request: Option<Request>,
        cx: &mut Context<'_>,
        response: &mut Option<Response>,
    ) -> Poll<()> {
        let mut this = self.project();
        if let Some(request) = request {
            let future = (this.start)(request);
            this.future.set(Some(future));
        }
        let future = this.future.as_pin_mut().expect("polled after it was called");
        *response = Some(ready!(future.poll(cx)));
        Poll::Ready(())
    }
}

impl Endpoint {
    pub(crate) fn new<H, R>(handler: H) -> Self
    where
        H: AsyncFn(Request) -> R + 'static,
        R: IntoResponse + 'static,
    {
        let handler = Rc::new(handler);
        let start = move |request| {
            let handler = handler.clone();
            async move { handler(request).await.into_response() }
        };
        Self {
            make: Box::new(move || Box::pin(SlotOf { start: start.clone(), future: None })),
            spares: Spares::default(),
            body_max: None,
        }
    }

    /// A call that is idle.
    #[inline]
    pub(crate) fn call(&self) -> Call {
        self.spares.take().unwrap_or_else(|| (self.make)())
    }

    /// Takes back a call that has ended by a response.
    #[inline]
    pub(crate) fn keep(&self, call: Call) {
        self.spares.keep(call);
    }
}
