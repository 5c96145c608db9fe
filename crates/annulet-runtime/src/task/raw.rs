//! A task in memory: a header, its future, and who may touch which of them.
//!
//! A task belongs to the reactor it was spawned on, its *home*, and is polled nowhere else. Other threads hold only
//! wakers. The usual wake-up, by the home itself, is therefore a look at a plain byte; only what other threads do costs
//! atomic operations.
//!
//! # States, of concern to the home alone
//!
//! | state | means | in the ready list | left by |
//! |---|---|---|---|
//! | `Waiting` | | no | a wake-up: `Queued` |
//! | `Queued` | | yes | its turn: `Running`; its entry dropped: `Done` |
//! | `Running` | | no | a wake-up: `Woken`; pending: `Waiting`; else `Done` |
//! | `Woken` | running, and woken meanwhile | no | pending: `Queued`; else `Done` |
//! | `Done` | the future is gone | no | |
//!
//! # Invariants
//!
//! - **T1** Everything in a task but `vtable`, `home` and `shared` is touched on the home's thread only:
//!   where the home runs ([`context::is_running`]), with a `&Core` of the home at hand, or by the owner of a [`Ready`]. None
//!   of these can leave the thread. What frees a task, on any thread, finds nothing left in it but `home`.
//! - **T2** The future and `core` are there until `Done` is set; `finish`, which sets it, drops both, once. In between, a
//!   wake-up sees `Done` and touches neither.
//! - **T3** A task is freed with its last reference. Every waker has one (but for the one in `run`, which borrows the
//!   home's), so has an entry of an inbox, and the home has one until the end of `finish`.
//! - **T4** There is at most one [`Ready`] of a task: while it is `Queued`, or in the hands of `run` or `finish`. The home's
//!   [`ReadyList`] owns those whose tasks are linked into it.
//!
//! Whose a task is, is told by the address of its inbox: a task keeps that alive, so no other reactor can get it.

use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use crate::contain::contain;
use crate::context;
use crate::inbox::Inbox;
use crate::origin::{Caller, Origin};
use crate::reactor::Core;
use crate::task::shared::Shared;

struct Header {
    vtable: &'static VTable,
    home: Arc<Inbox>,
    core: UnsafeCell<ManuallyDrop<Rc<Core>>>,
    shared: Shared,
    state: Cell<State>,
    /// The one behind it in the ready list.
    next_ready: Cell<Option<Pointer>>,
    /// Neighbours in the home's list of tasks.
    previous: Cell<Option<Pointer>>,
    next: Cell<Option<Pointer>>,
    spawned: Caller,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Queued,
    Running,
    Woken,
    Done,
}

/// How a poll ended.
enum Polled {
    Pending,
    Ready,
    Panicked,
}

/// What depends on the future's type.
struct VTable {
    /// # Safety
    /// On the home's thread, with the future in place (T1, T2).
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Polled,
    /// Drops the future in place. False when its destructor panicked.
    ///
    /// # Safety
    /// As above; afterwards it is gone.
    drop_future: unsafe fn(NonNull<Header>) -> bool,
    /// # Safety
    /// Without any reference left, after `Done`.
    free: unsafe fn(NonNull<Header>),
}

/// The header comes first, so that a pointer to it is one to the task.
#[repr(C)]
struct Task<F> {
    header: Header,
    future: UnsafeCell<ManuallyDrop<F>>,
}

impl<F: Future<Output = ()>> Task<F> {
    const VTABLE: VTable = VTable { poll: Self::poll, drop_future: Self::drop_future, free: Self::free };

    unsafe fn poll(task: NonNull<Header>, cx: &mut Context<'_>) -> Polled {
        // SAFETY: made by `spawn` as a `Task<F>`; the caller is on the home's thread, where nobody else has a reference
        // to the future (T1: a task is not polled from within its own poll, for it has no `Ready` then).
        let future: &mut F = unsafe { &mut *task.cast::<Self>().as_ref().future.get() };
        // SAFETY: the future stays where it is until it is dropped in place.
        let future = unsafe { Pin::new_unchecked(future) };
        match contain(|| future.poll(cx)) {
            Some(Poll::Pending) => Polled::Pending,
            Some(Poll::Ready(())) => Polled::Ready,
            None => Polled::Panicked,
        }
    }

    unsafe fn drop_future(task: NonNull<Header>) -> bool {
        // SAFETY: as in `poll`.
        let future = unsafe { &mut *task.cast::<Self>().as_ref().future.get() };
        // SAFETY: it is there (T2), and the caller sees to it that this is the only time.
        contain(|| unsafe { ManuallyDrop::drop(future) }).is_some()
    }

    unsafe fn free(task: NonNull<Header>) {
        // SAFETY: `spawn` made it from a box, and the caller has the last pointer to it.
        drop(unsafe { Box::from_raw(task.cast::<Self>().as_ptr()) });
    }
}

/// Makes a task of `future` and puts it on the ready list. A home that has ended drops the future at once.
#[cfg_attr(debug_assertions, track_caller)]
pub(super) fn spawn<F: Future<Output = ()> + 'static>(core: &Rc<Core>, future: F) {
    spawn_task(core, future);
}

/// [`spawn`], with a waker of the new task.
#[cfg_attr(debug_assertions, track_caller)]
pub(super) fn spawn_woken<F: Future<Output = ()> + 'static>(core: &Rc<Core>, future: F) -> Waker {
    match spawn_task(core, future) {
        // SAFETY: T3: the task was not run yet.
        Some(task) => unsafe { task.share() }.into_waker(),
        None => Waker::noop().clone(),
    }
}

#[cfg_attr(debug_assertions, track_caller)]
fn spawn_task<F: Future<Output = ()> + 'static>(core: &Rc<Core>, future: F) -> Option<Pointer> {
    if core.is_ended() {
        return None;
    }
    let task = Box::new(Task {
        header: Header {
            vtable: &Task::<F>::VTABLE,
            home: core.inbox().clone(),
            core: UnsafeCell::new(ManuallyDrop::new(core.clone())),
            shared: Shared::new(),
            state: Cell::new(State::Queued),
            next_ready: Cell::new(None),
            previous: Cell::new(None),
            next: Cell::new(None),
            spawned: Caller::here(),
        },
        future: UnsafeCell::new(ManuallyDrop::new(future)),
    });
    let task = Pointer(NonNull::from(Box::leak(task)).cast());
    core.counters().tasks_spawned.increment();
    core.counters().tasks_live.add(1);
    core.tasks.borrow_mut().link(task);
    core.ready.push(Ready(task));
    Some(task)
}

/// A pointer to a task; who has one sees to it that the task is there.
#[derive(Clone, Copy)]
struct Pointer(NonNull<Header>);

impl Pointer {
    /// # Safety
    /// The task is there for as long as the result is used.
    #[inline]
    unsafe fn header<'a>(self) -> &'a Header {
        // SAFETY: the caller's promise.
        unsafe { self.0.as_ref() }
    }

    /// # Safety
    /// The task is there.
    #[inline]
    unsafe fn wake(self) {
        // SAFETY: the caller's promise.
        let header = unsafe { self.header() };
        if context::is_running(&header.home) {
            // SAFETY: likewise; this is the home's thread.
            unsafe { self.wake_at_home() };
        } else {
            // SAFETY: likewise.
            unsafe { self.wake_from_elsewhere() };
        }
    }

    /// # Safety
    /// The task is there, and this is its home's thread.
    #[inline]
    unsafe fn wake_at_home(self) {
        // SAFETY: the caller's promise.
        let header = unsafe { self.header() };
        let state = header.state.get();
        if state == State::Waiting {
            header.state.set(State::Queued);
            // SAFETY: T1, T2: the task is not done.
            let core = unsafe { &*header.core.get() };
            core.ready.push(Ready(self));
        } else if state == State::Running {
            header.state.set(State::Woken);
        }
    }

    /// # Safety
    /// The task is there.
    #[cold]
    unsafe fn wake_from_elsewhere(self) {
        // SAFETY: the caller's promise.
        let header = unsafe { self.header() };
        if header.shared.depart() {
            // SAFETY: likewise.
            header.home.push_task(unsafe { self.share() });
        }
    }

    /// # Safety
    /// The task is there.
    unsafe fn share(self) -> TaskRef {
        // SAFETY: the caller's promise.
        unsafe { self.header() }.shared.share();
        TaskRef(self)
    }
}

/// A task that is to be run. Dropped instead, it ends the task: the future is dropped.
pub(crate) struct Ready(Pointer);

impl Ready {
    /// Polls the task.
    #[inline]
    pub(crate) fn run(self) {
        // SAFETY: T3, T4: the task is not done, so its home keeps it, until `finish` at the earliest.
        let header = unsafe { self.0.header() };
        header.state.set(State::Running);
        // SAFETY: never dropped: it borrows the reference that the home has.
        let waker = ManuallyDrop::new(unsafe { Waker::from_raw(raw_waker(self.0)) });
        // SAFETY: T1: `Ready` does not leave the home's thread; T2: the task is not done.
        let polled = unsafe { (header.vtable.poll)(self.0.0, &mut Context::from_waker(&waker)) };
        match polled {
            Polled::Pending if header.state.get() == State::Running => {
                header.state.set(State::Waiting);
                std::mem::forget(self);
            }
            Polled::Pending => {
                // SAFETY: T1, T2: the task is not done.
                let core = unsafe { &*header.core.get() };
                if core.is_ended() {
                    // It ended its own reactor, which woke it to be rid of it.
                    return self.finish(false);
                }
                header.state.set(State::Queued);
                core.ready.push(self);
            }
            Polled::Ready => self.finish(false),
            Polled::Panicked => self.finish(true),
        }
    }

    /// Drops the future and what the home holds of the task.
    #[inline(never)]
    fn finish(self, has_panicked: bool) {
        let task = ManuallyDrop::new(self).0;
        // SAFETY: T3: the home's reference is given up below, at the end.
        let header = unsafe { task.header() };
        header.state.set(State::Done);
        // SAFETY: T1; T2: the state was another until now, so this is the only time.
        let was_dropped = unsafe { (header.vtable.drop_future)(task.0) };
        // SAFETY: likewise.
        let core = unsafe { ManuallyDrop::into_inner(header.core.get().read()) };
        core.tasks.borrow_mut().unlink(header);
        core.counters().tasks_live.subtract(1);
        if has_panicked || !was_dropped {
            core.counters().tasks_panicked.increment();
        }
        drop(TaskRef(task));
    }
}

impl Drop for Ready {
    #[cold]
    fn drop(&mut self) {
        Self(self.0).finish(false);
    }
}

/// A counted reference to a task, for any thread.
pub(crate) struct TaskRef(Pointer);

// SAFETY: T1: what a reference gives access to elsewhere is atomic, immutable or itself `Sync`; and whoever frees a task
// drops nothing else with it that is not, for the rest is gone by then (T2, T3).
unsafe impl Send for TaskRef {}
// SAFETY: likewise.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// Takes in a wake-up by another thread.
    pub(crate) fn arrive(self, core: &Core) {
        // SAFETY: T3.
        let header = unsafe { self.0.header() };
        assert!(Arc::ptr_eq(&header.home, core.inbox()), "a task arrives at its home");
        header.shared.arrive();
        // SAFETY: T3; `core` is the home's.
        unsafe { self.0.wake_at_home() };
    }

    fn into_waker(self) -> Waker {
        // SAFETY: the waker takes over the reference.
        unsafe { Waker::from_raw(raw_waker(ManuallyDrop::new(self).0)) }
    }
}

impl Drop for TaskRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: T3.
        let header = unsafe { self.0.header() };
        if header.shared.release() {
            // SAFETY: this was the last one; the home gave its own up only when the task was done (T3).
            unsafe { (header.vtable.free)(self.0.0) };
        }
    }
}

fn raw_waker(task: Pointer) -> RawWaker {
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone_waker, wake, wake_by_ref, drop_waker);
    RawWaker::new(task.0.as_ptr().cast_const().cast(), &VTABLE)
}

unsafe fn clone_waker(task: *const ()) -> RawWaker {
    // SAFETY: a waker has a reference, or borrows one (T3). The clone takes over the new one.
    raw_waker(ManuallyDrop::new(unsafe { pointer(task).share() }).0)
}

unsafe fn wake(task: *const ()) {
    // SAFETY: the reference that the waker had.
    let task = TaskRef(unsafe { pointer(task) });
    // SAFETY: T3.
    unsafe { task.0.wake() };
}

unsafe fn wake_by_ref(task: *const ()) {
    // SAFETY: a waker has a reference, or borrows one (T3).
    unsafe { pointer(task).wake() };
}

unsafe fn drop_waker(task: *const ()) {
    // SAFETY: the reference that the waker had.
    drop(TaskRef(unsafe { pointer(task) }));
}

/// The task behind a waker.
///
/// # Safety
/// `task` is what `raw_waker` was given.
#[inline]
unsafe fn pointer(task: *const ()) -> Pointer {
    // SAFETY: it was a `NonNull` there.
    Pointer(unsafe { NonNull::new_unchecked(task.cast_mut().cast()) })
}

/// The tasks of a reactor that are to be run, in the order in which they were woken. Each of them keeps the reactor, so
/// the list is empty when that goes.
#[derive(Default)]
pub(crate) struct ReadyList {
    first: Cell<Option<Pointer>>,
    last: Cell<Option<Pointer>>,
}

impl ReadyList {
    pub(crate) fn is_empty(&self) -> bool {
        self.first.get().is_none()
    }

    #[inline]
    fn push(&self, task: Ready) {
        let task = ManuallyDrop::new(task).0;
        match self.last.replace(Some(task)) {
            // SAFETY: T4: a task in the list is not done (T3).
            Some(last) => unsafe { last.header() }.next_ready.set(Some(task)),
            None => self.first.set(Some(task)),
        }
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Ready> {
        let first = self.first.get()?;
        // SAFETY: as in `push`.
        let next = unsafe { first.header() }.next_ready.take();
        self.first.set(next);
        if next.is_none() {
            self.last.set(None);
        }
        Some(Ready(first))
    }
}

/// The tasks of a reactor that are not done, newest first.
#[derive(Default)]
pub(crate) struct Tasks {
    first: Option<Pointer>,
    len: usize,
}

impl Tasks {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where each came from, newest first.
    pub(crate) fn origins(&self) -> Vec<Origin> {
        let mut origins = Vec::new();
        let mut next = self.first;
        while let Some(task) = next {
            // SAFETY: T3: what is in the list is not done.
            let header = unsafe { task.header() };
            origins.push(Origin::new("task spawned", header.spawned));
            next = header.next.get();
        }
        origins
    }

    /// Wakes every one. On the home's thread, like everything that has a `Tasks` at hand.
    pub(crate) fn wake_all(&self) {
        let mut next = self.first;
        while let Some(task) = next {
            // SAFETY: T3: what is in the list is not done.
            next = unsafe { task.header() }.next.get();
            // SAFETY: likewise; this is the home's thread.
            unsafe { task.wake_at_home() };
        }
    }

    fn link(&mut self, task: Pointer) {
        // SAFETY: T3, for all in the list and for a new task.
        let header = |task: Pointer| unsafe { task.header() };
        header(task).next.set(self.first);
        if let Some(next) = self.first {
            header(next).previous.set(Some(task));
        }
        self.first = Some(task);
        self.len += 1;
    }

    fn unlink(&mut self, header: &Header) {
        let (previous, next) = (header.previous.take(), header.next.take());
        // SAFETY: T3: neighbours are in the list.
        let header = |task: Pointer| unsafe { task.header() };
        match previous {
            Some(previous) => header(previous).next.set(next),
            None => self.first = next,
        }
        if let Some(next) = next {
            header(next).previous.set(previous);
        }
        self.len -= 1;
    }
}
