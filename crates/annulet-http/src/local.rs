//! What the HTTP connections of one reactor share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use annulet_driver::Instant;
use annulet_runtime::Reactor;

use crate::counters::HttpCounters;
use crate::request::Parts;

/// Spare requests kept per reactor.
const SPARES_MAX: usize = 256;

pub(crate) struct Local {
    pub(crate) reactor: Reactor,
    pub(crate) counters: Arc<HttpCounters>,
    /// Boxed, for that is how a request holds them.
    #[allow(clippy::vec_box)]
    spare_requests: RefCell<Vec<Box<Parts>>>,
    prefix: RefCell<Prefix>,
    prefix_until: Cell<Instant>,
}

/// The beginnings of responses, for a second each.
#[derive(Default)]
struct Prefix {
    date: Vec<u8>,
    ok: Vec<u8>,
}

impl Local {
    pub(crate) fn of(reactor: &Reactor) -> Rc<Self> {
        reactor.extension(|| {
            let counters: Arc<HttpCounters> = Arc::default();
            reactor.publish_counters(counters.clone());
            Self {
                reactor: reactor.clone(),
                counters,
                spare_requests: RefCell::default(),
                prefix: RefCell::default(),
                prefix_until: Cell::new(Instant::default()),
            }
        })
    }

    #[inline]
    pub(crate) fn take_request(&self) -> Box<Parts> {
        self.spare_requests.borrow_mut().pop().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn keep_request(&self, mut parts: Box<Parts>) {
        let mut spare = self.spare_requests.borrow_mut();
        if spare.len() < SPARES_MAX {
            parts.clear();
            spare.push(parts);
        }
    }

    /// Calls `f` with `Date: …` and its line end.
    pub(crate) fn with_date<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        self.refresh();
        f(&self.prefix.borrow().date)
    }

    /// Calls `f` with the status line of 200, and the date's.
    #[inline]
    pub(crate) fn with_ok<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        self.refresh();
        f(&self.prefix.borrow().ok)
    }

    #[inline]
    fn refresh(&self) {
        if self.reactor.now() >= self.prefix_until.get() {
            self.write_prefix();
        }
    }

    #[cold]
    fn write_prefix(&self) {
        let wall = self.reactor.wall_clock();
        let since_epoch = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let into_second = Duration::from_nanos(u64::from(since_epoch.subsec_nanos()));
        self.prefix_until.set(self.reactor.now() + (Duration::from_secs(1) - into_second));
        let prefix = &mut *self.prefix.borrow_mut();
        prefix.date.clear();
        prefix.date.extend_from_slice(b"Date: ");
        prefix.date.extend_from_slice(httpdate::fmt_http_date(wall).as_bytes());
        prefix.date.extend_from_slice(b"\r\n");
        prefix.ok.clear();
        prefix.ok.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        prefix.ok.extend_from_slice(&prefix.date);
    }
}
