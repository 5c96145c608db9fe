//! Whether all is as it must be between two turns.

use annulet_driver::{Instant, Wait};

use super::Reactor;
use crate::audit::Audit;

impl Reactor {
    /// Looks whether all is as it must be between two turns. Not for production: it takes time.
    pub fn audit(&self, audit: &mut Audit) {
        let core = &*self.0;
        audit.enter(core.id);
        let mut violations = Vec::new();
        if let Some(Wait::Until(deadline)) = core.asleep.get()
            && core.driver.borrow().is_asleep()
        {
            self.audit_sleep(deadline, audit);
            core.driver.borrow().audit_sleep(deadline, &mut violations);
        }
        core.driver.borrow().audit(&mut violations);
        for violation in violations {
            audit.violation(violation);
        }
        let sources = core.sources.borrow().all();
        audit.sources += sources.len();
        audit.tasks += core.tasks.borrow().len();
        for source in sources {
            source.audit(audit);
        }
    }

    /// Nothing may be left to do that does not end the sleep.
    fn audit_sleep(&self, deadline: Option<Instant>, audit: &mut Audit) {
        let core = &*self.0;
        if core.inbox.has_work() {
            audit.violation("sleeps, and whoever rang did not wake it");
        }
        if !core.ready.is_empty() {
            audit.violation("sleeps, with tasks that are ready");
        }
        if !core.at_turn_end.borrow().is_empty() {
            audit.violation("sleeps, with something left for the end of the turn");
        }
        let next_timer = core.timers.borrow().next_deadline_ns().map(Instant::from_nanos);
        if next_timer.is_some_and(|next| deadline.is_none_or(|deadline| next < deadline)) {
            audit.violation("sleeps beyond its next timer");
        }
    }
}
