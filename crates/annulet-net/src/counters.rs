//! What connections count.

annulet_driver::counters! {
    /// What the connections and listeners of one reactor did.
    pub struct NetCounters {
        /// Connections opened: accepted and handed to a handler, or made.
        connections_opened,
        /// Connections closed.
        connections_closed,
        /// Connections open (gauge).
        connections_open,
        /// Connections refused over the connection limit.
        refused_over_limit,
        /// Times accepting paused because descriptors or memory ran out.
        accept_paused,
        /// Times receiving stopped because a handler had too much unread.
        receive_paused,
        /// Times a writer had to wait for room.
        writers_waited,
        /// Connections the peer reset.
        resets_received,
        /// Connections this side reset: aborted, panicked, failed half-way, blocked, cut, or with bytes the kernel refused.
        resets_sent,
        /// Connections that ended with bytes staged and not sent.
        connections_undelivered,
        /// The bytes of those.
        bytes_undelivered,
        /// Setup clocks that ran out.
        timeouts_setup,
        /// Idle clocks that ran out.
        timeouts_idle,
        /// Inactivity clocks that ran out.
        timeouts_inactivity,
        /// Request clocks that ran out.
        timeouts_request,
        /// Write clocks that ran out.
        timeouts_write,
        /// Linger clocks that ran out.
        timeouts_linger,
        /// Lingering closes that ended because the peer sent too much.
        linger_overruns,
        /// Handlers that returned an error.
        handlers_failed,
        /// Handlers that panicked.
        handlers_panicked,
        /// Messages a codec refused: too long, malformed, cut off.
        messages_refused,
        /// Connections cut at the drain deadline.
        connections_cut,
    }
}
