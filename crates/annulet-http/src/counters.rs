//! What HTTP servers count.

annulet_driver::counters! {
    /// What the HTTP servers of one reactor did.
    pub struct HttpCounters {
        /// Requests whose head was read.
        http_requests,
        /// Requests refused for their framing, before or instead of a handler's answer.
        http_refused,
        /// Requests that took too long, in head or body.
        http_timeouts,
        /// Bodies over their limit.
        http_bodies_too_large,
        /// Handlers that returned an error without a status of its own.
        http_handlers_failed,
        /// Handlers that panicked.
        http_handlers_panicked,
        /// Response bodies given up half-way.
        http_responses_cut,
    }
}
