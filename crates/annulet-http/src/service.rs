//! What a server needs to speak HTTP.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use annulet_net::{Clocks, Connection, HandlerResult, Protocol};
use annulet_runtime::Reactor;

use crate::endpoint::Endpoint;
use crate::exchange::Exchange;
use crate::local::Local;
use crate::request::{Parts, Request};
use crate::response::IntoResponse;
use crate::router::{Found, Router};
use crate::serving::Serving;
use crate::settings::Settings;
use crate::spares::Spares;

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
    Service::new(move |_| Routes::One(Rc::new(Endpoint::new(handler.clone()))))
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
    Service::new(move |reactor| Routes::Router(Box::new(make(reactor))))
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
            spare_requests: Spares::default(),
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
    pub(crate) routes: Routes,
    /// All read with the same limits.
    spare_requests: Spares<Box<Parts>>,
}

impl Shared {
    #[inline]
    pub(crate) fn take_request(&self) -> Box<Parts> {
        self.spare_requests.take().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn keep_request(&self, mut parts: Box<Parts>) {
        parts.clear();
        self.spare_requests.keep(parts);
    }
}

/// Where requests go.
pub(crate) enum Routes {
    One(Rc<Endpoint>),
    Router(Box<Router>),
}

impl Routes {
    #[inline]
    pub(crate) fn find(&self, parts: &mut Parts) -> Found<'_> {
        match self {
            Self::One(endpoint) => Found::Endpoint(endpoint),
            Self::Router(router) => router.find(parts),
        }
    }
}

impl annulet_net::Handler for Site {
    fn handle(&self, connection: Connection) -> impl Future<Output = HandlerResult> {
        Serving::new(Exchange::new(&self.0, connection))
    }
}
