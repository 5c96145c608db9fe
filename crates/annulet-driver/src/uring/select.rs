//! Going down the ladder until a rung holds.

use io_uring::opcode;

use super::ladder::Rung;
use super::ring::Ring;
use super::self_test;
use super::traits::{Feature, Traits};
use crate::choice::StepDown;

/// A rung that holds, and what this kernel can do beyond what is required.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Setup {
    pub(crate) rung: Rung,
    pub(crate) traits: Traits,
}

/// Tries `rungs` in order; returns the first that proves itself, and why those before it did not.
pub(crate) fn climb(rungs: &[Rung]) -> (Option<Setup>, Vec<StepDown>) {
    let mut steps = Vec::new();
    for &rung in rungs {
        match self_test::run(rung) {
            Ok(traits) => return (Some(Setup { rung, traits }), steps),
            Err(refusal) => {
                steps.push(StepDown { tried: rung.name().to_owned(), reason: refusal.reason });
                if refusal.is_final {
                    break;
                }
            }
        }
    }
    (None, steps)
}

/// What the kernel says of the opcodes that matter to a network server, used here or not. Empty when it says nothing.
pub(crate) fn examine(rung: Rung) -> Vec<Feature> {
    let Ok(ring) = Ring::new(rung, 8, 16, false) else { return Vec::new() };
    let Ok(probe) = ring.probe() else { return Vec::new() };
    let feature = |(name, code, since)| Feature { name, present: probe.is_supported(code), since };
    OPCODES.into_iter().map(feature).collect()
}

const OPCODES: [(&str, u8, &str); 15] = [
    ("POLL_ADD", opcode::PollAdd::CODE, "5.1"),
    ("SENDMSG", opcode::SendMsg::CODE, "5.3"),
    ("RECVMSG", opcode::RecvMsg::CODE, "5.3"),
    ("ACCEPT", opcode::Accept::CODE, "5.5"),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE, "5.5"),
    ("CONNECT", opcode::Connect::CODE, "5.5"),
    ("SEND", opcode::Send::CODE, "5.6"),
    ("RECV", opcode::Recv::CODE, "5.6"),
    ("OPENAT2", opcode::OpenAt2::CODE, "5.6"),
    ("STATX", opcode::Statx::CODE, "5.6"),
    ("READ", opcode::Read::CODE, "5.6"),
    ("SHUTDOWN", opcode::Shutdown::CODE, "5.11"),
    ("MSG_RING", opcode::MsgRingData::CODE, "5.18"),
    ("SOCKET", opcode::Socket::CODE, "5.19"),
    ("SEND_ZC", opcode::SendZc::CODE, "6.0"),
];
