//! Sends that leave in the next turn, in the entry into the kernel that the turn makes anyway.
//!
//! # States of a queued send
//!
//! | state | entered by | memory | left by |
//! |---|---|---|---|
//! | queued | [`SendQueue::push`] | the queue's | the next turn; or its socket is closed: never offered |
//! | offered | the turn enters the kernel | the queue's, read by the kernel | that entry returns |
//! | sent | all of it was taken | the queue's | [`SendQueue::take_sent`] |
//! | refused | some or all of it was not taken, or the connection failed | the queue's | the same, with the result |
//!
//! An offer never waits for room, so when the entry that offered it has returned the kernel has read what it took. Should
//! that entry sleep, for there was nothing else to do, what was offered is kept until it wakes: no more than was queued for
//! one turn.
//!
//! A turn offers all that is queued and knows every result before it tells of anything else, by a first completion,
//! [`Outcome::Sent`]. So whoever takes the results then can put what is left of a refused payload in front of what is
//! sent on that stream later. Until then nothing else may be sent on it, nor its sending side be shut down.

use std::io;

use crate::op::{Completion, Key, Outcome, Token};
use crate::payload::Payload;
use crate::socket::Socket;

/// The sends of a driver's next turn, and what became of those of the latest.
#[derive(Debug)]
pub struct SendQueue {
    token: Token,
    queued: SendBatch,
    offered: SendBatch,
}

/// Sends that were offered together.
#[derive(Debug, Default)]
pub struct SendBatch {
    sends: Vec<Send>,
    /// Those of which not all was taken, by their place among `sends`.
    refused: Vec<(usize, io::Result<usize>)>,
}

#[derive(Debug)]
struct Send {
    socket: Socket,
    payload: Payload,
}

/// What closed sockets are replaced by: every call on it is refused.
const NO_SOCKET: Socket = Socket::from_raw(-1);

impl SendQueue {
    pub(crate) fn new() -> Self {
        Self { token: Token(0), queued: SendBatch::default(), offered: SendBatch::default() }
    }

    /// Queues all that is to be sent on a stream in the next turn. [`Outcome::Sent`] follows in that turn, once for all
    /// that was queued, with the token given last.
    #[inline]
    pub fn push(&mut self, token: Token, socket: Socket, payload: Payload) {
        self.token = token;
        self.queued.sends.push(Send { socket, payload });
    }

    /// Exchanges `batch`, for its memory, with what the latest turn offered.
    pub fn take_sent(&mut self, batch: &mut SendBatch) {
        batch.clear();
        std::mem::swap(batch, &mut self.offered);
    }

    /// True when nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.queued.sends.is_empty()
    }

    /// How many are queued.
    pub(crate) fn len(&self) -> usize {
        self.queued.sends.len()
    }

    /// A socket is closed: what is queued for it must not reach the next one of its number.
    pub(crate) fn forget(&mut self, socket: Socket) {
        for send in self.queued.sends.iter_mut().filter(|send| send.socket == socket) {
            send.socket = NO_SOCKET;
        }
    }

    /// Socket and bytes of each queued send, from the one at `start` on.
    pub(crate) fn queued_from(&self, start: usize) -> impl Iterator<Item = (Socket, &[u8])> {
        self.queued.sends[start..].iter().map(|send| (send.socket, send.payload.as_slice()))
    }

    /// Notes what became of a queued send of which not all was taken.
    ///
    /// # Panics
    /// When there is none at this place: the driver is broken.
    pub(crate) fn refuse(&mut self, place: usize, result: io::Result<usize>) {
        assert!(place < self.queued.sends.len(), "a result for a send that was not queued");
        self.queued.refused.push((place, result));
    }

    /// All that is queued was offered: tells of it, before what was told since `completions` were `before` many. Returns
    /// how many bytes were taken.
    pub(crate) fn conclude(&mut self, completions: &mut Vec<Completion>, before: usize) -> u64 {
        let bytes = self.queued.taken();
        self.offered.clear();
        std::mem::swap(&mut self.queued, &mut self.offered);
        let (token, key) = (self.token, Key::NONE);
        completions.insert(before, Completion { token, key, outcome: Outcome::Sent, last: true });
        bytes
    }
}

impl SendBatch {
    /// Takes the payloads out, in the order in which they were queued, with what became of those of which not all was
    /// taken, as [`Driver::try_send`](crate::Driver::try_send) would say it.
    pub fn drain(&mut self) -> impl Iterator<Item = (Payload, Option<io::Result<usize>>)> {
        self.refused.sort_unstable_by_key(|(place, _)| *place);
        let mut refused = self.refused.drain(..).peekable();
        self.sends.drain(..).enumerate().map(move |(place, send)| {
            let result = refused.next_if(|(at, _)| *at == place).map(|(_, result)| result);
            (send.payload, result)
        })
    }

    fn clear(&mut self) {
        self.sends.clear();
        self.refused.clear();
    }

    fn taken(&self) -> u64 {
        let mut bytes: usize = self.sends.iter().map(|send| send.payload.len()).sum();
        for (place, result) in &self.refused {
            bytes -= self.sends[*place].payload.len() - result.as_ref().copied().unwrap_or(0);
        }
        bytes as u64
    }
}
