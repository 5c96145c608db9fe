//! The budget of ready operations that one poll of a task may take.
//!
//! A handler whose input is always ready would never wait and so never let others run. Every operation that can be
//! ready at once therefore takes one unit of its task's budget; when it is used up the operation says "pending", wakes
//! its task, and the task comes round again after the others, with a fresh budget.

use std::task::{Context, Poll};

use crate::reactor::Reactor;

impl Reactor {
    /// Takes one unit; `Pending` (with the task woken) when none is left.
    #[inline]
    pub fn poll_budget(&self, cx: &mut Context<'_>) -> Poll<()> {
        let budget = &self.core().budget;
        match budget.get().checked_sub(1) {
            Some(left) => {
                budget.set(left);
                Poll::Ready(())
            }
            None => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Gives back a unit taken for an operation that turned out not to be ready.
    pub fn refund_budget(&self) {
        let budget = &self.core().budget;
        budget.set(budget.get() + 1);
    }
}
