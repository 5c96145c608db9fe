//! A server in one line.

use annulet_driver::limits::raise_descriptor_limit;
use annulet_net::ServerBuilder;
use annulet_net::{Connection, DrainReport, HandlerResult, ServeError, Server};
use annulet_runtime::Runtime;
use annulet_runtime::signal::{Signal, Signals};
use annulet_runtime::spawn_local;

/// Serves connections at `address` with `handler` on every core until SIGINT or SIGTERM, then drains.
///
/// `address` is `127.0.0.1:7000`, `[::1]:7000`, `:7000` for all addresses, or `unix:/path`. The descriptor limit is raised
/// as far as allowed. Everything else has the defaults of [`Runtime`] and [`Server`]: use those for settings.
///
/// Blocks the calling thread until the server has ended.
///
/// # Errors
/// When no driver can be had or the address cannot be listened at.
pub fn serve<H>(address: &str, handler: H) -> Result<(), ServeError>
where
    H: AsyncFn(Connection) -> HandlerResult + Clone + Send + 'static,
{
    serve_until_stopped(Server::builder().listen(address, handler))
}

/// Runs a server with the defaults of everything around it until SIGINT or SIGTERM, then drains.
pub(crate) fn serve_until_stopped(server: ServerBuilder) -> Result<(), ServeError> {
    // Without it the connection limit is lower; nothing else depends on it.
    if let Err(error) = raise_descriptor_limit() {
        tracing::debug!(%error, "the descriptor limit stays as it is");
    }
    Runtime::builder().build()?.block_on(serving(server))?.map(drop)
}

/// What [`serve`] does on its runtime, for a server with settings and on any runtime: starts it, and drains it on SIGINT or
/// SIGTERM; a second signal cuts what is left at once.
///
/// # Errors
/// When an address cannot be listened at.
///
/// # Panics
/// Outside a runtime.
///
/// # Cancel safety
/// Dropping it resets every connection.
pub async fn serving(server: ServerBuilder) -> Result<DrainReport, ServeError> {
    let signals = stop_signals();
    let server = server.start().await?;
    tracing::info!(address = %server.addresses()[0], "listening");
    let report = stop_on_signal(server, signals).await;
    tracing::info!("{report}");
    Ok(report)
}

/// Listens for SIGINT and SIGTERM from now on; until then either ends the process on the spot. For
/// [`stop_on_signal`], made before anybody can know that the server is there.
///
/// # Panics
/// Outside a runtime.
#[track_caller]
pub fn stop_signals() -> Signals {
    Signals::new(&[Signal::INTERRUPT, Signal::TERMINATE])
}

/// [`stop_on_signal`] with [`stop_signals`] listened for from now on.
pub async fn until_stopped(server: Server) -> DrainReport {
    stop_on_signal(server, stop_signals()).await
}

/// Waits for a signal, then stops the server in order; a second signal cuts what is left at once.
///
/// # Cancel safety
/// Dropping it resets every connection.
pub async fn stop_on_signal(server: Server, mut signals: Signals) -> DrainReport {
    let signal = signals.recv().await;
    tracing::info!(%signal, "draining; a second signal stops at once");
    let cutter = server.cutter();
    let second = spawn_local(async move {
        signals.recv().await;
        cutter.cut();
    });
    let report = server.stop().await;
    second.abort();
    report
}
