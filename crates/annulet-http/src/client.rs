//! HTTP/1.1 clients.
//!
//! | file | idea |
//! |---|---|
//! | `target` | where a request goes |
//! | `request`, `sender`, `upload` | what is sent |
//! | `pool`, `keeper`, `connect` | on which connection |
//! | `wire` | one request and its response on it |
//! | `response`, `body` | what comes back |
//! | `redirect` | what is asked next |

mod body;
mod connect;
mod counters;
mod error;
mod keeper;
mod local;
mod pool;
mod redirect;
mod request;
mod response;
mod sender;
mod settings;
mod target;
mod upload;
mod wire;

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use annulet_driver::Instant;
use annulet_net::HandlerError;
use annulet_runtime::time::{Elapsed, sleep, sleep_until, timeout, timeout_at};
use annulet_runtime::{Reactor, spawn_local};
use http::Method;

pub use body::ClientBody;
pub use counters::ClientCounters;
pub use error::{ClientError, Phase, Processed};
pub use request::RequestBuilder;
pub use response::ClientResponse;
pub use sender::BodySender;
pub use settings::ClientBuilder;

use local::Local;
use pool::Pool;
use request::Prepared;
use settings::Settings;
use target::Target;
use upload::{RequestBody, Upload};
use wire::Wire;

/// How long a server that was asked whether it wants a body may take to say so (RFC 9110 §10.1.1).
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of a redirect's own body that are read so that its connection can be used again.
const DISCARDED_MAX: usize = 16 * 1024;
/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// An HTTP/1.1 client: sends requests over connections it keeps.
///
/// ```no_run
/// # async fn example() -> Result<(), annulet_http::ClientError> {
/// let client = annulet_http::Client::new();
/// let mut response = client.get("http://127.0.0.1:7000/").header("accept", "text/plain").send().await?;
/// println!("{}: {}", response.status(), response.text().await?);
/// # Ok(())
/// # }
/// ```
///
/// Each reactor has its own: a client stays where it was made, and its clones share its connections. Make one and keep it.
///
/// Everything has a limit and a clock; [`ClientBuilder`] lists them. Redirects are not followed unless that is asked for.
/// `https` is not built in yet.
///
/// # What happens when a connection fails
///
/// A server may close an idle connection at any moment, and a request may cross with that. A client notices what it can before
/// it uses a connection again. What it cannot notice it repairs, where repeating the request does no harm: see
/// [`retries_max`](ClientBuilder::retries_max).
#[derive(Clone)]
pub struct Client {
    pool: Rc<Pool>,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client with defaults, on this reactor.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Settings for a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    #[track_caller]
    fn with(settings: Settings) -> Self {
        let pool = Pool::new(Local::of(&Reactor::current()), settings);
        // It ends with the pool.
        drop(spawn_local(keeper::keep(Rc::downgrade(&pool))));
        Self { pool }
    }

    /// A request to `url`, which begins with `http://`.
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, url)
    }

    /// GET.
    pub fn get(&self, url: &str) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// HEAD.
    pub fn head(&self, url: &str) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// POST.
    pub fn post(&self, url: &str) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// PUT.
    pub fn put(&self, url: &str) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// PATCH.
    pub fn patch(&self, url: &str) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// DELETE.
    pub fn delete(&self, url: &str) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// Sends a request of the `http` crate, with any body; the version it says is not looked at.
    ///
    /// # Errors
    /// As for [`RequestBuilder::send`].
    ///
    /// # Cancel safety
    /// As for [`RequestBuilder::send`].
    pub async fn send_http<B>(
        &self,
        request: http::Request<B>,
    ) -> Result<http::Response<ClientBody>, ClientError>
    where
        B: http_body::Body + 'static,
        B::Error: Into<HandlerError>,
    {
        let (parts, body) = request.into_parts();
        let target = Target::of(&parts.uri)?;
        let request = Prepared::new(parts.method, target, parts.headers, RequestBody::from_body(body))?;
        self.run(request).await.map(Into::into)
    }

    /// Sends a request, and what follows from it, within its time.
    async fn run(&self, mut request: Prepared) -> Result<ClientResponse, ClientError> {
        let local = &self.pool.local;
        local.counters.client_requests.increment();
        let deadline = request.timeout.map(|time| local.reactor.now() + time);
        let course = Course::of(&request, &self.pool.settings);
        let following = self.follow(&mut request, &course, deadline);
        let result = match deadline {
            None => following.await,
            Some(deadline) => match timeout_at(deadline, following).await {
                Ok(result) => result,
                Err(Elapsed) => Err(ClientError::TimedOut(course.phase.get())),
            },
        };
        result.map_err(|error| error.after(course.processed.get())).inspect_err(|error| local.count(error))
    }

    /// Sends a request, and those its responses redirect to.
    async fn follow(
        &self,
        request: &mut Prepared,
        course: &Course,
        deadline: Option<Instant>,
    ) -> Result<ClientResponse, ClientError> {
        let mut redirects_left = self.pool.settings.redirects_max;
        loop {
            let response = self.attempts(request, course, deadline).await?;
            if self.pool.settings.redirects_max == 0 || !redirect::redirect(request, &response)? {
                return Ok(response);
            }
            if redirects_left == 0 {
                return Err(redirect::refused(&request.target.url(), "too often"));
            }
            redirects_left -= 1;
            course.may_be_processed(Processed::Maybe);
            self.pool.local.counters.client_redirects.increment();
            // A body nobody wants is not worth more, nor an error of it.
            let _ = timeout(DISCARD_TIMEOUT, response.into_body().discard(DISCARDED_MAX)).await;
        }
    }

    /// Sends a request; again, where that does no harm and may do good.
    async fn attempts(
        &self,
        request: &mut Prepared,
        course: &Course,
        deadline: Option<Instant>,
    ) -> Result<ClientResponse, ClientError> {
        course.wants_new.set(false);
        loop {
            let error = match self.attempt(request, course, deadline).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if !error.is_worth_a_retry() || !request.body.can_be_sent() || !course.may_retry() {
                return Err(error);
            }
            course.may_be_processed(error.processed());
            tracing::debug!(host = request.target.host, %error, "a request is sent again, on a new connection");
            self.pool.local.counters.client_retries.increment();
            course.wants_new.set(true);
        }
    }

    async fn attempt(
        &self,
        request: &mut Prepared,
        course: &Course,
        deadline: Option<Instant>,
    ) -> Result<ClientResponse, ClientError> {
        let settings = &self.pool.settings;
        let local = &self.pool.local;
        let taken = self.take_connection(&request.target.host, course).await?;
        course.phase.set(Phase::Head);
        let mut wire = Box::new(Wire::new(local.clone(), taken));
        wire.send_head(|out| request.write_head(out))?;
        let held = request.expects_continue().then(|| sleep(CONTINUE_TIMEOUT));
        let asked = request.asked();
        wire.send_body(Upload::take(&mut request.body, held));
        let mut head = local.head();
        wire.receive_head(&mut head, &asked, settings).await?;
        course.phase.set(Phase::Body);
        let body = ClientBody::new(wire, &head, deadline.map(sleep_until), settings.body_max);
        Ok(ClientResponse::new(head, body, request.target.clone()))
    }
}

/// How far a request has come, and what it may still do.
struct Course {
    phase: Cell<Phase>,
    retries_left: Cell<u32>,
    wants_new: Cell<bool>,
    /// What can have been done with it by attempts that are over.
    processed: Cell<Processed>,
}

impl Course {
    fn of(request: &Prepared, settings: &Settings) -> Self {
        let retries = if request.method.is_idempotent() { settings.retries_max } else { 0 };
        Self {
            phase: Cell::new(Phase::Waiting),
            retries_left: Cell::new(retries),
            wants_new: Cell::new(false),
            processed: Cell::new(Processed::No),
        }
    }

    /// An attempt is over, and another one follows.
    fn may_be_processed(&self, processed: Processed) {
        self.processed.set(self.processed.get().max(processed));
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// Whether there is another try. It is taken with that.
    fn may_retry(&self) -> bool {
        let left = self.retries_left.get();
        self.retries_left.set(left.saturating_sub(1));
        left > 0
    }

    fn wants_new(&self) -> bool {
        self.wants_new.get()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
