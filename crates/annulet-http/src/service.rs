//! What a server needs to speak HTTP, and how it answers the requests of a connection.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use annulet_net::{Clocks, Connection, Error, HandlerResult, Protocol};
use annulet_proto::http1::BodyLength;
use annulet_runtime::{Reactor, contain};
use http::StatusCode;

use crate::endpoint::Endpoint;
use crate::exchange::{Exchange, Next};
use crate::local::Local;
use crate::log::Access;
use crate::request::{Parts, Request};
use crate::respond::{After, Asked, respond};
use crate::response::{IntoResponse, Response};
use crate::router::{Found, Router};
use crate::settings::Settings;

/// An HTTP service for [`ServerBuilder::serve`](annulet_net::Server::builder), with every request going to `handler`:
///
/// ```no_run
/// # async fn example() -> Result<(), annulet_net::ServeError> {
/// use annulet_http::{Request, service};
/// use annulet_net::Server;
///
/// let hello = service(async |request: Request| format!("You asked for {}.\n", request.path()));
/// let server = Server::builder().serve("127.0.0.1:8080", hello).start().await?;
/// # Ok(())
/// # }
/// ```
///
/// Each reactor gets a clone of the handler.
pub fn service<H, R>(handler: H) -> Service
where
    H: AsyncFn(Request) -> R + Clone + Send + Sync + 'static,
    R: IntoResponse + 'static,
{
    Service::new(move |_| Routes::One(Endpoint::new(handler.clone())))
}

/// An HTTP service with what `make` returns, called once on each reactor. The handlers and what they share stay on their
/// reactor: they need be neither `Send` nor `Sync`.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use annulet_http::{Router, router};
///
/// let service = router(|_reactor| {
///     let visits = Rc::new(Cell::new(0));
///     Router::new()
///         .get("/", async |_| "Hello, World!")
///         .get("/visits", async move |_| {
///             visits.set(visits.get() + 1);
///             format!("{} on this reactor\n", visits.get())
///         })
/// });
/// ```
pub fn router(make: impl Fn(&Reactor) -> Router + Send + Sync + 'static) -> Service {
    Service::new(move |reactor| Routes::Router(make(reactor)))
}

/// An HTTP service: a [`Protocol`] for a server's listener. Made by [`service`] and [`router`].
#[derive(Clone)]
pub struct Service {
    make: Arc<dyn Fn(&Reactor) -> Routes + Send + Sync>,
    settings: Settings,
}

impl Service {
    fn new(make: impl Fn(&Reactor) -> Routes + Send + Sync + 'static) -> Self {
        Self { make: Arc::new(make), settings: Settings::default() }
    }

    /// Limits and clocks other than the default ones.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Protocol for Service {
    type Handler = Site;

    fn handler(&self, reactor: &Reactor) -> Site {
        Site(Rc::new(Shared {
            local: Local::of(reactor),
            routes: (self.make)(reactor),
            settings: self.settings,
        }))
    }

    fn clocks(&self, clocks: Clocks) -> Clocks {
        self.settings.clocks(clocks)
    }
}

/// A [`Service`] on one reactor.
pub struct Site(Rc<Shared>);

pub(crate) struct Shared {
    pub(crate) local: Rc<Local>,
    pub(crate) settings: Settings,
    routes: Routes,
}

/// Where requests go.
enum Routes {
    One(Endpoint),
    Router(Router),
}

impl Routes {
    #[inline]
    fn find(&self, parts: &mut Parts) -> Found<'_> {
        match self {
            Self::One(endpoint) => Found::Endpoint(endpoint),
            Self::Router(router) => router.find(parts),
        }
    }
}

impl annulet_net::Handler for Site {
    fn handle(&self, connection: Connection) -> impl Future<Output = HandlerResult> {
        serve(Exchange::new(&self.0, connection))
    }
}

/// Answers the requests of a connection, one after the other.
async fn serve(exchange: Rc<Exchange>) -> HandlerResult {
    loop {
        let (response, asked) = match poll_fn(|cx| exchange.poll_next(cx)).await {
            Next::Request(parts) => {
                let asked = Asked::of(&parts.head);
                let access = exchange.site().settings.access_log.then(|| Access::of(&exchange, &parts.head));
                let response = answer(&exchange, parts).await;
                if let Some(access) = access {
                    access.log(&response);
                }
                (response, asked)
            }
            next => match refusal(&exchange, next)? {
                Some(response) => (response, Asked::refused()),
                None => return Ok(()),
            },
        };
        match respond(&exchange, response, asked).await? {
            After::Next => {}
            After::Close => return Ok(()),
            After::Upgrade(serve) => return serve(exchange.into_connection()).await,
        }
    }
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

/// The response to a request, from its handler, or else from the server.
async fn answer(exchange: &Rc<Exchange>, mut parts: Box<Parts>) -> Response {
    let site = exchange.site();
    site.local.counters.http_requests.increment();
    let found = site.routes.find(&mut parts);
    let length = parts.head.body_length();
    let body_max = match &found {
        Found::Endpoint(endpoint) => endpoint.body_max,
        Found::Answer(_) => None,
    };
    let body_max = body_max.unwrap_or(site.settings.body_max);
    let number = exchange.begin(length, parts.head.expects_continue(), body_max);
    if matches!(length, BodyLength::Bytes(bytes) if bytes > body_max) {
        return declared_too_large(exchange);
    }
    match found {
        Found::Endpoint(endpoint) => call(exchange, endpoint, Request::new(parts, exchange, number)).await,
        Found::Answer(response) => {
            site.local.keep_request(parts);
            response
        }
    }
}

#[cold]
fn declared_too_large(exchange: &Exchange) -> Response {
    exchange.local().counters.http_bodies_too_large.increment();
    Response::text("the body is larger than the limit\n").status(StatusCode::BAD_REQUEST).close()
}

/// Calls a handler. A panic becomes a response.
#[inline]
async fn call(exchange: &Exchange, endpoint: &Endpoint, request: Request) -> Response {
    let mut calling = pin!(endpoint.call(request));
    let response = poll_fn(|cx| {
        // What a panic leaves half done is the handler's own.
        match contain(|| calling.as_mut().poll(cx)) {
            Some(polled) => {
                if polled.is_pending() {
                    exchange.unpin_input();
                }
                polled.map(Some)
            }
            None => std::task::Poll::Ready(None),
        }
    })
    .await;
    response.unwrap_or_else(|| panicked(exchange))
}

#[cold]
fn panicked(exchange: &Exchange) -> Response {
    exchange.local().counters.http_handlers_panicked.increment();
    tracing::error!(connection = exchange.number(), "handler panicked; answered 500");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
