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
            spares.extend(self.head.take());
        }
    }
}
