//! One direction of a connection: what its sender has handed over, what is under way, what the receiver may read.
//!
//! The bytes lie in one queue from the first unread to the last taken, and counts of bytes since the start of the
//! connection say how far each party has come:
//!
//! ```text
//!      read ≤ arrived ≤ sent ≤ taken          acknowledged ≤ arrived          sent ≤ edge
//!       └─────────────────────┘ in the queue
//!       └ unread ┘└ under way ┘└ waits ┘
//! ```

use std::collections::VecDeque;

use super::random::mix;

/// How far the end of a direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fin {
    /// The sender may send more.
    None,
    /// To be sent after the bytes that wait.
    Waiting,
    Sent,
    Arrived,
    /// And the sender knows.
    Acknowledged,
}

#[derive(Debug)]
pub(super) struct Direction {
    bytes: VecDeque<u8>,
    pub(super) read: u64,
    pub(super) arrived: u64,
    pub(super) sent: u64,
    pub(super) taken: u64,
    /// What the sender knows to have arrived. Only then its room is free again.
    pub(super) acknowledged: u64,
    /// How far the sender may send, as far as it knows.
    pub(super) edge: u64,
    /// How far the receiver said it may.
    pub(super) told: u64,
    pub(super) fin: Fin,
    /// Bytes the sender's buffer holds.
    pub(super) send_max: u64,
    /// Bytes the receiver's buffer holds.
    pub(super) receive_max: u64,
    /// Where a fault will reset the connection.
    pub(super) reset_at: Option<u64>,
    /// There is no way between the ends: what is taken has arrived, and what is read makes room (unix(7)).
    is_instant: bool,
    /// Bytes were given up.
    is_broken: bool,
    sender: Digest,
    receiver: Digest,
}

impl Direction {
    pub(super) fn new(send_max: u32, receive_max: u32) -> Self {
        Self {
            bytes: VecDeque::new(),
            read: 0,
            arrived: 0,
            sent: 0,
            taken: 0,
            acknowledged: 0,
            edge: u64::from(receive_max),
            told: u64::from(receive_max),
            fin: Fin::None,
            send_max: u64::from(send_max),
            receive_max: u64::from(receive_max),
            reset_at: None,
            is_instant: false,
            is_broken: false,
            sender: Digest::default(),
            receiver: Digest::default(),
        }
    }

    /// One within a machine. Only the sender's buffer limits it.
    pub(super) fn instant(send_max: u32) -> Self {
        Self { edge: u64::MAX, told: u64::MAX, is_instant: true, ..Self::new(send_max, 0) }
    }

    /// The receiver's buffer is known.
    pub(super) fn open(&mut self, receive_max: u32) {
        self.receive_max = u64::from(receive_max);
        (self.told, self.edge) = (self.receive_max, self.receive_max);
    }

    /// Bytes the sender's buffer can take.
    pub(super) fn room(&self) -> usize {
        self.send_max.saturating_sub(self.taken - self.acknowledged) as usize
    }

    /// Whether the sender is told that there is room: when a third of its buffer is free, or three quarters of a Unix
    /// socket's (`sk_stream_is_writeable`, `unix_writable`).
    pub(super) fn is_roomy(&self) -> bool {
        let occupied = self.taken - self.acknowledged;
        if self.is_instant { occupied * 4 <= self.send_max } else { occupied * 3 <= self.send_max * 2 }
    }

    /// Bytes the receiver can read now.
    pub(super) fn unread(&self) -> usize {
        (self.arrived - self.read) as usize
    }

    /// Bytes that may be sent now.
    pub(super) fn sendable(&self) -> u64 {
        self.taken.min(self.edge).saturating_sub(self.sent)
    }

    /// Something was sent, or is to be, that the sender does not know to have arrived.
    pub(super) fn is_pending(&self) -> bool {
        self.taken > self.acknowledged || matches!(self.fin, Fin::Waiting | Fin::Sent | Fin::Arrived)
    }

    /// Takes the sender's bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.sender.add(bytes);
        self.bytes.extend(bytes);
        self.taken += bytes.len() as u64;
        if self.is_instant {
            (self.sent, self.arrived) = (self.taken, self.taken);
        }
    }

    /// Gives the receiver what fits, and no more than there is.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> usize {
        let count = self.unread().min(bytes.len());
        let (first, second) = self.bytes.as_slices();
        let cut = first.len().min(count);
        bytes[..cut].copy_from_slice(&first[..cut]);
        bytes[cut..count].copy_from_slice(&second[..count - cut]);
        self.bytes.drain(..count);
        self.receiver.add(&bytes[..count]);
        self.read += count as u64;
        if self.is_instant {
            self.acknowledged = self.read;
        }
        count
    }

    /// How far the sender may send, to be told with the next acknowledgement. Moved only by steps worth a packet, and
    /// never back.
    pub(super) fn next_edge(&self, segment_max: u32) -> u64 {
        let edge = self.read + self.receive_max;
        let step = (self.receive_max / 2).min(u64::from(segment_max)).max(1);
        if edge >= self.told + step { edge } else { self.told }
    }

    /// The sender takes back what it has not sent.
    pub(super) fn drop_unsent(&mut self) {
        self.is_broken |= self.taken > self.sent;
        self.bytes.truncate((self.sent - self.read) as usize);
        self.taken = self.sent;
    }

    /// The receiver goes and reads no more.
    pub(super) fn discard_unread(&mut self) {
        let unread = self.unread();
        self.is_broken |= unread > 0;
        self.bytes.drain(..unread);
        self.read = self.arrived;
        if self.is_instant {
            self.acknowledged = self.read;
        }
    }

    /// What was wrong if the receiver read the end of this direction now.
    pub(super) fn flaw_at_end(&self) -> Option<&'static str> {
        if self.is_broken {
            return Some("reads an end although bytes were given up");
        }
        if self.read != self.taken {
            return Some("reads an end before all bytes sent");
        }
        (self.sender != self.receiver).then_some("reads other bytes than were sent")
    }

    /// What is wrong with the counts.
    pub(super) fn flaw(&self) -> Option<&'static str> {
        if !(self.read <= self.arrived && self.arrived <= self.sent && self.sent <= self.taken) {
            return Some("counts bytes out of order");
        }
        if self.acknowledged > self.arrived {
            return Some("acknowledges bytes that did not arrive");
        }
        if self.bytes.len() as u64 != self.taken - self.read {
            return Some("holds other bytes than it counts");
        }
        if self.sent > self.told || self.edge > self.told {
            return Some("sends more than the receiver has room for");
        }
        if self.fin >= Fin::Arrived && self.arrived != self.taken {
            return Some("ends before its bytes");
        }
        let is_whole = !self.is_broken && self.read == self.taken;
        (is_whole && self.sender != self.receiver).then_some("delivers other bytes than were sent")
    }
}

/// A running hash of bytes, the same however they are cut.
#[derive(Clone, Copy, Debug, Default)]
struct Digest {
    hash: u64,
    /// Up to seven bytes that wait for an eighth.
    partial: u64,
    count: u64,
}

impl Digest {
    fn add(&mut self, bytes: &[u8]) {
        let missing = (8 - self.count as usize % 8) % 8;
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        let words = rest.chunks_exact(8);
        let tail = words.remainder();
        self.add_bytes(head);
        for word in words {
            self.add_word(u64::from_le_bytes(word.try_into().expect("eight bytes")));
            self.count += 8;
        }
        self.add_bytes(tail);
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.partial |= u64::from(*byte) << (self.count % 8 * 8);
            self.count += 1;
            if self.count.is_multiple_of(8) {
                let word = std::mem::take(&mut self.partial);
                self.add_word(word);
            }
        }
    }

    fn add_word(&mut self, word: u64) {
        self.hash = mix(self.hash.rotate_left(1) ^ word);
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        (self.hash, self.partial, self.count) == (other.hash, other.partial, other.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_the_bytes_and_not_on_the_cuts() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut whole = Digest::default();
        whole.add(&bytes);
        for piece in 1..20 {
            let mut digest = Digest::default();
            bytes.chunks(piece).for_each(|chunk| digest.add(chunk));
            assert_eq!(digest, whole, "pieces of {piece}");
        }
        let mut other = Digest::default();
        other.add(&bytes[..99]);
        assert_ne!(other, whole);
        other.add(&[0]);
        assert_ne!(other, whole);
    }

    #[test]
    fn the_edge_moves_by_steps_worth_a_packet() {
        let mut direction = Direction::new(100, 100);
        direction.take(&[1; 100]);
        direction.sent = 100;
        direction.arrived = 100;
        assert_eq!(direction.next_edge(1000), 100);
        direction.read(&mut [0; 49]);
        assert_eq!(direction.next_edge(1000), 100);
        direction.read(&mut [0; 1]);
        assert_eq!(direction.next_edge(1000), 150);
    }

    #[test]
    fn what_was_sent_outlives_what_was_taken_back() {
        let mut direction = Direction::new(100, 100);
        direction.take(b"arrived, under way, waits");
        (direction.sent, direction.arrived) = (18, 7);
        direction.drop_unsent();
        assert_eq!(direction.flaw(), None);
        direction.arrived = 18;
        let mut bytes = [0; 20];
        assert_eq!(direction.read(&mut bytes), 18);
        assert_eq!(&bytes[..18], b"arrived, under way");
        assert!(direction.flaw_at_end().is_some());
    }

    #[test]
    fn a_flaw_is_seen() {
        let mut direction = Direction::new(100, 10);
        direction.take(&[0; 20]);
        assert_eq!((direction.flaw(), direction.sendable()), (None, 10));
        direction.sent = 20;
        assert!(direction.flaw().is_some());
    }
}
