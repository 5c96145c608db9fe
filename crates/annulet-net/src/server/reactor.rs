//! A server's listener on one reactor: its accept loop, and its part in the drain.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use annulet_driver::{Address, Socket, SocketOption};
use annulet_runtime::{Reactor, Source};

use super::DrainReport;
use super::builder::ServiceFactory;
use super::claim::Claim;
use super::control::{Control, Phase};
use super::handler::Service;
use crate::acceptor::AcceptorHandle;
use crate::group::{ConnectionBudget, Group, ListenerId};
use crate::options::{Clocks, Limits};
use crate::stream::{Local, Stream};

/// A bound listener, as every reactor gets it.
#[derive(Clone)]
pub(crate) struct Bound {
    pub(crate) listener: ListenerId,
    pub(crate) address: Address,
    pub(crate) limits: Limits,
    pub(crate) clocks: Clocks,
    pub(crate) budget: Arc<ConnectionBudget>,
    pub(crate) control: Arc<Control>,
    pub(crate) claim: Option<Arc<Claim>>,
    pub(crate) factory: ServiceFactory,
}

/// Accepts from `socket` on this reactor as soon as the server has started.
///
/// # Errors
/// When making the handler panics.
pub(crate) fn start(reactor: &Reactor, mut bound: Bound, socket: Socket) -> io::Result<()> {
    let made = catch_unwind(AssertUnwindSafe(|| (bound.factory)(reactor, bound.clocks)));
    let Ok((service, clocks)) = made else {
        reactor.driver(|driver| driver.close(socket));
        bound.control.leave(DrainReport::default());
        return Err(io::Error::other("making the handler panicked"));
    };
    let listener = Listener {
        local: Local::of(reactor),
        group: Group::new(
            bound.limits,
            clocks,
            Some((bound.listener, bound.address.clone())),
            Some(bound.budget.clone()),
        ),
        service,
        acceptor: AcceptorHandle::new(&Local::of(reactor), socket),
        claim: Cell::new(bound.claim.take()),
        opened: Cell::new(0),
        bound,
    };
    reactor.spawn_detached(listener.run());
    Ok(())
}

struct Listener {
    local: Rc<Local>,
    group: Rc<Group>,
    service: Rc<dyn Service>,
    acceptor: AcceptorHandle,
    /// For as long as the socket is open.
    claim: Cell<Option<Arc<Claim>>>,
    /// Connections taken up so far.
    opened: Cell<u64>,
    bound: Bound,
}

impl Listener {
    async fn run(self) {
        let mut ended = Ended { control: &self.bound.control, report: DrainReport::default() };
        if poll_fn(|cx| self.bound.control.poll_started(cx)).await {
            self.serve().await;
            ended.report = self.drain().await;
        }
        // Else somewhere a listener could not be had, and whoever waits in the accept queue is reset with the socket: an
        // orderly end would be an answer.
    }

    /// Accepts until the server drains.
    async fn serve(&self) {
        poll_fn(|cx| {
            if self.bound.control.poll_phase(Phase::Draining, cx).is_ready() {
                return Poll::Ready(());
            }
            self.poll_accept_all(cx)
        })
        .await;
    }

    /// Tells every connection, takes over what waits in the accept queue, and waits until all have ended, or resets what is
    /// left when the server says so.
    async fn drain(&self) -> DrainReport {
        let before = self.group.live() as u64;
        let opened = self.opened.get();
        self.group.start_drain(&self.local.reactor);
        self.acceptor.stop();
        let is_cut = poll_fn(|cx| self.poll_drained(cx)).await;
        let connections = before + self.opened.get() - opened;
        if !is_cut {
            return DrainReport { connections, cut: 0 };
        }
        let cut = self.cut_connections().await;
        let left_out = self.cut_accept_queue().await;
        self.local.counters.connections_cut.add(cut + left_out);
        DrainReport { connections: connections + left_out, cut: cut + left_out }
    }

    /// Ready when every connection has ended, or with true when the rest is to be cut.
    fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.poll_accept_all(cx).is_ready() {
            drop(self.claim.take());
            if self.group.poll_empty(cx).is_ready() {
                return Poll::Ready(false);
            }
        }
        self.bound.control.poll_phase(Phase::Cut, cx).map(|()| true)
    }

    /// Ends what is left. Returns how many connections were reset for it.
    async fn cut_connections(&self) -> u64 {
        let cut = self.group.cut(&self.local.reactor);
        poll_fn(|cx| self.group.poll_empty(cx)).await;
        cut
    }

    /// Resets who still waits to be accepted: for want of descriptors, or because there was no drain before the cut. Returns
    /// how many that were.
    async fn cut_accept_queue(&self) -> u64 {
        let mut cut = 0;
        // The connections that were cut have made room, as does each of these in turn.
        let mut has_room = true;
        poll_fn(|cx| {
            loop {
                match self.acceptor.poll_accept(cx) {
                    Poll::Ready(Ok(Some(socket))) => {
                        self.reset(socket);
                        cut += 1;
                        has_room = true;
                    }
                    Poll::Ready(Ok(None)) => return Poll::Ready(()),
                    Poll::Ready(Err(_)) => {}
                    Poll::Pending if !self.acceptor.is_paused() => return Poll::Pending,
                    Poll::Pending if has_room => {
                        has_room = false;
                        self.acceptor.retry();
                    }
                    Poll::Pending => {
                        tracing::warn!(address = %self.bound.address, "clients still wait to be accepted, and there is no descriptor to count them with");
                        return Poll::Ready(());
                    }
                }
            }
        })
        .await;
        cut
    }

    /// Ends a connection that was never taken up.
    fn reset(&self, socket: Socket) {
        self.local.counters.resets_sent.increment();
        self.local.reactor.driver(|driver| {
            // Fails only on a socket that is beyond resetting.
            let _ = driver.sockets().set_option(socket, SocketOption::ResetOnClose(true));
            driver.close(socket);
        });
    }

    /// Takes every connection there is; ready when the acceptor has stopped.
    fn poll_accept_all(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.acceptor.poll_accept(cx) {
                Poll::Ready(Ok(Some(socket))) => self.take_up(socket),
                Poll::Ready(Ok(None)) => return Poll::Ready(()),
                Poll::Ready(Err(error)) => {
                    tracing::error!(address = %self.bound.address, %error, "accepting failed; trying again");
                    self.acceptor.pause();
                }
                Poll::Pending if self.acceptor.is_paused() && self.group.take_closed() => {
                    self.acceptor.retry()
                }
                Poll::Pending => break,
            }
        }
        if self.acceptor.is_paused() {
            self.group.wake_on_close(cx.waker());
        }
        Poll::Pending
    }

    fn take_up(&self, socket: Socket) {
        if !self.bound.budget.try_take() {
            self.local.counters.refused_over_limit.increment();
            self.local.reactor.driver(|driver| driver.close(socket));
            return;
        }
        self.opened.set(self.opened.get() + 1);
        let draining = self.group.is_draining();
        let stream = Stream::open(&self.local, &self.group, socket, !draining);
        if draining {
            stream.clone().review(&self.local.reactor);
        }
        tracing::debug!(connection = stream.number, listener = %self.bound.address, "accepted");
        self.service.clone().spawn(&self.local.reactor, stream);
    }
}

/// Reports the listener's end, however it comes: a runtime that ends drops the task.
struct Ended<'a> {
    control: &'a Control,
    report: DrainReport,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.control.leave(self.report);
    }
}
