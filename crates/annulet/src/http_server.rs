//! An HTTP server in one line.

use annulet_http::{IntoResponse, Request, service};
use annulet_net::{ServeError, Server};

use crate::serve::serve_until_stopped;

/// Answers HTTP requests at `address` with `handler` on every core until SIGINT or SIGTERM, then drains.
///
/// ```no_run
/// annulet::http("0.0.0.0:8080", async |request| format!("You asked for {}.\n", request.path()))?;
/// # Ok::<(), annulet::ServeError>(())
/// ```
///
/// Addresses and everything else are as for [`serve()`](crate::serve()). For routes, settings or several listeners, see
/// [`http::router`](crate::http::router) and [`http::service`](crate::http::service).
///
/// Blocks the calling thread until the server has ended.
///
/// # Errors
/// When no driver can be had or the address cannot be listened at.
pub fn http<H, R>(address: &str, handler: H) -> Result<(), ServeError>
where
    H: AsyncFn(Request) -> R + Clone + Send + Sync + 'static,
    R: IntoResponse + 'static,
{
    serve_until_stopped(Server::builder().serve(address, service(handler)))
}
