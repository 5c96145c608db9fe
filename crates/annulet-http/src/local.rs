//! What the HTTP connections of one reactor share.

use std::cell::{Cell, RefCell, RefMut};
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use annulet_driver::Instant;
use annulet_proto::http1::{write_content_length, write_status_line};
use annulet_runtime::Reactor;
use httpdate::HttpDate;

use crate::content_type::ContentType;
use crate::counters::HttpCounters;

pub(crate) struct Local {
    pub(crate) reactor: Reactor,
    pub(crate) counters: Arc<HttpCounters>,
    prepared: RefCell<Prepared>,
    prepared_until: Cell<Instant>,
}

/// Heads that are the same for a second, or for several responses.
#[derive(Default)]
pub(crate) struct Prepared {
    date: Vec<u8>,
    /// For each [`ContentType`], the head of a 200, and how many bytes of body it announces.
    ok: [(Vec<u8>, u64); ContentType::COUNT],
}

impl Prepared {
    /// The head of a 200 with a body of this type and length.
    #[inline(always)]
    pub(crate) fn ok(&mut self, content_type: ContentType, length: u64) -> &[u8] {
        let (head, announced) = &mut self.ok[content_type as usize];
        if *announced != length {
            change_length(head, length);
            *announced = length;
        }
        head
    }
}

impl Local {
    pub(crate) fn of(reactor: &Reactor) -> Rc<Self> {
        reactor.extension(|| {
            let counters: Arc<HttpCounters> = Arc::default();
            reactor.publish_counters(counters.clone());
            Self {
                reactor: reactor.clone(),
                counters,
                prepared: RefCell::default(),
                prepared_until: Cell::new(Instant::default()),
            }
        })
    }

    /// Calls `f` with `Date: …` and its line end.
    pub(crate) fn with_date<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        self.refresh();
        f(&self.prepared.borrow().date)
    }

    /// Heads of this second.
    #[inline(always)]
    pub(crate) fn prepared(&self) -> RefMut<'_, Prepared> {
        self.refresh();
        self.prepared.borrow_mut()
    }

    #[inline(always)]
    fn refresh(&self) {
        if self.reactor.now() >= self.prepared_until.get() {
            self.prepare();
        }
    }

    #[cold]
    fn prepare(&self) {
        let wall = self.reactor.wall_clock();
        let since_epoch = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let into_second = Duration::from_nanos(u64::from(since_epoch.subsec_nanos()));
        self.prepared_until.set(self.reactor.now() + (Duration::from_secs(1) - into_second));
        let Prepared { date, ok } = &mut *self.prepared.borrow_mut();
        date.clear();
        // Writing to a Vec does not fail.
        let _ = write!(date, "Date: {}\r\n", HttpDate::from(wall));
        for (content_type, (head, announced)) in ContentType::ALL.into_iter().zip(ok) {
            head.clear();
            write_status_line(head, 200, "OK");
            head.extend_from_slice(date);
            head.extend_from_slice(content_type.line());
            write_content_length(head, *announced);
            head.extend_from_slice(b"\r\n");
        }
    }
}

/// Makes a head that ends with Content-Length announce another length.
#[inline(never)]
fn change_length(head: &mut Vec<u8>, length: u64) {
    let line = head.iter().rposition(|byte| *byte == b':').map_or(0, |colon| colon - b"Content-Length".len());
    head.truncate(line);
    write_content_length(head, length);
    head.extend_from_slice(b"\r\n");
}
