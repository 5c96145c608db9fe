//! The access log.

use annulet_proto::http1::RequestHead;

use crate::exchange::Exchange;
use crate::response::Response;

/// What a request's line in the log says; noted before its handler takes the request.
pub(crate) struct Access {
    connection: u64,
    peer: String,
    method: String,
    target: String,
}

impl Access {
    /// What a line needs, if there is to be one.
    #[inline]
    pub(crate) fn of(exchange: &Exchange, head: &RequestHead) -> Option<Box<Self>> {
        exchange.shared().settings.access_log.then(|| Self::note(exchange, head))
    }

    #[cold]
    fn note(exchange: &Exchange, head: &RequestHead) -> Box<Self> {
        Box::new(Self {
            connection: exchange.number(),
            peer: exchange.peer_address().map_or_else(|_| "-".to_owned(), |address| address.to_string()),
            method: head.method().to_owned(),
            target: head.target().to_owned(),
        })
    }

    #[cold]
    pub(crate) fn log(&self, response: &Response) {
        let Self { connection, peer, method, target } = self;
        let status = response.status_code().as_u16();
        tracing::info!(target: "annulet_http::access", connection, peer, method, target, status, "request");
    }
}
