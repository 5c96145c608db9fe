//! Handlers: what a server does with a connection.

use std::rc::Rc;

use annulet_runtime::Reactor;

use crate::connection::Connection;
use crate::error::HandlerResult;
use crate::stream::Local;

/// What a server does with a connection. Every `async |connection| …` closure and every
/// `async fn(Connection) -> HandlerResult` is one; it runs on the connection's reactor and need not be `Send`.
pub trait Handler: 'static {
    /// Serves one connection. When it returns, what it staged leaves and the connection ends in order; after an error
    /// likewise, and the error is logged. A panic resets the connection and touches no other.
    fn handle(&self, connection: Connection) -> impl Future<Output = HandlerResult>;
}

impl<F> Handler for F
where
    F: AsyncFn(Connection) -> HandlerResult + 'static,
{
    // Not an `async fn`: its future would hold the connection a second time, in every idle connection's memory.
    fn handle(&self, connection: Connection) -> impl Future<Output = HandlerResult> {
        self(connection)
    }
}

/// A handler with its type forgotten. Spawning is the only call, so the handler's future needs no box of its own.
pub(crate) trait Service {
    fn spawn(self: Rc<Self>, reactor: &Reactor, connection: Connection);
}

pub(crate) struct HandlerService<H>(pub(crate) H);

impl<H: Handler> Service for HandlerService<H> {
    fn spawn(self: Rc<Self>, reactor: &Reactor, connection: Connection) {
        reactor.spawn_detached(async move {
            let guard = PanicGuard { number: connection.number(), local: connection.stream().local.clone() };
            if let Err(error) = self.0.handle(connection).await {
                guard.local.counters.handlers_failed.increment();
                let number = guard.number;
                if error.connection_error().is_some() {
                    // The peer's doing, a clock's or a drain's, each with its counter: nothing for the operator to mend.
                    tracing::debug!(connection = number, %error, "connection ended");
                } else {
                    tracing::warn!(connection = number, %error, "handler failed");
                }
            }
        });
    }
}

/// Notices a handler that panics.
struct PanicGuard {
    number: u64,
    local: Rc<Local>,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.local.counters.handlers_panicked.increment();
            tracing::error!(connection = self.number, "handler panicked; its connection is reset");
        }
    }
}
