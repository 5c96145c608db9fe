//! What goes wrong: kinds of faults, how likely each is, and what each has met.

use std::fmt;

use super::random::{Chance, Purpose};

/// An enumeration with a name for each value and a list of them all.
macro_rules! named {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$doc:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $value,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$value),*];

            /// For people.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

named! {
    /// A kind of fault.
    pub enum Fault {
        /// A receive takes fewer bytes than are there.
        ShortRead = "short read",
        /// A send takes fewer bytes than there is room for, perhaps none (EAGAIN). Room is reported later.
        PartialSend = "partial send",
        /// EMFILE.
        NoDescriptors = "EMFILE",
        /// ENFILE.
        NoFiles = "ENFILE",
        /// ENOBUFS of a call.
        NoBuffers = "ENOBUFS",
        /// ENOMEM.
        NoMemory = "ENOMEM",
        /// ECONNABORTED: the connection that accept was about to hand over is gone.
        Aborted = "ECONNABORTED",
        /// EPROTO, for the same reason.
        ProtocolError = "EPROTO",
        /// ETIMEDOUT. The peer is not told.
        TimedOut = "ETIMEDOUT",
        /// EHOSTUNREACH. The peer is not told.
        Unreachable = "EHOSTUNREACH",
        /// ECONNREFUSED although somebody listens.
        Refused = "ECONNREFUSED",
        /// Both ends of a connection are reset after some byte.
        Reset = "reset",
        /// A packet takes much longer.
        Delay = "delay",
        /// A packet is lost and sent again.
        Loss = "loss",
        /// A link is cut, and mended later.
        Partition = "partition",
        /// A peer has a tiny receive buffer.
        SlowPeer = "slow peer",
        /// A connection carries few bytes a second.
        NarrowLink = "narrow link",
        /// A host's wall clock jumps.
        ClockJump = "clock jump",
        /// A completion comes later.
        LateCompletion = "late completion",
        /// Completions of different operations change places.
        ReorderedCompletions = "reordered completions",
        /// The completion queue overflows.
        CompletionOverflow = "completion overflow",
        /// The submission queue is full.
        SubmissionFull = "submission full",
        /// A multishot operation ends early.
        MultishotEnded = "multishot ended",
        /// A completion is repeated for a slot that has a new tenant.
        StaleCompletion = "stale completion",
        /// No buffer is left for a receive (ENOBUFS).
        BuffersExhausted = "buffers exhausted",
        /// A cancellation finds its target before anything happened.
        CancelBefore = "cancel before",
        /// A cancellation finds its target at work.
        CancelDuring = "cancel during",
        /// A cancellation comes too late.
        CancelAfter = "cancel after",
        /// A wait is interrupted (EINTR).
        Interrupted = "EINTR",
        /// The ring cannot be entered now (EBUSY, EAGAIN).
        Busy = "EBUSY",
        /// A wait ends without a reason.
        SpuriousWakeUp = "spurious wake-up",
        /// Generations start just before they wrap around.
        GenerationWrap = "generation wrap",
        /// A handler panics.
        HandlerPanic = "handler panic",
        /// A signal arrives.
        Signal = "signal",
        /// A host is killed.
        Killed = "host killed",
        /// A host stands still for a while.
        Frozen = "host frozen",
        /// A blocking job takes long, or is refused.
        SlowJob = "slow job",
        /// A name is not resolved.
        ResolveFailed = "resolver fails",
        /// The kernel ends an operation that could go on (ECANCELED, EINTR, EAGAIN).
        EndedUnasked = "ended unasked",
    }
}

named! {
    /// A kind of operation that a fault can meet.
    pub enum Operation {
        /// Opening a socket or another file.
        Open = "open",
        /// Opening a listener.
        Listen = "listen",
        /// Accepting by a direct call.
        TryAccept = "try accept",
        /// Accepting by the ring.
        Accept = "accept",
        /// Connecting.
        Connect = "connect",
        /// Sending by a direct call.
        TrySend = "try send",
        /// Sending several slices by a direct call.
        TrySendVectored = "try send vectored",
        /// Sending by the ring.
        QueuedSend = "queued send",
        /// Receiving by a direct call.
        TryReceive = "try receive",
        /// Receiving by the ring, multishot.
        Receive = "receive",
        /// Receiving by the ring, once.
        ReceiveOnce = "receive once",
        /// Waiting for room to send.
        Writable = "writable",
        /// Ending one direction.
        Shutdown = "shutdown",
        /// Closing.
        Close = "close",
        /// Duplicating a descriptor.
        Duplicate = "duplicate",
        /// Cancelling an operation of the ring.
        Cancel = "cancel",
        /// Waking a reactor.
        Wake = "wake",
        /// Entering the ring.
        Enter = "enter",
        /// Waiting for signals.
        Signal = "signal",
        /// Reading a clock.
        Clock = "clock",
        /// Running a blocking job.
        Job = "job",
        /// Resolving a name.
        Resolve = "resolve",
        /// Polling a handler.
        Handler = "handler",
        /// Adding a socket to what an epoll instance watches.
        Watch = "watch",
    }
}

impl Fault {
    /// The operations this kind can meet. Where it is not drawn for an operation of its own, those are the ones that
    /// notice: a packet's loss meets what sent the packet, a reset what reports it.
    pub const fn meets(self) -> &'static [Operation] {
        use Operation::*;
        const HELD: &[Operation] = &[Accept, Connect, Receive, ReceiveOnce, Writable, Wake];
        const COMPLETING: &[Operation] = &[Accept, Connect, QueuedSend, Receive, ReceiveOnce, Writable, Wake];
        const PACKETS: &[Operation] =
            &[Connect, TrySend, TrySendVectored, QueuedSend, Receive, Shutdown, Close];
        const STREAM: &[Operation] =
            &[TrySend, TrySendVectored, QueuedSend, TryReceive, Receive, ReceiveOnce];
        const CONNECTION: &[Operation] =
            &[Connect, TrySend, TrySendVectored, QueuedSend, TryReceive, Receive, ReceiveOnce];
        match self {
            Self::ShortRead => &[TryReceive, Receive, ReceiveOnce],
            Self::PartialSend => &[TrySend, TrySendVectored, QueuedSend],
            Self::NoDescriptors => &[Open, Listen, TryAccept, Accept, Duplicate],
            Self::NoMemory => &[Open, Listen, TryAccept, Accept, Duplicate, Watch],
            Self::NoFiles | Self::NoBuffers => &[Open, Listen, TryAccept, Accept],
            Self::Aborted | Self::ProtocolError => &[TryAccept, Accept],
            Self::TimedOut | Self::Unreachable => CONNECTION,
            Self::Refused => &[Connect],
            Self::Reset => STREAM,
            Self::Delay | Self::Partition => PACKETS,
            // A lost acknowledgement is made up for by the next.
            Self::Loss => &[Connect, TrySend, TrySendVectored, QueuedSend, Shutdown, Close],
            Self::SlowPeer | Self::NarrowLink => &[Connect],
            Self::ClockJump => &[Clock],
            Self::LateCompletion | Self::ReorderedCompletions => HELD,
            Self::CompletionOverflow => COMPLETING,
            Self::SubmissionFull | Self::Interrupted | Self::Busy | Self::SpuriousWakeUp => &[Enter],
            Self::MultishotEnded => &[Accept, Receive, Wake, Writable],
            Self::EndedUnasked => &[Accept, Receive, ReceiveOnce],
            // The ring's own polls keep their slots.
            Self::StaleCompletion => &[Accept, Connect, Receive, ReceiveOnce],
            Self::BuffersExhausted => &[Receive, ReceiveOnce],
            Self::CancelBefore | Self::CancelDuring | Self::CancelAfter => {
                &[Accept, Connect, Receive, ReceiveOnce]
            }
            Self::GenerationWrap => &[Enter],
            Self::HandlerPanic => &[Handler],
            Self::Signal => &[Signal],
            Self::Killed | Self::Frozen => &[Handler],
            Self::SlowJob => &[Job],
            Self::ResolveFailed => &[Resolve],
        }
    }

    /// From how often to how often of a million a swarm has it strike, where it may. What is drawn for each packet or
    /// call is rarer than what is drawn once for a connection or a host.
    const fn range(self) -> (u64, u64) {
        match self {
            Self::ShortRead | Self::PartialSend => (1_000, 500_000),
            Self::Delay => (100, 100_000),
            Self::Loss => (100, 50_000),
            Self::Reset | Self::SlowPeer | Self::NarrowLink => (1_000, 300_000),
            Self::Partition => (5, 500),
            Self::TimedOut | Self::Unreachable | Self::HandlerPanic => (10, 3_000),
            Self::Refused | Self::NoDescriptors | Self::NoFiles | Self::NoBuffers | Self::NoMemory => {
                (1_000, 100_000)
            }
            Self::Aborted | Self::ProtocolError => (1_000, 100_000),
            Self::Killed | Self::Frozen | Self::Signal => (1, 200),
            Self::ClockJump => (10, 5_000),
            Self::GenerationWrap => (500_000, 1_000_000),
            _ => (1_000, 200_000),
        }
    }
}

const KINDS: usize = Fault::ALL.len();
const OPERATIONS: usize = Operation::ALL.len();

/// How likely each kind of fault is, and how often it may strike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    per_million: [u32; KINDS],
    at_most: [u64; KINDS],
    spared: u64,
    in_all_at_most: u64,
}

impl Plan {
    /// No faults.
    pub fn none() -> Self {
        Self { per_million: [0; KINDS], at_most: [u64::MAX; KINDS], spared: 0, in_all_at_most: u64::MAX }
    }

    /// What `seed` draws: about half of the kinds, each with a probability of its own. Leaving kinds out lets the
    /// others reach states that all of them together would never let happen.
    pub fn swarm(seed: u64) -> Self {
        let mut plan = Self::none();
        for fault in Fault::ALL {
            let mut chance = Chance::new(seed, Purpose::Swarm, fault as u64);
            let (low, high) = fault.range();
            if chance.hits(500_000) {
                plan.per_million[fault as usize] = chance.spread(low, high) as u32;
            }
        }
        plan
    }

    /// This kind strikes so many times of a million.
    #[must_use]
    pub fn with(mut self, fault: Fault, per_million: u32) -> Self {
        self.per_million[fault as usize] = per_million;
        self
    }

    /// This kind never strikes.
    #[must_use]
    pub fn without(self, fault: Fault) -> Self {
        self.with(fault, 0)
    }

    /// This kind strikes so many times and then no more.
    #[must_use]
    pub fn at_most(mut self, fault: Fault, times: u64) -> Self {
        self.at_most[fault as usize] = times;
        self
    }

    /// The first so many times that any kind would strike, nothing happens.
    #[must_use]
    pub fn sparing(mut self, times: u64) -> Self {
        self.spared = times;
        self
    }

    /// All kinds together strike so many times, from where [`sparing`](Self::sparing) ends, and then no more.
    #[must_use]
    pub fn in_all_at_most(mut self, times: u64) -> Self {
        self.in_all_at_most = times;
        self
    }

    /// How many strikes are spared at first, and how many there may be then.
    pub fn window(&self) -> (u64, u64) {
        (self.spared, self.in_all_at_most)
    }

    /// How many times of a million this kind strikes.
    pub fn per_million(&self, fault: Fault) -> u32 {
        self.per_million[fault as usize]
    }

    /// The kinds that are on.
    pub fn on(&self) -> impl Iterator<Item = Fault> + '_ {
        Fault::ALL.into_iter().filter(|fault| self.per_million(*fault) > 0)
    }
}

/// The kinds that are on, with their probabilities: `short read 1.2 %, reset 0.003 %`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.on().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{fault} {} %", f64::from(self.per_million(fault)) / 10_000.0)?;
        }
        Ok(())
    }
}

/// How often each kind of fault met each kind of operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage([[u64; OPERATIONS]; KINDS]);

impl Default for Coverage {
    fn default() -> Self {
        Self([[0; OPERATIONS]; KINDS])
    }
}

impl Coverage {
    /// How often `fault` met `operation`.
    pub fn count(&self, fault: Fault, operation: Operation) -> u64 {
        self.0[fault as usize][operation as usize]
    }

    /// How often `fault` met anything.
    pub fn total(&self, fault: Fault) -> u64 {
        self.0[fault as usize].iter().sum()
    }

    /// Adds another world's.
    pub fn add(&mut self, other: &Self) {
        let counts = self.0.iter_mut().flatten();
        counts.zip(other.0.iter().flatten()).for_each(|(count, more)| *count += more);
    }

    /// The pairs that can meet and have not.
    pub fn missing(&self) -> Vec<(Fault, Operation)> {
        let pairs = Fault::ALL
            .into_iter()
            .flat_map(|fault| fault.meets().iter().map(move |operation| (fault, *operation)));
        pairs.filter(|(fault, operation)| self.count(*fault, *operation) == 0).collect()
    }

    fn meet(&mut self, fault: Fault, operation: Operation) {
        self.0[fault as usize][operation as usize] += 1;
    }
}

/// A line for each kind of fault: how often it met what.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in Fault::ALL {
            write!(f, "{fault:22} {:>9}", self.total(fault))?;
            for operation in Operation::ALL {
                let count = self.count(fault, operation);
                if count > 0 || fault.meets().contains(&operation) {
                    write!(f, "  {operation} {count}")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The plan at work.
#[derive(Debug)]
pub(super) struct Faults {
    plan: Plan,
    chances: [Chance; KINDS],
    coverage: Coverage,
    struck: u64,
    is_over: bool,
}

impl Faults {
    pub(super) fn new(seed: u64, plan: Plan) -> Self {
        let chances = std::array::from_fn(|kind| Chance::new(seed, Purpose::Fault, kind as u64));
        Self { plan, chances, coverage: Coverage::default(), struck: 0, is_over: false }
    }

    /// Whether `fault` strikes now. What it meets is told to [`met`](Self::met).
    #[inline]
    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        let kind = fault as usize;
        let per_million = self.plan.per_million[kind];
        if per_million == 0 || self.is_over || !self.chances[kind].hits(per_million) {
            return false;
        }
        if self.plan.spared > 0 {
            self.plan.spared -= 1;
            return false;
        }
        let (left, left_in_all) = (&mut self.plan.at_most[kind], &mut self.plan.in_all_at_most);
        if *left == 0 || *left_in_all == 0 {
            return false;
        }
        *left -= 1;
        *left_in_all -= 1;
        self.struck += 1;
        true
    }

    pub(super) fn met(&mut self, fault: Fault, operation: Operation) {
        self.coverage.meet(fault, operation);
    }

    /// The fault's own stream of chance: how long, how much.
    pub(super) fn chance(&mut self, fault: Fault) -> &mut Chance {
        &mut self.chances[fault as usize]
    }

    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    pub(super) fn are_over(&self) -> bool {
        self.is_over
    }

    /// Times that any kind has struck.
    pub(super) fn struck(&self) -> u64 {
        self.struck
    }

    pub(super) fn coverage(&self) -> &Coverage {
        &self.coverage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(faults: &mut Faults, fault: Fault) -> Vec<bool> {
        (0..1000).map(|_| faults.strikes(fault)).collect()
    }

    #[test]
    fn seeds_draw_different_halves_of_the_catalogue() {
        let mut ever = [0; KINDS];
        for seed in 0..200 {
            let plan = Plan::swarm(seed);
            assert_eq!(plan, Plan::swarm(seed));
            plan.on().for_each(|fault| ever[fault as usize] += 1);
        }
        assert!(ever.iter().all(|count| (60..140).contains(count)), "{ever:?}");
    }

    #[test]
    fn turning_one_kind_off_leaves_the_draws_of_the_others() {
        let plan = Plan::none().with(Fault::Reset, 300_000).with(Fault::Loss, 300_000);
        let mut both = Faults::new(9, plan.clone());
        let mut one = Faults::new(9, plan.without(Fault::Loss));
        strikes(&mut both, Fault::Loss);
        assert!(!strikes(&mut one, Fault::Loss).contains(&true));
        let resets = strikes(&mut both, Fault::Reset);
        assert!(resets.contains(&true) && resets.contains(&false));
        assert_eq!(strikes(&mut one, Fault::Reset), resets);
    }

    #[test]
    fn budgets_and_the_end_are_kept() {
        let plan = Plan::none().with(Fault::Reset, 1_000_000).with(Fault::Loss, 1_000_000);
        let count = |strikes: Vec<bool>| strikes.into_iter().filter(|hit| *hit).count();
        let mut faults = Faults::new(9, plan.clone().at_most(Fault::Reset, 3));
        assert_eq!(count(strikes(&mut faults, Fault::Reset)), 3);
        assert_eq!(count(strikes(&mut faults, Fault::Loss)), 1000);
        let mut faults = Faults::new(9, plan.in_all_at_most(5));
        assert_eq!(count(strikes(&mut faults, Fault::Reset)), 5);
        assert_eq!(count(strikes(&mut faults, Fault::Loss)), 0);
        let plan = Plan::none().with(Fault::Reset, 1_000_000).sparing(2).in_all_at_most(1);
        let mut faults = Faults::new(9, plan);
        assert_eq!(strikes(&mut faults, Fault::Reset)[..4], [false, false, true, false]);
        assert_eq!(faults.struck(), 1);
        let mut faults = Faults::new(9, Plan::none().with(Fault::Loss, 1_000_000));
        faults.end();
        assert_eq!(count(strikes(&mut faults, Fault::Loss)), 0);
    }

    #[test]
    fn coverage_knows_what_is_missing() {
        let mut coverage = Coverage::default();
        let pairs: usize = Fault::ALL.iter().map(|fault| fault.meets().len()).sum();
        assert_eq!(coverage.missing().len(), pairs);
        coverage.meet(Fault::Refused, Operation::Connect);
        let mut sum = coverage.clone();
        sum.add(&coverage);
        assert_eq!((sum.count(Fault::Refused, Operation::Connect), sum.total(Fault::Refused)), (2, 2));
        assert!(!sum.missing().contains(&(Fault::Refused, Operation::Connect)));
        assert!(sum.to_string().contains("ECONNREFUSED"));
    }
}
