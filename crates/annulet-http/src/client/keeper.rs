//! The task that closes idle connections: those the peer ended, those that sent what nobody asked for, and the old ones.
//!
//! One for each client, woken by any idle connection. It has a timer only while there is something to grow old, and a
//! connection that goes idle sets none: the timer of one before it comes first.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use annulet_runtime::time::{Sleep, sleep_until};

use super::pool::Pool;

/// Keeps the pool for as long as there is one.
pub(super) async fn keep(pool: Weak<Pool>) {
    let mut timer = None;
    poll_fn(|cx| match pool.upgrade() {
        Some(pool) => poll(&pool, &mut timer, cx),
        None => Poll::Ready(()),
    })
    .await;
}

fn poll(pool: &Rc<Pool>, timer: &mut Option<Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        let next = pool.sweep(cx);
        if timer.as_mut().is_some_and(|timer| Pin::new(timer).poll(cx).is_pending()) {
            break;
        }
        *timer = next.map(sleep_until);
        if timer.is_none() {
            break;
        }
    }
    let mut keeper = pool.keeper.borrow_mut();
    keeper.waker = Some(cx.waker().clone());
    keeper.has_timer = timer.is_some();
    Poll::Pending
}
