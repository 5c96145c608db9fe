//! Random calls on a connection, against a model that knows only two queues of bytes.
//!
//! The model predicts little about when something happens and everything about what: bytes arrive in order and once,
//! an end comes after all of them, and no buffer holds more than its limit.

use super::*;

/// One end's view of what it sent and got.
#[derive(Default)]
struct Seen {
    sent: Vec<u8>,
    got: Vec<u8>,
    has_ended: bool,
    /// The end of the other was read.
    has_end: bool,
    has_failed: bool,
    is_closed: bool,
}

struct Run {
    pair: Pair,
    chance: Chance,
    socks: [Sock; 2],
    seen: [Seen; 2],
    settings: HostSettings,
    is_unix: bool,
}

impl Run {
    fn new(seed: u64, is_unix: bool, plan: Plan) -> Self {
        let mut chance = Chance::new(seed, Purpose::Sizes, 0);
        let settings = HostSettings {
            send_buffer: chance.spread(1, 10_000) as u32,
            receive_buffer: chance.spread(1, 10_000) as u32,
            ..HostSettings::default()
        };
        let pair = Pair::sized(seed, plan, settings.clone());
        let socks = if is_unix {
            let (one, other) = pair.world.unix_pair(pair.client).expect("a pair");
            [pair.sock(pair.client, one), pair.sock(pair.client, other)]
        } else {
            let (client, server) = pair.connected();
            [client, server]
        };
        Self { pair, chance, socks, seen: Default::default(), settings, is_unix }
    }

    fn step(&mut self) {
        let side = self.chance.below(2) as usize;
        match self.chance.below(100) {
            _ if self.seen[side].is_closed => {}
            0..30 => self.send(side),
            30..60 => self.receive(side),
            60 => self.end(side),
            61 if self.chance.hits(300_000) => self.close(side),
            62 if !self.is_unix => self.socks[side].set(SocketOption::NoDelay(self.chance.hits(500_000))),
            _ => {}
        }
        for _ in 0..self.chance.below(3) {
            self.pair.world.run_next();
        }
        self.check_limits();
    }

    fn send(&mut self, side: usize) {
        let length = self.chance.spread(1, 6000) as usize;
        let mut bytes = vec![0; length];
        self.chance.fill(&mut bytes);
        let seen = &mut self.seen[side];
        match self.socks[side].send(&bytes) {
            Ok(count) => {
                assert!(!seen.has_ended && (1..=length).contains(&count));
                seen.sent.extend_from_slice(&bytes[..count]);
            }
            Err(libc::EAGAIN) => {}
            Err(libc::EPIPE) if seen.has_ended => {}
            Err(_) => seen.has_failed = true,
        }
    }

    fn receive(&mut self, side: usize) {
        let length = self.chance.spread(1, 6000) as usize;
        let there = self.pair.world.unread(self.socks[side].file);
        match self.socks[side].receive(length) {
            Ok(bytes) if bytes.is_empty() => {
                assert_eq!(there, 0);
                let is_whole = self.seen[side].got == self.seen[1 - side].sent;
                let seen = &mut self.seen[side];
                assert!(seen.has_failed || is_whole, "an end before all bytes");
                seen.has_end = true;
            }
            Ok(bytes) => {
                assert!(!self.seen[side].has_end, "bytes after the end");
                assert!(bytes.len() <= there.min(length));
                self.seen[side].got.extend(bytes);
                assert!(
                    self.seen[1 - side].sent.starts_with(&self.seen[side].got),
                    "other bytes than were sent"
                );
            }
            Err(libc::EAGAIN) => assert_eq!(there, 0),
            Err(_) => {
                assert_eq!(there, 0, "an error before the bytes that arrived");
                self.seen[side].has_failed = true;
            }
        }
    }

    fn end(&mut self, side: usize) {
        if self.socks[side].shut(Shutdown::Write).is_ok() {
            self.seen[side].has_ended = true;
        }
    }

    fn close(&mut self, side: usize) {
        // With bytes unread or to come the peer may hear of a reset before it has read everything.
        if self.seen[side].got.len() < self.seen[1 - side].sent.len() || !self.seen[1 - side].has_ended {
            self.seen[1 - side].has_failed = true;
        }
        self.socks[side].close();
        (self.seen[side].has_ended, self.seen[side].is_closed) = (true, true);
    }

    fn check_limits(&self) {
        let unread = [0, 1].map(|side| self.pair.world.unread(self.socks[side].file) as u32);
        let limit = if self.is_unix { self.settings.send_buffer } else { self.settings.receive_buffer };
        assert!(unread.iter().all(|unread| *unread <= limit), "{unread:?} of {limit}");
        for side in [0, 1].into_iter().filter(|side| !self.seen[*side].is_closed) {
            let taken = (self.seen[side].sent.len() - self.seen[1 - side].got.len()) as u64;
            let both = u64::from(self.settings.send_buffer) + u64::from(self.settings.receive_buffer);
            assert!(taken <= both || self.seen[1 - side].is_closed, "{taken} of {both}");
        }
    }

    /// Both send no more, read everything, and see the end.
    fn conclude(mut self) {
        self.pair.world.end_faults();
        for side in [0, 1].into_iter().filter(|side| !self.seen[*side].is_closed).collect::<Vec<_>>() {
            self.end(side);
        }
        for _ in 0..100_000 {
            self.pair.run();
            let open: Vec<_> = [0, 1].into_iter().filter(|side| !self.seen[*side].is_closed).collect();
            if open.iter().all(|side| self.seen[*side].has_end) {
                break;
            }
            open.into_iter().for_each(|side| self.receive(side));
        }
        for side in [0, 1] {
            let seen = &self.seen[side];
            assert!(seen.has_end || seen.is_closed, "end {side} never saw the end: {:?}", self.pair.world);
            assert!(seen.has_failed || seen.is_closed || seen.got == self.seen[1 - side].sent);
        }
        self.pair.assert_sound();
        for side in [0, 1].into_iter().filter(|side| !self.seen[*side].is_closed) {
            self.socks[side].close();
        }
        self.pair.run();
        self.pair.assert_sound();
        let open = self.pair.world.descriptors_open(self.pair.client);
        assert_eq!(open + self.pair.world.descriptors_open(self.pair.server), 0);
    }
}

#[test]
fn random_calls_see_what_the_model_says() {
    for seed in 0..300 {
        let mut run = Run::new(seed, seed % 3 == 0, Plan::none());
        (0..400).for_each(|_| run.step());
        run.conclude();
    }
}

#[test]
fn so_they_do_when_calls_and_packets_suffer() {
    let plan = Plan::none()
        .with(Fault::ShortRead, 300_000)
        .with(Fault::PartialSend, 300_000)
        .with(Fault::Delay, 50_000)
        .with(Fault::Loss, 50_000)
        .with(Fault::SlowPeer, 300_000)
        .with(Fault::NarrowLink, 100_000)
        .with(Fault::Partition, 1_000)
        .with(Fault::Reset, 100_000);
    for seed in 0..300 {
        let mut run = Run::new(seed, seed % 5 == 0, plan.clone());
        (0..400).for_each(|_| run.step());
        run.conclude();
    }
}
