//! The life of a connection: its requests are answered one after the other.
//!
//! Written by hand as a future, and so that the usual request, one whose handler answers at once with a body at hand, runs
//! through it without a stop.

use std::cell::RefMut;
use std::future::Future;
use std::hint::cold_path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use annulet_driver::Chunk;
use annulet_net::{Error, HandlerError, HandlerResult};
use annulet_proto::http1::{Asked, BodyLength, RequestHead};
use annulet_runtime::contain;
use http::StatusCode;

use crate::endpoint::{Call, Endpoint};
use crate::exchange::{Exchange, Nothing, State};
use crate::log::Access;
use crate::request::{Parts, Request};
use crate::respond::{After, AtOnce, respond, respond_at_once};
use crate::response::{IntoResponse, Response};
use crate::router::Found;
use crate::service::Shared;

pub(crate) struct Serving {
    exchange: Rc<Exchange>,
    stage: Stage,
}

/// What the connection waits for.
enum Stage {
    /// A request.
    Head,
    /// A handler.
    Handler(Box<Calling>),
    /// The client, to take the response or to send the rest of what it asked; or the protocol that goes on after HTTP.
    Response(Responding),
    Upgraded(Pin<Box<dyn Future<Output = HandlerResult>>>),
    /// Nothing: it is broken.
    Failed(Error),
}

/// A call that did not answer at once.
struct Calling {
    call: Call,
    endpoint: Rc<Endpoint>,
    asked: Asked,
    access: Option<Box<Access>>,
}

/// What follows.
enum Step {
    /// The stage that is set.
    Next,
    /// A wait.
    Wait,
    /// The end of the connection.
    End,
}

impl Serving {
    pub(crate) fn new(exchange: Rc<Exchange>) -> Self {
        Self { exchange, stage: Stage::Head }
    }
}

impl Future for Serving {
    type Output = HandlerResult;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HandlerResult> {
        let Self { exchange, stage } = self.get_mut();
        loop {
            let step = if let Stage::Head = stage {
                let mut state = exchange.state();
                match ready!(state.poll_head(exchange.shared(), cx)) {
                    Ok(Some(input)) => serve_next(exchange, state, input, stage, cx),
                    end => serve_no_more(exchange, state, end.map(drop), stage),
                }
            } else {
                ready!(go_on(exchange, stage, cx))?
            };
            match step {
                Step::Next => {}
                Step::Wait => return Poll::Pending,
                Step::End => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Serves the request that `input` begins with, if all of its head is there.
// A function of its own, outside of the loop: the compiler prepares less for what seldom happens.
#[inline(never)]
fn serve_next(
    exchange: &Rc<Exchange>,
    mut state: RefMut<'_, State>,
    input: Chunk,
    stage: &mut Stage,
    cx: &mut Context<'_>,
) -> Step {
    let shared = exchange.shared();
    let mut parts = shared.take_request();
    match state.read_head(&mut parts.head, &input, &shared.settings.head) {
        Ok(Some(length)) => {
            state.keep_rest(input, length);
            serve(exchange, state, parts, stage, cx)
        }
        Ok(None) => {
            state.keep_part_of_head(&input);
            shared.keep_request(parts);
            Step::Next
        }
        Err(error) => {
            drop(state);
            refuse(exchange, Nothing::Refused(error), stage)
        }
    }
}

/// Finds a request's handler, calls it, and answers when that has.
#[inline]
fn serve(
    exchange: &Rc<Exchange>,
    mut state: RefMut<'_, State>,
    mut parts: Box<Parts>,
    stage: &mut Stage,
    cx: &mut Context<'_>,
) -> Step {
    let shared = exchange.shared();
    shared.local.counters.http_requests.increment();
    let mut found = shared.routes.find(&mut parts);
    let asked = parts.head.asked();
    if !asked.is(Asked::BODY.or(Asked::UPGRADE)) {
        state.begin();
    } else if let Some(too_large) = begin_unusually(shared, &mut state, &parts.head, &found) {
        found = Found::Answer(too_large);
    }
    let number = state.number();
    drop(state);
    let access = Access::of(exchange, &parts.head);
    let endpoint = match found {
        Found::Endpoint(endpoint) => endpoint,
        Found::Answer(response) => {
            cold_path();
            shared.keep_request(parts);
            return answer_found(exchange, *response, asked, access, stage, cx);
        }
    };
    let mut call = endpoint.call();
    let mut response = None;
    // What a panic leaves half done is the handler's own.
    let polled = contain(|| {
        let request = Request::new(parts, exchange, number);
        call.as_mut().poll(Some(request), cx, &mut response)
    });
    match polled {
        Some(Poll::Ready(())) => endpoint.keep(call),
        Some(Poll::Pending) => {
            cold_path();
            exchange.unpin_input();
            let endpoint = endpoint.clone();
            *stage = Stage::Handler(Box::new(Calling { call, endpoint, asked, access }));
            return Step::Wait;
        }
        None => response = Some(panicked(exchange)),
    }
    answer(exchange, &mut response, asked, access, stage, cx)
}

/// Sends a response that no handler made.
#[inline(never)]
fn answer_found(
    exchange: &Rc<Exchange>,
    response: Response,
    asked: Asked,
    access: Option<Box<Access>>,
    stage: &mut Stage,
    cx: &mut Context<'_>,
) -> Step {
    answer(exchange, &mut Some(response), asked, access, stage, cx)
}

/// Begins a request with a body or an offer, unless the body is too large.
#[inline(never)]
fn begin_unusually(
    shared: &Shared,
    state: &mut State,
    head: &RequestHead,
    found: &Found<'_>,
) -> Option<Box<Response>> {
    if head.asked().is(Asked::UPGRADE) {
        state.note_offer(head);
    }
    let length = head.body_length();
    if length == BodyLength::None {
        state.begin();
        return None;
    }
    let own_max = if let Found::Endpoint(endpoint) = found { endpoint.body_max } else { None };
    let max = own_max.unwrap_or(shared.settings.body_max);
    if matches!(length, BodyLength::Bytes(bytes) if bytes > max) {
        return Some(Box::new(declared_too_large(shared)));
    }
    state.begin_body(head, max, shared.settings.body_rate_min);
    None
}

/// Sends a response, at once where it can be.
#[inline(always)]
fn answer(
    exchange: &Rc<Exchange>,
    response: &mut Option<Response>,
    asked: Asked,
    access: Option<Box<Access>>,
    stage: &mut Stage,
    cx: &mut Context<'_>,
) -> Step {
    let at_hand = response.as_mut().expect("who is ready has a response");
    let step = match respond_at_once(exchange, at_hand, asked, cx) {
        AtOnce::Next => Step::Next,
        AtOnce::Close => Step::End,
        AtOnce::Later => {
            cold_path();
            *stage = respond_later(exchange, response, asked, access);
            return Step::Next;
        }
    };
    if let Some(access) = access {
        access.log(at_hand);
    }
    if at_hand.is_static() {
        // It has nothing to drop, and looking for something takes longer than this.
        std::mem::forget(response.take());
    }
    step
}

#[inline(never)]
fn respond_later(
    exchange: &Rc<Exchange>,
    response: &mut Option<Response>,
    asked: Asked,
    access: Option<Box<Access>>,
) -> Stage {
    let response = response.take().expect("just seen");
    Stage::Response(Box::pin(respond(exchange.clone(), response, asked, access)))
}

/// Goes on with what waits for something else than a request.
#[inline(never)]
fn go_on(
    exchange: &Rc<Exchange>,
    stage: &mut Stage,
    cx: &mut Context<'_>,
) -> Poll<Result<Step, HandlerError>> {
    match stage {
        Stage::Head => {}
        Stage::Failed(error) => return Poll::Ready(Err((*error).into())),
        Stage::Handler(calling) => {
            let mut response = None;
            let polled = contain(|| calling.call.as_mut().poll(None, cx, &mut response));
            if polled == Some(Poll::Pending) {
                exchange.unpin_input();
                return Poll::Pending;
            }
            let Stage::Handler(calling) = std::mem::replace(stage, Stage::Head) else {
                unreachable!("just matched")
            };
            let Calling { call, endpoint, asked, access } = *calling;
            match polled {
                Some(_) => endpoint.keep(call),
                None => response = Some(panicked(exchange)),
            }
            return Poll::Ready(Ok(answer(exchange, &mut response, asked, access, stage, cx)));
        }
        Stage::Response(responding) => match ready!(poll_response(exchange, responding, cx))? {
            After::Next => *stage = Stage::Head,
            After::Close => return Poll::Ready(Ok(Step::End)),
            After::Upgrade(serve) => *stage = Stage::Upgraded(serve(exchange.take_connection())),
        },
        Stage::Upgraded(upgraded) => {
            ready!(upgraded.as_mut().poll(cx))?;
            return Poll::Ready(Ok(Step::End));
        }
    }
    Poll::Ready(Ok(Step::Next))
}

type Responding = Pin<Box<dyn Future<Output = Result<After, HandlerError>>>>;

/// Goes on with a response. While it waits, what has arrived must not pin a buffer.
fn poll_response(
    exchange: &Exchange,
    responding: &mut Responding,
    cx: &mut Context<'_>,
) -> Poll<Result<After, HandlerError>> {
    let polled = responding.as_mut().poll(cx);
    if polled.is_pending() {
        exchange.unpin_input();
    }
    polled
}

/// Whoever keeps a part of a request does not keep the connection: it ends with this.
impl Drop for Serving {
    fn drop(&mut self) {
        self.exchange.close();
    }
}

/// There are no more requests.
#[cold]
fn serve_no_more(
    exchange: &Rc<Exchange>,
    state: RefMut<'_, State>,
    end: Result<(), Error>,
    stage: &mut Stage,
) -> Step {
    let nothing = state.no_more_heads(end, &exchange.shared().settings.head);
    drop(state);
    refuse(exchange, nothing, stage)
}

/// Answers what is no request, if that is to be answered.
#[cold]
fn refuse(exchange: &Rc<Exchange>, nothing: Nothing, stage: &mut Stage) -> Step {
    match refusal(exchange, nothing) {
        // No other request follows it.
        Ok(Some(response)) => *stage = respond_later(exchange, &mut Some(response), Asked::CLOSE, None),
        Ok(None) => return Step::End,
        Err(error) => *stage = Stage::Failed(error),
    }
    Step::Next
}

/// The answer to what is no request, if there is any.
fn refusal(exchange: &Exchange, nothing: Nothing) -> Result<Option<Response>, Error> {
    let counters = &exchange.local().counters;
    match nothing {
        Nothing::End => Ok(None),
        Nothing::Failed(error) => Err(error),
        Nothing::TooSlow => {
            counters.http_timeouts.increment();
            Ok(Some(StatusCode::REQUEST_TIMEOUT.into_response().close()))
        }
        Nothing::Refused(error) => {
            counters.http_refused.increment();
            tracing::debug!(connection = exchange.number(), %error, "request refused");
            let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
            Ok(Some(Response::text(format!("{error}\n")).status(status).close()))
        }
    }
}

#[cold]
fn declared_too_large(shared: &Shared) -> Response {
    shared.local.counters.http_bodies_too_large.increment();
    Response::text("the body is larger than the limit\n").status(StatusCode::BAD_REQUEST).close()
}

#[cold]
fn panicked(exchange: &Exchange) -> Response {
    exchange.local().counters.http_handlers_panicked.increment();
    tracing::error!(connection = exchange.number(), "handler panicked; answered 500");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
