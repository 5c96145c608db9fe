//! What a reactor counts.

annulet_driver::counters! {
    /// What one reactor did.
    pub struct ReactorCounters {
        /// Turns of the loop.
        turns,
        /// Turns that went to sleep.
        parks,
        /// Watches that ended in work.
        watches_paid,
        /// Watches that ended in sleep.
        watches_wasted,
        /// Tasks polled.
        tasks_polled,
        /// Tasks spawned.
        tasks_spawned,
        /// Tasks that have not ended (gauge).
        tasks_live,
        /// Tasks, and closures sent to the reactor, that ended by a panic.
        tasks_panicked,
        /// Turns whose tasks used up the turn's budget.
        budget_exhausted,
        /// Runs of tasks that kept the reactor from its ring for longer than the stall limit.
        stalls,
        /// Timers that fired.
        timers_fired,
        /// Messages and wake-ups taken from other threads.
        messages_received,
    }
}
