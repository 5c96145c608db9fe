//! Responses on their way out.

use std::future::poll_fn;
use std::hint::cold_path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use annulet_net::{Error, HandlerError};
use annulet_proto::http1::{
    Asked, LAST_CHUNK, may_be_trailer, write_content_length, write_field, write_status_line,
};
use annulet_runtime::contain;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::body::BodyError;
use crate::exchange::{Exchange, State};
use crate::local::Local;
use crate::log::Access;
use crate::outgoing::{COPIED_MAX, Framing};
use crate::response::{Content, IntoResponse, LocalFuture, Response, Source, Streaming, UpgradeFn};
use crate::writer::BodyWriter;

/// Bytes of a body nobody read that are thrown away to keep the connection.
const DISCARDED_MAX: u64 = 64 * 1024;

/// What follows a response.
pub(crate) enum After {
    Next,
    Close,
    Upgrade(Box<UpgradeFn>),
}

/// How the connection goes on, as the head says it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Persistence {
    Keep,
    /// An HTTP/1.0 client is to be told.
    KeepAndSay,
    Close,
    Upgrade,
}

/// How far a response came at once.
pub(crate) enum AtOnce {
    /// It is staged; the next request may come.
    Next,
    /// It is staged, and the last.
    Close,
    /// It has yet to be [sent](respond).
    Later,
}

/// Stages a response, where that needs no wait: its body is at hand, the client is not behind, and has sent all of its
/// request.
///
/// The usual response is a 200 with few bytes and without fields of its own. Others take the longer way, to the same end.
#[inline(always)]
pub(crate) fn respond_at_once(
    exchange: &Exchange,
    response: &mut Response,
    asked: Asked,
    cx: &mut Context<'_>,
) -> AtOnce {
    let mut state = exchange.state();
    if let Some(body) = usual_body(response)
        && !asked.is(Asked::UNUSUAL)
        && !state.is_last(exchange.shared().settings.requests_max)
    {
        let connection = state.connection();
        if !connection.is_draining() {
            let mut prepared = exchange.local().prepared();
            let head = prepared.ok(response.content_type, body.len() as u64);
            let staged = connection.poll_copy(cx, head, body);
            drop(prepared);
            if let Poll::Ready(Ok(())) = staged {
                state.end();
                return AtOnce::Next;
            }
            return AtOnce::Later;
        }
    }
    // Not that it is slow: the compiler is to know which way is the usual one.
    cold_path();
    respond_unusually(exchange, &mut state, response, asked, cx)
}

/// The body of a response that is nothing but a body.
#[inline]
fn usual_body(response: &Response) -> Option<&[u8]> {
    match &response.content {
        Content::Payload(payload) if response.status == StatusCode::OK && response.headers.is_none() => {
            Some(payload.as_slice()).filter(|body| body.len() <= COPIED_MAX)
        }
        _ => None,
    }
}

#[inline(never)]
fn respond_unusually(
    exchange: &Exchange,
    state: &mut State,
    response: &mut Response,
    asked: Asked,
    cx: &mut Context<'_>,
) -> AtOnce {
    let length = match &response.content {
        Content::Empty => 0,
        Content::Payload(payload) => payload.len(),
        Content::Stream(_) | Content::Upgrade(_) => return AtOnce::Later,
    };
    let is_usual = !asked.is(Asked::CONNECT) && !response.status.is_informational();
    if !is_usual || (asked.is(Asked::BODY) && !state.is_received()) {
        return AtOnce::Later;
    }
    if !matches!(state.connection().poll_room(cx, length), Poll::Ready(Ok(()))) {
        return AtOnce::Later;
    }
    let keeps = !asked.is(Asked::CLOSE) && can_keep(exchange, state, response, Rest::None);
    if stage_whole(exchange, state, response, asked, keeps).is_err() {
        return AtOnce::Later;
    }
    state.forget_offer();
    state.end();
    if keeps { AtOnce::Next } else { AtOnce::Close }
}

/// Sends a response, and takes what the request left behind.
pub(crate) async fn respond(
    exchange: Rc<Exchange>,
    response: Response,
    asked: Asked,
    access: Option<Box<Access>>,
) -> Result<After, HandlerError> {
    let exchange = &exchange;
    let (mut response, rest) = settle(exchange, response, asked);
    exchange.state().forget_offer();
    if let Some(access) = access {
        access.log(&response);
    }
    let keeps = !asked.is(Asked::CLOSE) && can_keep(exchange, &mut exchange.state(), &response, rest);
    let keeps = match std::mem::replace(&mut response.content, Content::Empty) {
        Content::Upgrade(serve) => {
            compose_head(exchange, &mut exchange.state(), &response, None, Persistence::Upgrade, b"")?;
            return Ok(After::Upgrade(serve));
        }
        Content::Stream(streaming) => stream(exchange, &response, *streaming, asked, keeps).await?,
        content => {
            let length = if let Content::Payload(payload) = &content { payload.len() } else { 0 };
            response.content = content;
            poll_fn(|cx| exchange.state().connection().poll_room(cx, length)).await?;
            stage_whole(exchange, &mut exchange.state(), &mut response, asked, keeps)?;
            keeps
        }
    };
    let keeps = keeps && (rest == Rest::None || discard_body(exchange).await);
    exchange.end();
    if has_reader(exchange) {
        exchange.wake_waiters();
    }
    Ok(if keeps { After::Next } else { After::Close })
}

/// What is still to come of a request that is about to be answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    None,
    /// What the response is made of.
    Read,
    /// What nobody reads.
    Unread,
}

/// What is really answered: the server has the last word on what frames and on what follows.
fn settle(exchange: &Rc<Exchange>, mut response: Response, asked: Asked) -> (Response, Rest) {
    if response.status.is_informational() && !matches!(response.content, Content::Upgrade(_)) {
        response = no_answer(exchange, response.status);
    }
    if response.status == StatusCode::RESET_CONTENT {
        // It has none (RFC 9110 §15.3.6).
        response.content = Content::Empty;
    }
    let mut rest = Rest::None;
    if asked.is(Asked::BODY) {
        let is_read = matches!(response.content, Content::Stream(_)) && has_reader(exchange);
        if !is_read {
            exchange.close_body();
        }
        match if is_read { exchange.ask_for_body() } else { exchange.settle() } {
            Ok(true) => {}
            Ok(false) => rest = if is_read { Rest::Read } else { Rest::Unread },
            Err(error) => response = refused_body(exchange, error),
        }
    }
    match response.content {
        Content::Upgrade(_) if rest == Rest::None && asked.is(Asked::CONNECT) => {
            response.status = StatusCode::OK;
            response.headers_mut().remove(UPGRADE);
        }
        Content::Upgrade(_)
            if rest == Rest::None && asked.is(Asked::UPGRADE) && is_offered(exchange, &response) => {}
        Content::Upgrade(_) => {
            response = Response { status: StatusCode::UPGRADE_REQUIRED, content: Content::Empty, ..response };
        }
        _ => {}
    }
    if asked.is(Asked::CONNECT) && !matches!(response.content, Content::Upgrade(_)) {
        response = no_tunnel(response);
    }
    (response, rest)
}

/// Whether the client offered the protocol of an upgrade: another one it would not understand (RFC 9110 §7.8).
fn is_offered(exchange: &Exchange, response: &Response) -> bool {
    let protocol = response.headers.as_ref().and_then(|headers| headers.get(UPGRADE));
    protocol.is_some_and(|protocol| exchange.state().is_offered(protocol.as_bytes()))
}

/// An interim status ends nothing: the client would take the answer to its next request for the one it waits for.
#[cold]
fn no_answer(exchange: &Exchange, status: StatusCode) -> Response {
    exchange.local().counters.http_handlers_failed.increment();
    tracing::error!(connection = exchange.number(), %status, "a handler returned an interim status; answered 500");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Whether somebody besides the connection and its response still has the request's body: the response may be made of it.
fn has_reader(exchange: &Rc<Exchange>) -> bool {
    Rc::strong_count(exchange) > 2
}

/// What a body that broke the rules is answered with, whatever its handler said.
#[cold]
fn refused_body(exchange: &Exchange, error: BodyError) -> Response {
    let counters = &exchange.local().counters;
    match error {
        BodyError::TooLarge => counters.http_bodies_too_large.increment(),
        BodyError::TooSlow | BodyError::Connection(Error::Timeout(_)) => counters.http_timeouts.increment(),
        BodyError::Framing(_) => counters.http_refused.increment(),
        _ => {}
    }
    tracing::debug!(connection = exchange.number(), %error, "request body refused");
    error.into_response().close()
}

/// After a success the client would take what follows for the tunnel (RFC 9110 §9.3.6), and it may have sent on already.
#[cold]
fn no_tunnel(response: Response) -> Response {
    if response.status.is_success() {
        return StatusCode::NOT_IMPLEMENTED.into_response().close();
    }
    response.close()
}

/// Whether the connection can go on after the response.
fn can_keep(exchange: &Exchange, state: &mut State, response: &Response, rest: Rest) -> bool {
    let says_close = response.headers.as_ref().is_some_and(|headers| says_close(headers));
    !says_close
        && !state.is_last(exchange.shared().settings.requests_max)
        && !state.connection().is_draining()
        && (rest != Rest::Unread || can_discard(state))
}

/// Whether what is left of the request is little enough to throw away, and is sure to come.
#[cold]
fn can_discard(state: &State) -> bool {
    !state.incoming.continue_due && state.incoming.left().is_none_or(|left| left <= DISCARDED_MAX)
}

#[cold]
fn says_close(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).into_iter().map(HeaderValue::as_bytes);
    let mut options = values.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    options.any(|option| option.eq_ignore_ascii_case(b"close"))
}

/// The length that a handler gave a body it did not make.
fn said_length(response: &Response) -> Option<u64> {
    let length = response.headers.as_ref()?.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Whether a response of this status has a body, or at least the length of one (RFC 9110 §6.4.1).
#[inline]
fn may_have_body(status: StatusCode) -> bool {
    !(status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED)
}

/// Stages a response whose body is at hand, and takes the body.
fn stage_whole(
    exchange: &Exchange,
    state: &mut State,
    response: &mut Response,
    asked: Asked,
    keeps: bool,
) -> Result<(), Error> {
    let persistence = persistence(asked, keeps);
    if !may_have_body(response.status) {
        return compose_head(exchange, state, response, None, persistence, b"");
    }
    let body = match &response.content {
        // A reset has none (RFC 9110 §15.3.6).
        Content::Payload(payload) if response.status != StatusCode::RESET_CONTENT => payload.as_slice(),
        // What GET would answer is not known, unless the handler says so.
        Content::Empty if asked.is(Asked::HEAD) => {
            let framing = said_length(response).map(BodyFraming::Length);
            return compose_head(exchange, state, response, framing, persistence, b"");
        }
        _ => b"",
    };
    let framing = Some(BodyFraming::Length(body.len() as u64));
    if body.len() <= COPIED_MAX || asked.is(Asked::HEAD) {
        let body = if asked.is(Asked::HEAD) { b"" } else { body };
        return compose_head(exchange, state, response, framing, persistence, body);
    }
    compose_head(exchange, state, response, framing, persistence, b"")?;
    match std::mem::replace(&mut response.content, Content::Empty) {
        Content::Payload(payload) => state.connection().stage(payload),
        _ => Ok(()),
    }
}

#[inline]
fn persistence(asked: Asked, keeps: bool) -> Persistence {
    match keeps {
        true if asked.is(Asked::HTTP10) => Persistence::KeepAndSay,
        true => Persistence::Keep,
        false => Persistence::Close,
    }
}

/// How the head says where the body ends.
#[derive(Clone, Copy)]
enum BodyFraming {
    Length(u64),
    Chunked,
    UntilEnd,
}

/// Stages a head, and `body` behind it.
fn compose_head(
    exchange: &Exchange,
    state: &mut State,
    response: &Response,
    framing: Option<BodyFraming>,
    persistence: Persistence,
    body: &[u8],
) -> Result<(), Error> {
    let local = exchange.local();
    state.connection().compose(|out| {
        if let (StatusCode::OK, None, Some(BodyFraming::Length(length)), Persistence::Keep) =
            (response.status, &response.headers, framing, persistence)
        {
            out.extend_from_slice(local.prepared().ok(response.content_type, length));
        } else {
            write_head(out, local, response, framing, persistence);
        }
        out.extend_from_slice(body);
    })
}

#[cold]
fn write_head(
    out: &mut Vec<u8>,
    local: &Local,
    response: &Response,
    framing: Option<BodyFraming>,
    persistence: Persistence,
) {
    write_start(out, local, response);
    match framing {
        Some(BodyFraming::Length(length)) => write_content_length(out, length),
        Some(BodyFraming::Chunked) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Some(BodyFraming::UntilEnd) | None => {}
    }
    // Who sends Upgrade says so (RFC 9110 §7.8).
    let upgrades = response.headers.as_ref().is_some_and(|headers| headers.contains_key(UPGRADE));
    out.extend_from_slice(match (persistence, upgrades) {
        (Persistence::Keep | Persistence::Upgrade, false) => b"",
        (Persistence::Keep | Persistence::Upgrade, true) => b"Connection: upgrade\r\n",
        (Persistence::KeepAndSay, false) => b"Connection: keep-alive\r\n",
        (Persistence::KeepAndSay, true) => b"Connection: keep-alive, upgrade\r\n",
        (Persistence::Close, false) => b"Connection: close\r\n",
        (Persistence::Close, true) => b"Connection: close, upgrade\r\n",
    });
    out.extend_from_slice(b"\r\n");
}

/// The status line, the date, and the response's own fields.
fn write_start(out: &mut Vec<u8>, local: &Local, response: &Response) {
    write_status_line(out, response.status.as_u16(), response.status.canonical_reason().unwrap_or_default());
    let headers = response.headers.as_deref();
    if !headers.is_some_and(|headers| headers.contains_key(DATE)) {
        local.with_date(|date| out.extend_from_slice(date));
    }
    if may_have_body(response.status) && !headers.is_some_and(|headers| headers.contains_key(CONTENT_TYPE)) {
        out.extend_from_slice(response.content_type.line());
    }
    for (name, value) in headers.into_iter().flatten() {
        if ![CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER].contains(name) {
            append_field(out, name, value);
        }
    }
}

fn append_field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    let is_written = write_field(out, name.as_str(), value.as_bytes());
    debug_assert!(is_written, "names and values of the http crate are fit to be written");
}

/// Sends a response whose body is made meanwhile; false when the connection cannot go on.
async fn stream(
    exchange: &Rc<Exchange>,
    response: &Response,
    streaming: Streaming,
    asked: Asked,
    keeps: bool,
) -> Result<bool, HandlerError> {
    let has_body = may_have_body(response.status);
    let (framing, said) = match streaming.length {
        Some(length) => (Framing::Sized(length), BodyFraming::Length(length)),
        None if asked.is(Asked::HTTP10) => (Framing::UntilEnd, BodyFraming::UntilEnd),
        None => (Framing::Chunked, BodyFraming::Chunked),
    };
    let keeps = keeps && (framing != Framing::UntilEnd || !has_body);
    poll_fn(|cx| exchange.state().connection().poll_room(cx, 1)).await?;
    let said = has_body.then_some(said);
    compose_head(exchange, &mut exchange.state(), response, said, persistence(asked, keeps), b"")?;
    if asked.is(Asked::HEAD) || !has_body {
        return Ok(keeps);
    }
    let number = exchange.current();
    exchange.state().outgoing.begin(framing);
    let result = match streaming.source {
        Source::Writer(write) => run(move || write(BodyWriter::new(exchange.clone(), number))).await,
        Source::Body(body) => send_body(exchange, number, body).await,
    };
    finish_body(exchange, result)?;
    Ok(keeps)
}

/// Runs a writer. A panic is an error.
async fn run(start: impl FnOnce() -> LocalFuture) -> Result<(), HandlerError> {
    let panicked = || HandlerError::message("the handler panicked");
    let mut running = contain(start).ok_or_else(panicked)?;
    poll_fn(|cx| match contain(|| running.as_mut().poll(cx)) {
        Some(polled) => polled,
        None => Poll::Ready(Err(panicked())),
    })
    .await
}

/// Sends the frames of a body.
async fn send_body(
    exchange: &Rc<Exchange>,
    number: u32,
    mut body: Pin<Box<dyn http_body::Body<Data = bytes::Bytes, Error = HandlerError>>>,
) -> Result<(), HandlerError> {
    let mut writer = BodyWriter::new(exchange.clone(), number);
    loop {
        let frame = poll_fn(|cx| {
            let polled = contain(|| body.as_mut().poll_frame(cx));
            Poll::Ready(match polled {
                Some(polled) => ready!(polled).transpose(),
                None => Err(HandlerError::message("the body panicked")),
            })
        });
        match frame.await? {
            Some(frame) => match frame.into_data() {
                Ok(data) => writer.send(data).await?,
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        writer.set_trailers(trailers);
                    }
                }
            },
            None => return Ok(()),
        }
    }
}

/// Ends a streamed body, or else the connection.
fn finish_body(exchange: &Exchange, result: Result<(), HandlerError>) -> Result<(), HandlerError> {
    let mut state = exchange.state();
    let framing = state.outgoing.framing();
    let result = match (result, framing) {
        (Ok(()), Some(Framing::Sized(left @ 1..))) => {
            Err(HandlerError::message(format!("the response's body ended {left} bytes before its length")))
        }
        // Whoever made the response of the body may have passed over it.
        (Ok(()), _) if state.incoming.error.is_some() => {
            Err(HandlerError::message("the request's body broke off"))
        }
        (result, _) => result,
    };
    let trailers = state.outgoing.end();
    // Nobody writes any more; what was written last may be waited for.
    state.connection().wake_waiters();
    if result.is_ok() && framing == Some(Framing::Chunked) {
        state.connection().compose(|out| match trailers {
            None => out.extend_from_slice(LAST_CHUNK),
            Some(trailers) => write_trailers(out, &trailers),
        })?;
    }
    drop(state);
    if result.is_err() {
        exchange.local().counters.http_responses_cut.increment();
        exchange.abort();
    }
    result
}

#[cold]
fn write_trailers(out: &mut Vec<u8>, trailers: &HeaderMap) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.iter().filter(|(name, _)| may_be_trailer(name.as_str().as_bytes())) {
        append_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Throws away what nobody read; false when the connection is better ended.
async fn discard_body(exchange: &Exchange) -> bool {
    exchange.close_body();
    let mut left = DISCARDED_MAX;
    while can_discard(&exchange.state()) {
        match poll_fn(|cx| exchange.poll_discard(cx)).await {
            Ok(Some(data)) if data.len() as u64 <= left => left -= data.len() as u64,
            Ok(Some(_)) | Err(_) => return false,
            Ok(None) => return true,
        }
    }
    false
}
