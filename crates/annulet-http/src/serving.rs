//! The life of a connection: its requests are answered one after the other.
//!
//! Written by hand as a future, and so that the usual request, one whose handler answers at once with a body at hand, runs
//! through it without a stop.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use annulet_net::{Error, HandlerError, HandlerResult};
use annulet_proto::http1::BodyLength;
use annulet_runtime::contain;
use http::StatusCode;

use crate::endpoint::{Call, Endpoint};
use crate::exchange::{Exchange, Next};
use crate::log::Access;
use crate::request::{Parts, Request};
use crate::respond::{After, Asked, AtOnce, respond, respond_at_once};
use crate::response::{IntoResponse, Response};
use crate::router::Found;

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
    Response(Pin<Box<dyn Future<Output = Result<After, HandlerError>>>>),
    Upgraded(Pin<Box<dyn Future<Output = HandlerResult>>>),
}

/// A call that did not answer at once.
struct Calling {
    call: Call,
    endpoint: Rc<Endpoint>,
    asked: Asked,
    access: Option<Access>,
}

impl Serving {
    pub(crate) fn new(exchange: Rc<Exchange>) -> Self {
        Self { exchange, stage: Stage::Head }
    }
}

impl Future for Serving {
    type Output = HandlerResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HandlerResult> {
        let Self { exchange, stage } = self.get_mut();
        loop {
            match stage {
                Stage::Head => {
                    let next = ready!(exchange.poll_next(cx));
                    let Next::Request(parts) = next else {
                        match refusal(exchange, next)? {
                            Some(response) => {
                                *stage = Stage::Response(Box::pin(respond(
                                    exchange.clone(),
                                    response,
                                    Asked::refused(),
                                    None,
                                )));
                            }
                            None => return Poll::Ready(Ok(())),
                        }
                        continue;
                    };
                    let asked = Asked::of(&parts.head);
                    if asked.upgrades {
                        exchange.note_offer(&parts.head);
                    }
                    let access = Access::of(exchange, &parts.head);
                    match start(exchange, parts, cx) {
                        Started::Answered(response) => match answer(exchange, response, asked, access, cx) {
                            Some(Stage::Head) => {}
                            Some(next) => *stage = next,
                            None => return Poll::Ready(Ok(())),
                        },
                        Started::Waits(call, endpoint) => {
                            *stage = Stage::Handler(Box::new(Calling { call, endpoint, asked, access }));
                            return Poll::Pending;
                        }
                    }
                }
                Stage::Handler(calling) => {
                    let response = ready!(poll_call(exchange, &mut calling.call, cx));
                    let Stage::Handler(calling) = std::mem::replace(stage, Stage::Head) else {
                        unreachable!("just matched")
                    };
                    let Calling { call, endpoint, asked, access } = *calling;
                    let response = match response {
                        Some(response) => {
                            endpoint.keep(call);
                            response
                        }
                        None => panicked(exchange),
                    };
                    match answer(exchange, response, asked, access, cx) {
                        Some(next) => *stage = next,
                        None => return Poll::Ready(Ok(())),
                    }
                }
                Stage::Response(responding) => match ready!(responding.as_mut().poll(cx))? {
                    After::Next => *stage = Stage::Head,
                    After::Close => return Poll::Ready(Ok(())),
                    After::Upgrade(serve) => {
                        let connection = exchange.take_connection();
                        *stage = Stage::Upgraded(serve(connection));
                    }
                },
                Stage::Upgraded(upgraded) => return upgraded.as_mut().poll(cx),
            }
        }
    }
}

/// How a request begins.
enum Started {
    Answered(Response),
    Waits(Call, Rc<Endpoint>),
}

/// Finds a request's handler and calls it.
#[inline]
fn start(exchange: &Rc<Exchange>, mut parts: Box<Parts>, cx: &mut Context<'_>) -> Started {
    let shared = exchange.shared();
    shared.local.counters.http_requests.increment();
    let found = shared.routes.find(&mut parts);
    let length = parts.head.body_length();
    let number = match length {
        BodyLength::None => exchange.begin(),
        length => {
            let own_max = if let Found::Endpoint(endpoint) = &found { endpoint.body_max } else { None };
            let max = own_max.unwrap_or(shared.settings.body_max);
            if matches!(length, BodyLength::Bytes(bytes) if bytes > max) {
                return Started::Answered(declared_too_large(exchange));
            }
            exchange.begin_body(length, parts.head.expects_continue(), max)
        }
    };
    let endpoint = match found {
        Found::Endpoint(endpoint) => endpoint,
        Found::Answer(response) => {
            shared.local.keep_request(parts);
            return Started::Answered(response);
        }
    };
    let mut call = endpoint.call(Request::new(parts, exchange, number));
    match poll_call(exchange, &mut call, cx) {
        Poll::Ready(Some(response)) => {
            endpoint.keep(call);
            Started::Answered(response)
        }
        Poll::Ready(None) => Started::Answered(panicked(exchange)),
        Poll::Pending => Started::Waits(call, endpoint.clone()),
    }
}

/// Polls a handler; `None` when it panicked.
#[inline]
fn poll_call(exchange: &Exchange, call: &mut Call, cx: &mut Context<'_>) -> Poll<Option<Response>> {
    let mut polled = Poll::Pending;
    // What a panic leaves half done is the handler's own.
    if contain(|| polled = call.as_mut().poll(cx)).is_none() {
        return Poll::Ready(None);
    }
    if polled.is_pending() {
        exchange.unpin_input();
    }
    polled.map(Some)
}

/// Sends a response, at once where it can be; the stage that follows. `None`: the connection has ended.
#[inline]
fn answer(
    exchange: &Rc<Exchange>,
    mut response: Response,
    asked: Asked,
    access: Option<Access>,
    cx: &mut Context<'_>,
) -> Option<Stage> {
    let next = match respond_at_once(exchange, &mut response, asked, cx) {
        AtOnce::Next => Some(Stage::Head),
        AtOnce::Close => None,
        AtOnce::Later => {
            let responding = respond(exchange.clone(), response, asked, access);
            return Some(Stage::Response(Box::pin(responding)));
        }
    };
    if let Some(access) = access {
        access.log(&response);
    }
    next
}

/// The answer to what is no request, if there is any.
#[cold]
fn refusal(exchange: &Exchange, next: Next) -> Result<Option<Response>, Error> {
    let counters = &exchange.local().counters;
    match next {
        Next::Request(_) | Next::End => Ok(None),
        Next::Failed(error) => Err(error),
        Next::TooSlow => {
            counters.http_timeouts.increment();
            Ok(Some(StatusCode::REQUEST_TIMEOUT.into_response().close()))
        }
        Next::Refused(error) => {
            counters.http_refused.increment();
            tracing::debug!(connection = exchange.number(), %error, "request refused");
            let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
            Ok(Some(Response::text(format!("{error}\n")).status(status).close()))
        }
    }
}

#[cold]
fn declared_too_large(exchange: &Exchange) -> Response {
    exchange.local().counters.http_bodies_too_large.increment();
    Response::text("the body is larger than the limit\n").status(StatusCode::BAD_REQUEST).close()
}

#[cold]
fn panicked(exchange: &Exchange) -> Response {
    exchange.local().counters.http_handlers_panicked.increment();
    tracing::error!(connection = exchange.number(), "handler panicked; answered 500");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
