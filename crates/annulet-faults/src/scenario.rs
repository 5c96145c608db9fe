//! What goes wrong in a round.

mod blocked;
mod calls;
mod descriptors;
mod held;
mod killed;
mod memory;
mod network;
mod restarts;
mod starts;
mod stopped;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::machine::{IP, NFT, PERL, STRACE, TC, Tool};
use crate::round::{Round, Tolerance};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scenario {
    /// Nothing but clients that give up in the middle.
    Clients,
    /// Client processes killed in the middle of what they do.
    Killed,
    /// Server and clients stopped and continued.
    Stopped,
    /// Too few descriptors, then enough.
    Descriptors,
    /// Little memory: address space, locked memory.
    Memory,
    /// io_uring blocked by a seccomp filter.
    Blocked,
    /// A new server takes over the port of one that drains, again and again.
    Restarts,
    /// Connections that are held while others are busy.
    Held,
    /// System calls that fail while serving.
    Calls,
    /// System calls that fail while starting.
    Starts,
    /// Packets get lost.
    Loss,
    /// Connections are reset by the network and by an administrator.
    Resets,
    /// The network is gone for a while.
    Partition,
    /// A slow link with a queue, and small packets.
    Narrow,
}

impl Scenario {
    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().expect("none is skipped").get_name().to_owned()
    }

    /// Whether it only makes sense in a network of its own.
    pub(crate) fn needs_namespace(self) -> bool {
        matches!(self, Self::Loss | Self::Resets | Self::Partition | Self::Narrow)
    }

    /// What it needs of the system.
    pub(crate) fn tools(self) -> &'static [Tool] {
        match self {
            Self::Loss | Self::Partition | Self::Resets => &[NFT, IP],
            Self::Narrow => &[TC, IP],
            Self::Calls | Self::Starts => &[STRACE],
            Self::Blocked => &[PERL],
            _ => &[],
        }
    }

    pub(crate) fn play(self, round: &mut Round) -> anyhow::Result<()> {
        match self {
            Self::Clients => clients(round),
            Self::Killed => killed::play(round),
            Self::Stopped => stopped::play(round),
            Self::Descriptors => descriptors::play(round),
            Self::Memory => memory::play(round),
            Self::Blocked => blocked::play(round),
            Self::Restarts => restarts::play(round),
            Self::Held => held::play(round),
            Self::Calls => calls::play(round),
            Self::Starts => starts::play(round),
            Self::Loss => network::loss(round),
            Self::Resets => network::resets(round),
            Self::Partition => network::partition(round),
            Self::Narrow => network::narrow(round),
        }
    }
}

/// Clients that give up in the middle, with a reset or without a word.
fn clients(round: &mut Round) -> anyhow::Result<()> {
    let app = round.any_app();
    let mut served = round.serve(&round.launch(app))?;
    let mut orders = round.client(&served);
    orders.abandoned = round.random.within(0..=500);
    let crowd = crate::crowd::Crowd::start(&orders)?;
    while round.goes_on() {
        round.pause(50..=50);
    }
    round.finish(&mut served, crowd, Tolerance::Nothing)?;
    round.settle(served, Tolerance::Nothing)
}
