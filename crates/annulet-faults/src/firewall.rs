//! Packets that get lost, and connections the network resets: nftables, in a namespace.

use std::net::SocketAddr;

use crate::machine::system;

/// A table of its own on the way in, where every packet of loopback comes by.
pub(crate) struct Firewall {
    port: u16,
    /// Packets met by rules that are gone.
    met: u64,
}

impl Firewall {
    pub(crate) fn new(server: SocketAddr) -> anyhow::Result<Self> {
        system(&["nft", "add table inet faults"])?;
        system(&["nft", "add chain inet faults arrivals { type filter hook input priority 0; }"])?;
        Ok(Self { port: server.port(), met: 0 })
    }

    /// Loses so many of a thousand packets, both ways.
    pub(crate) fn lose(&self, of_a_thousand: u64) -> anyhow::Result<()> {
        let chance = format!("numgen random mod 1000 < {of_a_thousand} counter drop");
        self.both_ways(&chance)
    }

    /// Answers so many of a thousand packets with a reset to who sent them; its peer is not told.
    pub(crate) fn reset(&self, of_a_thousand: u64) -> anyhow::Result<()> {
        let chance = format!("numgen random mod 1000 < {of_a_thousand} counter reject with tcp reset");
        self.both_ways(&chance)
    }

    /// Lets no packet through.
    pub(crate) fn cut(&self) -> anyhow::Result<()> {
        self.both_ways("counter drop")
    }

    fn both_ways(&self, rule: &str) -> anyhow::Result<()> {
        for end in ["dport", "sport"] {
            system(&["nft", &format!("add rule inet faults arrivals tcp {end} {} {rule}", self.port)])?;
        }
        Ok(())
    }

    /// Takes all rules back.
    pub(crate) fn heal(&mut self) -> anyhow::Result<()> {
        let rules = system(&["nft", "list", "chain", "inet", "faults", "arrivals"])?;
        let counts = rules.split("counter packets ").skip(1).filter_map(|rest| rest.split(' ').next());
        self.met += counts.filter_map(|count| count.parse::<u64>().ok()).sum::<u64>();
        system(&["nft", "flush chain inet faults arrivals"])?;
        Ok(())
    }

    /// Packets lost or answered with a reset, up to the latest [`heal`](Self::heal).
    pub(crate) fn met(&self) -> u64 {
        self.met
    }
}
