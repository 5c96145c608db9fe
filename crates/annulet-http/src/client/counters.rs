//! What HTTP clients count.

annulet_driver::counters! {
    /// What the HTTP clients of one reactor did.
    pub struct ClientCounters {
        /// Requests begun; a redirect or a retry is not another one.
        client_requests,
        /// Times a request was sent again, or a connection for it tried again.
        client_retries,
        /// Redirects followed.
        client_redirects,
        /// Connections made.
        client_connections_opened,
        /// Attempts to connect that failed.
        client_connects_failed,
        /// Requests sent on a connection that had carried others.
        client_connections_reused,
        /// Idle connections closed: ended by the peer, idle for too long, or over a limit.
        client_connections_evicted,
        /// Connections that are open or being made, and count towards the limits (gauge).
        client_connections,
        /// Those of them that are idle (gauge).
        client_connections_idle,
        /// Requests that wait for a connection (gauge).
        client_waiting,
        /// Requests refused because too many were waiting.
        client_queue_full,
        /// Requests that ran out of time, in whatever phase.
        client_timeouts,
    }
}
