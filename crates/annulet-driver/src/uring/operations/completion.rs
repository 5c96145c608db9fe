//! What completions do to operations.

use std::io;
use std::os::fd::AsRawFd;

use io_uring::cqueue;

use super::Operations;
use super::operation::{Kind, Next, Operation, Progress, after_accept, after_receive};
use crate::kernel::{Calls, Kernel, RoomWatch, SignalNotes};
use crate::op::{Completion, Key, Outcome};
use crate::signals;
use crate::uring::{buffer_ring, entry};

impl<K: Kernel> Operations<K> {
    /// Takes the signals that arrived.
    pub(in crate::uring) fn deliver_signals(&mut self, completions: &mut Vec<Completion>) {
        for &key in &self.signals {
            if let Some(Operation { token, kind: Kind::Signal(watch) }) = self.table.get(key) {
                let numbers = signals::numbers(watch.take());
                completions.extend(numbers.map(|number| super::signal(*token, key, number)));
            }
        }
    }

    /// What a completion queue entry means.
    pub(in crate::uring) fn complete(&mut self, cqe: &cqueue::Entry, completions: &mut Vec<Completion>) {
        let key = Key::from_bits(cqe.user_data());
        let (result, flags) = (cqe.result(), cqe.flags());
        let Some(operation) = self.table.get(key) else {
            return self.complete_other(key, result, flags, completions);
        };
        let token = operation.token;
        match operation.kind {
            Kind::Receive { socket, progress, single } => {
                let mut say = |outcome, last| completions.push(Completion { token, key, outcome, last });
                let has_ended = !cqueue::more(flags);
                if result > 0 {
                    let buffer =
                        buffer_ring::buffer(flags).expect("what is received is in a buffer of the group");
                    self.counters.bytes_received.add(result as u64);
                    let chunk = self.pool.deliver(buffer, result as usize);
                    chunk.note_origin(|| self.sockets.story(socket));
                    say(Outcome::Received(chunk), false);
                } else if let Some(buffer) = buffer_ring::buffer(flags) {
                    self.pool.put_back(buffer);
                }
                if !has_ended {
                    return;
                }
                match after_receive(result, progress) {
                    Next::Rearm => {
                        self.counters.rearms.increment();
                        self.arm_receive(key, socket, single);
                    }
                    Next::Park => self.park(key),
                    Next::Done(outcome) => {
                        say(outcome, true);
                        self.table.remove(key);
                    }
                }
            }
            Kind::Accept { listener, progress } => {
                let mut say = |outcome, last| completions.push(Completion { token, key, outcome, last });
                if result >= 0 {
                    say(Outcome::Accepted(self.sockets.accepted(result)), false);
                }
                if cqueue::more(flags) {
                    return;
                }
                match after_accept(result, progress) {
                    Next::Done(outcome) => {
                        say(outcome, true);
                        self.table.remove(key);
                    }
                    _ => {
                        self.counters.rearms.increment();
                        self.arm_accept(key, listener);
                    }
                }
            }
            Kind::Connect { progress, .. } => {
                let outcome = match -result {
                    0 => Outcome::Connected,
                    libc::ECANCELED | libc::EINTR if progress == Progress::Ending => Outcome::Cancelled,
                    error => Outcome::Failed(io::Error::from_raw_os_error(error)),
                };
                completions.push(Completion { token, key, outcome, last: true });
                self.table.remove(key);
            }
            Kind::Writable { .. } | Kind::Signal(_) => self.stale(flags),
        }
    }

    /// A completion of one of the driver's own operations, or of a slot's former tenant.
    #[inline(never)]
    fn complete_other(&mut self, key: Key, result: i32, flags: u32, completions: &mut Vec<Completion>) {
        let has_ended = !cqueue::more(flags);
        match key {
            entry::WAKE => {
                if result >= 0 {
                    self.counters.unparks.increment();
                }
                if has_ended && !self.is_closing {
                    self.staged.push_back(entry::poll(entry::WAKE, self.wake.as_raw_fd()));
                }
            }
            entry::WATCH => {
                let Some(watch) = &mut self.watch else { return };
                let table = &mut self.table;
                watch.take(|key| {
                    if matches!(table.get(key), Some(Operation { kind: Kind::Writable { .. }, .. }))
                        && let Some(Operation { token, .. }) = table.remove(key)
                    {
                        completions.push(Completion { token, key, outcome: Outcome::Writable, last: true });
                    }
                });
                if has_ended && !self.is_closing {
                    self.staged.push_back(entry::poll(entry::WATCH, watch.as_raw_fd()));
                }
            }
            entry::CANCEL => {}
            Key { slot: entry::SEND, generation } => self.refused(generation as usize, result),
            _ => self.stale(flags),
        }
    }

    /// A queued send was not taken, or only in part: the others say nothing.
    #[cold]
    fn refused(&mut self, place: usize, result: i32) {
        let result = match -result {
            libc::EAGAIN | libc::EINTR => Err(io::ErrorKind::WouldBlock.into()),
            error if error > 0 => Err(io::Error::from_raw_os_error(error)),
            _ => Ok(result as usize),
        };
        self.sends.as_mut().expect("it was queued").refuse(place, result);
    }

    fn stale(&mut self, flags: u32) {
        self.counters.stale_completions.increment();
        if let Some(buffer) = buffer_ring::buffer(flags) {
            self.pool.put_back(buffer);
        }
    }
}
