//! Handlers: what a server does with a connection.

use std::rc::Rc;

use annulet_runtime::Reactor;

use crate::connection::Connection;
use crate::error::{HandlerError, HandlerResult};
use crate::options::Clocks;
use crate::stream::Stream;

/// What a server does with a connection. Every `async |connection| …` closure and every
/// `async fn(Connection) -> HandlerResult` is one; it runs on the connection's reactor and need not be `Send`.
pub trait Handler: 'static {
    /// Serves one connection. When it returns, what it staged leaves and the connection ends in order. A panic resets the
    /// connection and touches no other.
    ///
    /// After an error, which is logged, the connection ends in order as well, so that a last answer arrives; but it is reset
    /// where a message was half sent, as far as that can be known of a stream of bytes: when the last `write`, `write_all`
    /// or write of an I/O trait took only the first part of what it was given, and was given up. A payload once staged, by
    /// `send` or `stage`, is no half: it is sent to its end, or else the connection is reset in any case. A message that the
    /// handler makes of several writes is for the handler to know: it calls [`abort`](Connection::abort), or returns its
    /// error with [`set_linger`](Connection::set_linger) at zero.
    fn handle(&self, connection: Connection) -> impl Future<Output = HandlerResult>;
}

/// A protocol: what a server needs to speak it on every reactor. A [`Handler`] that has to be made anew on each reactor,
/// because it keeps state there, and that knows how long what may take.
pub trait Protocol: Send + 'static {
    /// What serves a reactor's connections.
    type Handler: Handler;

    /// Makes the handler of a reactor. Called once on each.
    fn handler(&self, reactor: &Reactor) -> Self::Handler;

    /// The clocks of its connections, given those that the server or the listener were set to.
    fn clocks(&self, clocks: Clocks) -> Clocks {
        clocks
    }
}

impl<F> Handler for F
where
    F: AsyncFn(Connection) -> HandlerResult + 'static,
{
    fn handle(&self, connection: Connection) -> impl Future<Output = HandlerResult> {
        self(connection)
    }
}

/// A handler with its type forgotten. Spawning is the only call, so the handler's future needs no box of its own.
pub(crate) trait Service {
    /// Has the handler serve the connection that `stream` is the state of.
    fn spawn(self: Rc<Self>, reactor: &Reactor, stream: Rc<Stream>);
}

pub(crate) struct HandlerService<H>(pub(crate) H);

impl<H: Handler> Service for HandlerService<H> {
    fn spawn(self: Rc<Self>, reactor: &Reactor, stream: Rc<Stream>) {
        let watch = Watch(stream);
        // All that lives here beside the handler's own future is two pointers: there is one of these per connection.
        reactor.spawn_detached(async move {
            // A statement of its own: the handler's future is gone when its error is looked at.
            let result = self.0.handle(Connection::new(watch.0.clone())).await;
            if let Err(error) = result {
                watch.failed(&error);
            }
        });
    }
}

/// Notices how a handler ends.
struct Watch(Rc<Stream>);

impl Watch {
    #[cold]
    fn failed(&self, error: &HandlerError) {
        self.0.local.counters.handlers_failed.increment();
        self.0.reset_if_half_written();
        let number = self.0.number;
        if error.connection_error().is_some() {
            // The peer's doing, a clock's or a drain's, each with its counter: nothing for the operator to mend.
            tracing::debug!(connection = number, %error, "connection ended");
        } else {
            tracing::warn!(connection = number, %error, "handler failed");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.local.counters.handlers_panicked.increment();
            tracing::error!(connection = self.0.number, "handler panicked; its connection is reset");
        }
    }
}
