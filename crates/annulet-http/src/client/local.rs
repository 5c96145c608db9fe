//! What the clients of one reactor share.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

use annulet_proto::http1::ResponseHead;
use annulet_runtime::Reactor;

use super::counters::ClientCounters;
use super::error::ClientError;

/// Spare heads kept per reactor.
const SPARES_MAX: usize = 256;
/// Memory of a head that is kept: more is what some server made of it.
const SPARE_BYTES_MAX: usize = 8 * 1024;

pub(crate) struct Local {
    pub(crate) reactor: Reactor,
    pub(crate) counters: Arc<ClientCounters>,
    /// Boxed, for that is how a response holds them.
    #[allow(clippy::vec_box)]
    spare_heads: RefCell<Vec<Box<ResponseHead>>>,
}

impl Local {
    pub(crate) fn of(reactor: &Reactor) -> Rc<Self> {
        reactor.extension(|| {
            let counters: Arc<ClientCounters> = Arc::default();
            reactor.publish_counters(counters.clone());
            Self { reactor: reactor.clone(), counters, spare_heads: RefCell::default() }
        })
    }

    /// Counts a request's error, if it is one that is counted.
    pub(crate) fn count(&self, error: &ClientError) {
        if error.is_timeout() {
            self.counters.client_timeouts.increment();
        }
    }

    /// An empty head.
    pub(crate) fn head(self: &Rc<Self>) -> Head {
        let head = self.spare_heads.borrow_mut().pop().unwrap_or_default();
        Head { head: Some(head), local: self.clone() }
    }
}

/// A head whose memory is used again.
pub(crate) struct Head {
    /// Always there, but while dropped.
    head: Option<Box<ResponseHead>>,
    local: Rc<Local>,
}

impl Deref for Head {
    type Target = ResponseHead;

    fn deref(&self) -> &ResponseHead {
        self.head.as_ref().expect("there until it is dropped")
    }
}

impl DerefMut for Head {
    fn deref_mut(&mut self) -> &mut ResponseHead {
        self.head.as_mut().expect("there until it is dropped")
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        let mut spares = self.local.spare_heads.borrow_mut();
        if spares.len() < SPARES_MAX {
            spares.extend(self.head.take().filter(|head| is_worth_keeping(head)));
        }
    }
}

fn is_worth_keeping(head: &ResponseHead) -> bool {
    head.capacity() <= SPARE_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use annulet_proto::http1::{Answers, HeadLimits};

    use super::*;

    #[test]
    fn a_head_that_a_server_made_large_is_not_kept() {
        for (value, fields, is_kept) in [(100, 20, true), (SPARE_BYTES_MAX, 1, false), (1, 2000, false)] {
            let field = format!("X: {}\r\n", "x".repeat(value));
            let input = format!("HTTP/1.1 200 OK\r\n{}\r\n", field.repeat(fields));
            let limits = HeadLimits { bytes: 64 * 1024, fields, ..HeadLimits::default() };
            let mut head = ResponseHead::new();
            let length = head.parse(input.as_bytes(), &limits, Answers::Other);
            assert_eq!(length, Ok(Some(input.len())));
            assert_eq!(is_worth_keeping(&head), is_kept, "{value} {fields}");
        }
    }
}
