//! A simulated ring: entries in, operations held, completions out.
//!
//! What Linux promises is kept: an entry is carried out, or becomes an operation that is held, when the ring is entered;
//! the completions of one operation keep their order; a multishot operation that has ended has said so by a completion
//! without "more"; completions that find the queue full are held back, not lost. What Linux leaves open is drawn: when an
//! operation gets on, which of several goes first, how a race with a cancellation ends.
//!
//! # Invariants
//!
//! - **K1** Addresses in entries are those that R2 of the driver's ring promises: good until the last completion, or for a
//!   send until the call that takes it returns.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use io_uring::opcode;

use super::buffers::Buffers;
use super::entry::{Completed, MORE, Submission, with_buffer};
use super::operation::{Armed, Kind};
use super::story::with_seat;
use super::{Interest, RUN, STALE, Shared};
use crate::kernel::Holdings;
use crate::op::Key;
use crate::sim::{Chance, Fault, FileId, LogKind, Operation, Outside};
use crate::socket::Domain;
use crate::sys;

/// How much one operation does before others have their turn.
const PASSES_MAX: usize = 32;
/// Longest that a late operation is held back.
const LATE_MAX: Duration = Duration::from_millis(20);

pub(super) const SUBMITTED: LogKind = LogKind::outside(256, "submit");
pub(super) const COMPLETED: LogKind = LogKind::outside(257, "complete");

pub(crate) struct Ring {
    seat: u32,
    chance: Chance,
    submissions: VecDeque<Submission>,
    submissions_max: usize,
    completions: VecDeque<Completed>,
    completions_max: usize,
    /// Completions that did not fit.
    overflowed: VecDeque<Completed>,
    /// Operations by when they were armed.
    armed: BTreeMap<u64, Armed>,
    armed_so_far: u64,
    by_user_data: BTreeMap<u64, u64>,
    /// Operations that may get on: work left for the ring's thread.
    work: VecDeque<u64>,
    buffers: Option<Buffers>,
    /// A multishot receive on a Unix socket sees the end of the stream, whenever it comes.
    has_unix_end: bool,
}

impl Ring {
    pub(super) fn new(seat: u32, chance: Chance, submissions_max: usize, completions_max: usize) -> Self {
        Self {
            seat,
            chance,
            has_unix_end: true,
            submissions: VecDeque::new(),
            submissions_max,
            completions: VecDeque::new(),
            completions_max,
            overflowed: VecDeque::new(),
            armed: BTreeMap::new(),
            armed_so_far: 0,
            by_user_data: BTreeMap::new(),
            work: VecDeque::new(),
            buffers: None,
        }
    }

    pub(super) fn set_unix_end(&mut self, has_unix_end: bool) {
        self.has_unix_end = has_unix_end;
    }

    pub(super) fn register(&mut self, buffers: Buffers) {
        self.buffers = Some(buffers);
    }

    pub(super) fn sizes(&self) -> (u32, u32) {
        (self.submissions_max as u32, self.completions_max as u32)
    }

    pub(super) fn room(&self) -> usize {
        self.submissions_max - self.submissions.len()
    }

    pub(super) fn pending(&self) -> usize {
        self.submissions.len()
    }

    pub(super) fn push(&mut self, entry: Submission) {
        assert!(self.room() > 0, "the submission queue has no room");
        self.submissions.push_back(entry);
    }

    pub(super) fn has_completions(&self) -> bool {
        !self.completions.is_empty()
    }

    pub(super) fn has_overflowed(&self) -> bool {
        !self.overflowed.is_empty()
    }

    /// Work for the ring's thread, or completions held back.
    pub(super) fn wants_entering(&self) -> bool {
        !self.work.is_empty() || self.has_overflowed()
    }

    pub(super) fn take_completions(&mut self) -> std::collections::vec_deque::IntoIter<Completed> {
        std::mem::take(&mut self.completions).into_iter()
    }

    /// Takes up to `count` entries and carries them out.
    pub(super) fn submit(&mut self, world: &Shared, count: usize) -> u32 {
        let mut taken = 0;
        while taken < count
            && let Some(entry) = self.submissions.pop_front()
        {
            self.carry_out(world, entry);
            taken += 1;
        }
        taken as u32
    }

    /// Brings completions that were held back into the queue.
    pub(super) fn flush(&mut self) {
        while self.completions.len() < self.completions_max
            && let Some(completion) = self.overflowed.pop_front()
        {
            self.completions.push_back(completion);
        }
    }

    /// Does the work left for the ring's thread.
    pub(super) fn work(&mut self, world: &Shared) {
        for _ in 0..self.work.len() {
            let at = match self.work.len() {
                0 => return,
                1 => 0,
                count if world.world.hit(Fault::ReorderedCompletions, self.first_kind()) => {
                    self.chance.below(count as u64) as usize
                }
                _ => 0,
            };
            let number = self.work.remove(at).expect("within the queue");
            if let Some(armed) = self.armed.get_mut(&number) {
                armed.is_queued = false;
                self.get_on(world, number);
            }
        }
    }

    fn first_kind(&self) -> Operation {
        let first = self.work.front().and_then(|number| self.armed.get(number));
        first.map_or(Operation::Enter, |armed| armed.kind.operation())
    }

    /// An operation may get on.
    pub(super) fn poke(&mut self, world: &Shared, number: u64) {
        let Some(armed) = self.armed.get_mut(&number) else { return };
        if armed.is_queued || armed.is_late || armed.is_deaf {
            return;
        }
        if !self.is_late(world, number) {
            self.queue(number);
        }
    }

    /// Whether an operation that could get on is held back for a while.
    fn is_late(&mut self, world: &Shared, number: u64) -> bool {
        let Some(armed) = self.armed.get_mut(&number) else { return false };
        armed.is_late = world.world.hit(Fault::LateCompletion, armed.kind.operation());
        if armed.is_late {
            let nanos = world.world.severity(Fault::LateCompletion, 1, LATE_MAX.as_nanos() as u64);
            let event = Outside { kind: RUN, a: u64::from(self.seat), b: number };
            world.world.schedule(world.world.now() + Duration::from_nanos(nanos), event);
        }
        armed.is_late
    }

    /// Whatever the polls watch may have become readable.
    pub(super) fn poke_polls(&mut self, world: &Shared) {
        let is_poll =
            |(number, armed): (&u64, &Armed)| matches!(armed.kind, Kind::Poll { .. }).then_some(*number);
        let polls: Vec<_> = self.armed.iter().filter_map(is_poll).collect();
        for number in polls {
            self.poke(world, number);
        }
    }

    /// True when a poll has not told yet of the latest of so many times that its file became readable.
    pub(super) fn has_yet_to_tell(&self, events: u64) -> bool {
        self.armed
            .values()
            .any(|armed| matches!(armed.kind, Kind::Poll { .. }) && armed.is_late && armed.reported < events)
    }

    /// Lets go of everything, without a word.
    pub(super) fn close(&mut self, world: &Shared) {
        while let Some((&number, _)) = self.armed.first_key_value() {
            self.forget(world, number);
        }
        self.submissions.clear();
        self.completions.clear();
        self.overflowed.clear();
        self.work.clear();
        self.buffers = None;
    }

    /// The time a late operation was held back for is over.
    pub(super) fn no_longer_late(&mut self, number: u64) {
        if let Some(armed) = self.armed.get_mut(&number) {
            armed.is_late = false;
            self.queue(number);
        }
    }

    fn queue(&mut self, number: u64) {
        if let Some(armed) = self.armed.get_mut(&number)
            && !armed.is_queued
        {
            armed.is_queued = true;
            self.work.push_back(number);
        }
    }

    // Entries.

    fn carry_out(&mut self, world: &Shared, entry: Submission) {
        world.world.log(SUBMITTED, u64::from(entry.opcode) << 32 | u64::from(self.seat), entry.user_data);
        match entry.opcode {
            opcode::Send::CODE => self.send(world, entry),
            opcode::AsyncCancel::CODE => self.cancel(world, entry),
            opcode::AcceptMulti::CODE => self.arm(world, entry, Kind::Accept),
            opcode::Recv::CODE if entry.priority & RECEIVE_MULTISHOT != 0 => {
                let kind = Kind::Receive { left: entry.total_length, is_capped: entry.total_length > 0 };
                self.arm(world, entry, kind);
            }
            opcode::Recv::CODE => self.arm(world, entry, Kind::ReceiveOnce),
            opcode::Connect::CODE => self.connect(world, entry),
            opcode::PollAdd::CODE => {
                let is_watch = world.is_watch(self.seat, entry.descriptor);
                self.arm(world, entry, Kind::Poll { is_watch });
            }
            opcode::Nop::CODE => self.complete(world, Operation::Enter, entry.user_data, 0, 0),
            _ => self.complete(world, Operation::Enter, entry.user_data, -libc::EINVAL, 0),
        }
    }

    fn send(&mut self, world: &Shared, entry: Submission) {
        // SAFETY: K1.
        let bytes = unsafe { std::slice::from_raw_parts(entry.address as *const u8, entry.length as usize) };
        let sent = world
            .file(self.seat, entry.descriptor)
            .and_then(|file| world.world.send(file, Operation::QueuedSend, bytes));
        let flags = entry.operation_flags as i32;
        // Linux would wait for room, and read the bytes when it comes: K1 would not hold.
        let waits = flags & libc::MSG_DONTWAIT == 0
            && matches!(&sent, Err(error) if number_of(error) == libc::EAGAIN);
        assert!(!waits, "a send that may wait finds no room");
        // Less than all is a success unless all is asked for.
        let is_enough = |count| count == bytes.len() || flags & libc::MSG_WAITALL == 0;
        match sent {
            Ok(count) if is_enough(count) && entry.skips_success() => {}
            Ok(count) => self.complete(world, Operation::QueuedSend, entry.user_data, count as i32, 0),
            Err(error) => self.complete(world, Operation::QueuedSend, entry.user_data, -number_of(&error), 0),
        }
    }

    fn connect(&mut self, world: &Shared, entry: Submission) {
        // SAFETY: K1: `offset` bytes of a socket address.
        let address = unsafe { sys::read_sockaddr(entry.address as *const u8, entry.offset as u32) };
        let result = world
            .file(self.seat, entry.descriptor)
            .and(address)
            .and_then(|address| world.world.connect(world.host(self.seat), entry.descriptor, &address));
        match result {
            Ok(()) => self.complete(world, Operation::Connect, entry.user_data, 0, 0),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                self.arm(world, entry, Kind::Connect);
            }
            Err(error) => self.complete(world, Operation::Connect, entry.user_data, -number_of(&error), 0),
        }
    }

    fn arm(&mut self, world: &Shared, entry: Submission, kind: Kind) {
        let file = match world.file(self.seat, entry.descriptor) {
            Ok(file) => file,
            Err(error) => {
                return self.complete(world, kind.operation(), entry.user_data, -number_of(&error), 0);
            }
        };
        let number = self.armed_so_far;
        self.armed_so_far += 1;
        let user_data = entry.user_data;
        let armed =
            Armed { user_data, kind, file, is_queued: false, is_late: false, is_deaf: false, reported: 0 };
        self.armed.insert(number, armed);
        self.by_user_data.insert(user_data, number);
        world.world.hold(file);
        world.watch(file, Interest::Operation { seat: self.seat, number });
        if self.is_of_a_recycled_slot(user_data) && world.world.hit(Fault::StaleCompletion, kind.operation())
        {
            let nanos = world.world.severity(Fault::StaleCompletion, 1, LATE_MAX.as_nanos() as u64);
            let event = Outside { kind: STALE, a: u64::from(self.seat), b: user_data };
            world.world.schedule(world.world.now() + Duration::from_nanos(nanos), event);
        }
        if !self.is_late(world, number) {
            self.get_on(world, number);
        }
    }

    /// Slots of the driver's own operations are never used again.
    fn is_of_a_recycled_slot(&self, user_data: u64) -> bool {
        Key::from_bits(user_data).slot < u32::MAX - 1
    }

    /// A completion for the former tenant of the slot of `user_data` comes now, if the slot has its tenant still.
    pub(super) fn complete_stale(&mut self, world: &Shared, user_data: u64) {
        let Some(number) = self.by_user_data.get(&user_data) else { return };
        let operation = self.armed[number].kind.operation();
        let Key { slot, generation } = Key::from_bits(user_data);
        let former = Key { slot, generation: generation.wrapping_sub(1) }.to_bits();
        match self.buffers.as_mut() {
            Some(buffers) if buffers.len() > 1 && self.chance.hits(500_000) => {
                let buffer = buffers.first().expect("just counted");
                buffers.take();
                self.complete(world, operation, former, 1, with_buffer(buffer.id));
            }
            _ => {
                let results = [0, -libc::ECANCELED, -libc::ENOBUFS, -libc::ECONNRESET];
                let result = results[self.chance.below(results.len() as u64) as usize];
                self.complete(world, operation, former, result, 0);
            }
        }
    }

    // Cancellation.

    fn cancel(&mut self, world: &Shared, entry: Submission) {
        const ANY: u32 = 1 << 2;
        if entry.operation_flags & ANY != 0 {
            let all: Vec<_> = self.armed.keys().copied().collect();
            let count = all.len();
            for number in all {
                self.end(world, number, -libc::ECANCELED, 0);
            }
            return self.complete(world, Operation::Cancel, entry.user_data, count as i32, 0);
        }
        let Some(&number) = self.by_user_data.get(&entry.address) else {
            return self.complete(world, Operation::Cancel, entry.user_data, -libc::ENOENT, 0);
        };
        let operation = self.armed[&number].kind.operation();
        if world.world.hit(Fault::CancelAfter, operation) {
            // What it was waiting for came just before.
            self.get_on(world, number);
            if !self.armed.contains_key(&number) {
                return self.complete(world, Operation::Cancel, entry.user_data, -libc::ENOENT, 0);
            }
        }
        if world.world.hit(Fault::CancelDuring, operation) {
            // It is at work: the request for its end is told at once, the end comes when it next gets on.
            self.complete(world, Operation::Cancel, entry.user_data, -libc::EALREADY, 0);
            return self.end(world, number, -libc::EINTR, 0);
        }
        if world.world.hit(Fault::CancelBefore, operation) {
            self.complete(world, Operation::Cancel, entry.user_data, 0, 0);
            return self.end(world, number, -libc::ECANCELED, 0);
        }
        self.end(world, number, -libc::ECANCELED, 0);
        self.complete(world, Operation::Cancel, entry.user_data, 0, 0);
    }

    // Operations.

    /// Lets an operation get on as far as it can.
    fn get_on(&mut self, world: &Shared, number: u64) {
        let Some(&armed) = self.armed.get(&number) else { return };
        if armed.kind.may_be_asked_again() && world.world.hit(Fault::EndedUnasked, armed.kind.operation()) {
            let errors = [libc::ECANCELED, libc::EINTR, libc::EAGAIN];
            let error = errors[self.chance.below(errors.len() as u64) as usize];
            return self.end(world, number, -error, 0);
        }
        match armed.kind {
            Kind::Accept => self.accept(world, number, armed),
            Kind::Receive { .. } | Kind::ReceiveOnce => self.receive(world, number, armed),
            Kind::Connect => {
                if let Some(result) = world.world.connect_result(armed.file) {
                    self.end(world, number, result.map_or_else(|error| -error, |()| 0), 0);
                }
            }
            Kind::Poll { .. } => self.poll(world, number, armed),
        }
    }

    fn accept(&mut self, world: &Shared, number: u64, armed: Armed) {
        for _ in 0..PASSES_MAX {
            match world.world.accept(world.host(self.seat), armed.file, Operation::Accept) {
                Ok(descriptor) => {
                    if world.world.hit(Fault::MultishotEnded, Operation::Accept) {
                        return self.end(world, number, descriptor, 0);
                    }
                    if !self.say(world, number, descriptor, 0) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.end(world, number, -number_of(&error), 0),
            }
        }
        self.queue(number);
    }

    fn receive(&mut self, world: &Shared, number: u64, armed: Armed) {
        let operation = armed.kind.operation();
        for _ in 0..PASSES_MAX {
            let buffer = self.buffers.as_ref().and_then(Buffers::first);
            let is_short =
                world.world.unread(armed.file) > 0 && world.world.hit(Fault::BuffersExhausted, operation);
            let Some(mut buffer) = buffer.filter(|_| !is_short) else {
                return self.end(world, number, -libc::ENOBUFS, 0);
            };
            match world.world.receive(armed.file, operation, buffer.memory()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.end(world, number, -number_of(&error), 0),
                Ok(0) => return self.end(world, number, 0, 0),
                Ok(count) => {
                    self.buffers.as_mut().expect("one was taken from it").take();
                    let (result, flags) = (count as i32, with_buffer(buffer.id));
                    if armed.kind == Kind::ReceiveOnce
                        || !self.has_more_to_receive(number, count)
                        || world.world.hit(Fault::MultishotEnded, operation)
                    {
                        return self.end(world, number, result, flags);
                    }
                    if !self.say(world, number, result, flags) {
                        return;
                    }
                    if self.loses_the_end(world, armed.file) {
                        if let Some(armed) = self.armed.get_mut(&number) {
                            armed.is_deaf = true;
                        }
                        return;
                    }
                }
            }
        }
        self.queue(number);
    }

    /// True when the end of a Unix stream has come together with its last bytes, on a kernel whose multishot receives do
    /// not see it then.
    fn loses_the_end(&self, world: &Shared, file: FileId) -> bool {
        !self.has_unix_end
            && world.world.domain(file) == Some(Domain::Unix)
            && world.world.unread(file) == 0
            && world.world.readiness(file).read_closed
    }

    /// False when the operation was armed for so many bytes and has them now.
    fn has_more_to_receive(&mut self, number: u64, count: usize) -> bool {
        let Some(Armed { kind: Kind::Receive { left, is_capped: true }, .. }) = self.armed.get_mut(&number)
        else {
            return true;
        };
        *left = left.saturating_sub(count as u32);
        *left > 0
    }

    fn poll(&mut self, world: &Shared, number: u64, armed: Armed) {
        let Some(events) = world.events_of(self.seat, armed.file) else { return };
        if events <= armed.reported {
            return;
        }
        if let Some(armed) = self.armed.get_mut(&number) {
            armed.reported = events;
        }
        if world.world.hit(Fault::MultishotEnded, armed.kind.operation()) {
            return self.end(world, number, i32::from(libc::POLLIN), 0);
        }
        self.say(world, number, i32::from(libc::POLLIN), 0);
    }

    /// A completion after which more follow; false when the operation has ended with it, for it did not fit.
    fn say(&mut self, world: &Shared, number: u64, result: i32, flags: u32) -> bool {
        let Some(&Armed { user_data, kind, .. }) = self.armed.get(&number) else { return false };
        if self.is_full(world, kind.operation()) {
            self.end_overflowing(world, number, result, flags);
            return false;
        }
        self.note(world, Completed { user_data, result, flags: flags | MORE });
        true
    }

    /// The last completion of an operation.
    fn end(&mut self, world: &Shared, number: u64, result: i32, flags: u32) {
        if let Some(Armed { user_data, kind, .. }) = self.forget(world, number) {
            self.complete(world, kind.operation(), user_data, result, flags);
        }
    }

    fn end_overflowing(&mut self, world: &Shared, number: u64, result: i32, flags: u32) {
        if let Some(Armed { user_data, .. }) = self.forget(world, number) {
            self.overflowed.push_back(Completed { user_data, result, flags });
        }
    }

    fn forget(&mut self, world: &Shared, number: u64) -> Option<Armed> {
        let armed = self.armed.remove(&number)?;
        if self.by_user_data.get(&armed.user_data) == Some(&number) {
            self.by_user_data.remove(&armed.user_data);
        }
        world.unwatch(armed.file, Interest::Operation { seat: self.seat, number });
        world.world.release(armed.file);
        Some(armed)
    }

    fn is_full(&mut self, world: &Shared, operation: Operation) -> bool {
        self.has_overflowed()
            || self.completions.len() >= self.completions_max
            || world.world.hit(Fault::CompletionOverflow, operation)
    }

    /// A completion that is the only or the last one.
    fn complete(&mut self, world: &Shared, operation: Operation, user_data: u64, result: i32, flags: u32) {
        let completion = Completed { user_data, result, flags };
        if self.is_full(world, operation) {
            self.overflowed.push_back(completion);
        } else {
            self.note(world, completion);
        }
    }

    fn note(&mut self, world: &Shared, completion: Completed) {
        let Completed { user_data, result, flags } = completion;
        let flags = with_seat(flags, self.seat);
        world.world.log(COMPLETED, user_data, u64::from(result as u32) << 32 | u64::from(flags));
        self.completions.push_back(completion);
    }

    /// For whoever checks.
    pub(super) fn holdings(&self) -> Holdings {
        let told = || self.completions.iter().chain(&self.overflowed);
        let ended = told().filter(|completion| !completion.has_more()).map(|completion| completion.user_data);
        let filled = told().filter(|completion| completion.has_buffer());
        let filled = filled.map(|completion| (completion.flags >> 16) as u16);
        Holdings {
            operations: self.by_user_data.keys().copied().collect(),
            under_way: self.submissions.iter().map(|entry| entry.user_data).chain(ended).collect(),
            buffers: self
                .buffers
                .as_ref()
                .map(Buffers::ids)
                .unwrap_or_default()
                .into_iter()
                .chain(filled)
                .collect(),
        }
    }
}

/// `ioprio` of a receive that goes on.
const RECEIVE_MULTISHOT: u16 = 1 << 1;

fn number_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
