//! The ways between hosts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::host::HostId;
use super::random::{Chance, Purpose};
use crate::instant::Instant;

/// What a link does with packets, in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// Least time a packet takes.
    pub delay_min: Duration,
    /// Longest time a packet takes, unless it is lost or has to queue.
    pub delay_max: Duration,
    /// Packets lost of a million. They are sent again, so all that is seen of a loss is a delay.
    pub loss_per_million: u32,
    /// Bytes a second in each direction, shared by all connections.
    pub bytes_per_second: Option<u64>,
    /// Payload of a packet, at most.
    pub segment_max: u32,
}

impl LinkSettings {
    /// Two machines in one rack. The packets are those that a network card cuts up later.
    pub const LOCAL: Self = Self {
        delay_min: Duration::from_micros(20),
        delay_max: Duration::from_micros(100),
        loss_per_million: 0,
        bytes_per_second: None,
        segment_max: 16 * 1024,
    };

    /// A machine and itself.
    pub const LOOPBACK: Self = Self {
        delay_min: Duration::from_micros(1),
        delay_max: Duration::from_micros(15),
        segment_max: 32 * 1024,
        ..Self::LOCAL
    };
}

/// Which link: the lower host first.
pub(super) type LinkId = (HostId, HostId);

pub(super) fn link_id(a: HostId, b: HostId) -> LinkId {
    (a.min(b), a.max(b))
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) settings: LinkSettings,
    chance: Chance,
    /// When each direction has sent what it was given so far.
    busy_until: [Instant; 2],
    /// Cut: what arrives is held until the link is mended.
    pub(super) is_cut: bool,
    /// By a fault, so that it is mended when faults end.
    pub(super) is_cut_by_fault: bool,
    /// Raised by each cut and each mending.
    pub(super) number: u32,
}

impl Link {
    /// When a packet that leaves `from` now will be at the other end.
    pub(super) fn arrival(&mut self, now: Instant, is_backward: bool, length: u64) -> Instant {
        let busy_until = &mut self.busy_until[usize::from(is_backward)];
        let mut leaves = now;
        if let Some(rate) = self.settings.bytes_per_second {
            leaves = leaves.max(*busy_until) + time_for(length + HEADER, rate);
            *busy_until = leaves;
        }
        let (least, longest) =
            (self.settings.delay_min, self.settings.delay_max.max(self.settings.delay_min));
        leaves + Duration::from_nanos(self.chance.between(least.as_nanos() as u64, longest.as_nanos() as u64))
    }

    /// Whether the next packet is lost.
    pub(super) fn loses(&mut self) -> bool {
        self.settings.loss_per_million > 0 && self.chance.hits(self.settings.loss_per_million)
    }
}

/// Bytes of a packet beside its payload: Ethernet, IP, TCP.
const HEADER: u64 = 66;

/// How long `length` bytes take at `rate` bytes a second.
pub(super) fn time_for(length: u64, rate: u64) -> Duration {
    Duration::from_nanos(length.saturating_mul(1_000_000_000) / rate.max(1))
}

/// The links of a world, each made when it is first used.
#[derive(Debug)]
pub(super) struct Links {
    seed: u64,
    links: BTreeMap<LinkId, Link>,
}

impl Links {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, links: BTreeMap::new() }
    }

    pub(super) fn between(&mut self, id: LinkId) -> &mut Link {
        self.links.entry(id).or_insert_with(|| Link {
            settings: if id.0 == id.1 { LinkSettings::LOOPBACK } else { LinkSettings::LOCAL },
            chance: Chance::new(self.seed, Purpose::Link, u64::from(id.0.0) << 32 | u64::from(id.1.0)),
            busy_until: [Instant::default(); 2],
            is_cut: false,
            is_cut_by_fault: false,
            number: 0,
        })
    }

    pub(super) fn is_cut(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| link.is_cut)
    }

    pub(super) fn cut_by_faults(&self) -> Vec<LinkId> {
        let cut = self.links.iter().filter(|(_, link)| link.is_cut && link.is_cut_by_fault);
        cut.map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(links: &mut Links) -> &mut Link {
        links.between((HostId(0), HostId(1)))
    }

    #[test]
    fn delays_stay_within_the_settings() {
        let mut links = Links::new(3);
        let link = between(&mut links);
        for _ in 0..100 {
            let delay = link.arrival(Instant::from_nanos(1000), false, 1) - Instant::from_nanos(1000);
            assert!((link.settings.delay_min..=link.settings.delay_max).contains(&delay), "{delay:?}");
        }
    }

    #[test]
    fn a_narrow_link_is_shared_and_its_directions_are_not() {
        let mut links = Links::new(3);
        let link = between(&mut links);
        link.settings = LinkSettings {
            delay_min: Duration::ZERO,
            delay_max: Duration::ZERO,
            bytes_per_second: Some(1000),
            ..LinkSettings::LOCAL
        };
        let now = Instant::default();
        let tenth = Duration::from_millis(100);
        assert_eq!(link.arrival(now, false, 100 - HEADER), now + tenth);
        assert_eq!(link.arrival(now, false, 100 - HEADER), now + tenth * 2);
        assert_eq!(link.arrival(now, true, 100 - HEADER), now + tenth);
    }
}
