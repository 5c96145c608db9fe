//! A handler with its type forgotten, called without allocating: the memory of its futures is used again.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::request::Request;
use crate::response::{IntoResponse, Response};

/// Futures kept per endpoint, for as many requests at a time.
const SPARES_MAX: usize = 256;

pub(crate) struct Endpoint {
    make: Box<dyn Fn() -> Call>,
    spares: RefCell<Vec<Call>>,
    /// Its own bound on bodies.
    pub(crate) body_max: Option<u64>,
}

/// One call of a handler: idle, or under way.
pub(crate) type Call = Pin<Box<dyn Slot>>;

pub(crate) trait Slot {
    fn start(self: Pin<&mut Self>, request: Request);

    /// The response; it is idle again afterwards.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response>;
}

pin_project! {
    struct SlotOf<S, F> {
        start: Rc<S>,
        #[pin]
        future: Option<F>,
    }
}

impl<S, F> Slot for SlotOf<S, F>
where
    S: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    #[inline]
    fn start(self: Pin<&mut Self>, request: Request) {
        let mut this = self.project();
        let future = (this.start)(request);
        this.future.set(Some(future));
    }

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        let mut this = self.project();
        let future = this.future.as_mut().as_pin_mut().expect("polled between start and end");
        let response = std::task::ready!(future.poll(cx));
        this.future.set(None);
        Poll::Ready(response)
    }
}

impl Endpoint {
    pub(crate) fn new<H, R>(handler: H) -> Self
    where
        H: AsyncFn(Request) -> R + 'static,
        R: IntoResponse + 'static,
    {
        let handler = Rc::new(handler);
        let start = Rc::new(move |request| {
            let handler = handler.clone();
            async move { handler(request).await.into_response() }
        });
        Self {
            make: Box::new(move || Box::pin(SlotOf { start: start.clone(), future: None })),
            spares: RefCell::default(),
            body_max: None,
        }
    }

    /// Calls the handler.
    #[inline]
    pub(crate) fn call(&self, request: Request) -> Call {
        let mut call = self.spares.borrow_mut().pop().unwrap_or_else(|| (self.make)());
        call.as_mut().start(request);
        call
    }

    /// Takes back the memory of a call that has ended by a response.
    #[inline]
    pub(crate) fn keep(&self, call: Call) {
        let mut spares = self.spares.borrow_mut();
        if spares.len() < SPARES_MAX {
            spares.push(call);
        }
    }
}
