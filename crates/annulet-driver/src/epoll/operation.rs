//! Submission, cancellation and the last completion of operations.

use std::io;

use super::EpollDriver;
use super::table::{Flag, Side};
use crate::kernel::{Calls, Kernel, Polling, SignalNotes};
use crate::op::{Completion, Key, Op, Outcome, Token};
use crate::signals;
use crate::socket::{Address, Socket};
use crate::sys::epoll::{READ_CLOSED, READABLE, WRITABLE};

/// An operation in flight.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) token: Token,
    /// For `Signal` one that does not exist.
    pub(super) socket: Socket,
    pub(super) kind: Kind,
    /// Its end is known and waits to be told.
    pub(super) has_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Accept,
    Receive,
    Writable,
    Connect,
    Signal,
}

/// How an operation ended between two turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Cancelled,
    Connected,
    Writable,
    /// With this errno.
    Failed(i32),
}

impl Kind {
    pub(super) fn side(self) -> Side {
        match self {
            Self::Accept | Self::Receive | Self::Signal => Side::Read,
            Self::Writable | Self::Connect => Side::Write,
        }
    }
}

impl Ending {
    pub(super) fn of(error: &io::Error) -> Self {
        // What has no errno was refused before it reached the kernel: an address it could not have taken.
        Self::Failed(error.raw_os_error().unwrap_or(libc::EINVAL))
    }
}

impl<K: Kernel> EpollDriver<K> {
    pub(super) fn start(&mut self, token: Token, op: Op) -> Key {
        match op {
            Op::Accept { listener } => self.start_reading(token, listener, Kind::Accept),
            Op::Receive { socket } => self.start_reading(token, socket, Kind::Receive),
            Op::Writable { socket } => self.start_waiting_for_room(token, socket),
            Op::Connect { socket, address } => self.start_connecting(token, socket, &address),
            Op::Signal { signals } => self.start_watching_signals(token, &signals),
        }
    }

    fn start_reading(&mut self, token: Token, socket: Socket, kind: Kind) -> Key {
        let key = self.occupy(token, socket, kind);
        let watched = self.sockets.table.enter(socket);
        if watched.is(Flag::READABLE) {
            // An edge came while nobody wanted it.
            self.put_on_ready_list(socket);
        } else if !watched.is(Flag::WATCHED) {
            self.watch(key, socket, READABLE | READ_CLOSED);
        }
        key
    }

    fn start_waiting_for_room(&mut self, token: Token, socket: Socket) -> Key {
        let key = self.occupy(token, socket, Kind::Writable);
        let watched = self.sockets.table.enter(socket);
        if watched.is(Flag::ROOM) || watched.is(Flag::DEAD) {
            self.end(key, Ending::Writable);
        } else {
            // Also when room is watched for already: should the edge be lost, or come before its time, the connection
            // would wait for ever.
            self.watch(key, socket, READABLE | READ_CLOSED | WRITABLE);
        }
        key
    }

    fn start_connecting(&mut self, token: Token, socket: Socket, address: &Address) -> Key {
        let key = self.occupy(token, socket, Kind::Connect);
        match self.sockets.kernel.connect(socket, address) {
            Ok(()) => self.end(key, Ending::Connected),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                // Only now: a socket that was never connected reports that it is closed (poll of TCP_CLOSE).
                self.sockets.table.enter(socket).reset_sight();
                self.watch(key, socket, READABLE | READ_CLOSED | WRITABLE);
            }
            Err(error) => self.end(key, Ending::of(&error)),
        }
        key
    }

    fn start_watching_signals(&mut self, token: Token, numbers: &[i32]) -> Key {
        let operation =
            Operation { token, socket: Socket::from_raw(-1), kind: Kind::Signal, has_ended: false };
        let key = self.operations.insert(operation);
        match self.kernel.signals(numbers, &self.wake) {
            Ok(watch) => self.signals.push((key, watch)),
            Err(error) => self.end(key, Ending::of(&error)),
        }
        key
    }

    /// Gives an operation a slot and its side of the socket.
    fn occupy(&mut self, token: Token, socket: Socket, kind: Kind) -> Key {
        let watched = self.sockets.table.enter(socket);
        assert!(watched.slot(kind.side()).is_none(), "{socket:?} has an operation like {kind:?} already");
        let key = self.operations.insert(Operation { token, socket, kind, has_ended: false });
        watched.set_slot(kind.side(), Some(key.slot));
        key
    }

    fn watch(&mut self, key: Key, socket: Socket, interest: u32) {
        let (descriptor, data) = (socket.as_raw(), self.sockets.table.place(socket).to_bits());
        let result = if self.sockets.table.enter(socket).is(Flag::WATCHED) {
            self.poller.watch_again(descriptor, interest, data)
        } else {
            self.poller.watch(descriptor, interest, data)
        };
        match result {
            Ok(()) => self.sockets.table.enter(socket).set(Flag::WATCHED),
            Err(error) => self.end(key, Ending::of(&error)),
        }
    }

    pub(super) fn stop(&mut self, key: Key) {
        self.end(key, Ending::Cancelled);
    }

    /// Frees the operation's side of the socket and has the next turn tell its end. A second end is ignored.
    fn end(&mut self, key: Key, ending: Ending) {
        let Some(operation) = self.operations.get_mut(key) else { return };
        if std::mem::replace(&mut operation.has_ended, true) {
            return;
        }
        let (socket, side) = (operation.socket, operation.kind.side());
        if let Some(watched) = self.sockets.table.get(socket) {
            watched.set_slot(side, None);
        }
        self.ended.push((key, ending));
    }

    /// Delivers the last completions of what ended between the turns.
    pub(super) fn tell_ended(&mut self, completions: &mut Vec<Completion>) {
        for (key, ending) in self.ended.drain(..) {
            let operation = self.operations.remove(key).expect("an operation stays until its end is told");
            let token = operation.token;
            if operation.kind == Kind::Signal
                && let Some(index) = self.signals.iter().position(|(of, _)| *of == key)
            {
                // What arrived before the cancellation is not lost: the signal had no other effect.
                let (_, watch) = self.signals.swap_remove(index);
                completions.extend(signals::numbers(watch.take()).map(|number| Completion {
                    token,
                    key,
                    outcome: Outcome::Signal(number),
                    last: false,
                }));
            }
            let outcome = match ending {
                Ending::Cancelled => Outcome::Cancelled,
                Ending::Connected => Outcome::Connected,
                Ending::Writable => Outcome::Writable,
                Ending::Failed(errno) => Outcome::Failed(io::Error::from_raw_os_error(errno)),
            };
            completions.push(Completion { token, key, outcome, last: true });
        }
    }

    /// Ends an operation within a turn.
    pub(super) fn finish(&mut self, key: Key, outcome: Outcome, completions: &mut Vec<Completion>) {
        let operation = self.operations.remove(key).expect("only operations in flight finish");
        debug_assert!(!operation.has_ended, "an ended operation has left its side of the socket");
        if let Some(watched) = self.sockets.table.get(operation.socket) {
            watched.set_slot(operation.kind.side(), None);
        }
        completions.push(Completion { token: operation.token, key, outcome, last: true });
    }
}
