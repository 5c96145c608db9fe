//! What to change, and why.

use annulet::driver::{self, StepDown};

use super::system::System;

/// Connections a server should be able to hold without anybody having to think of it.
const DESCRIPTORS_WANTED: u64 = 65_536;
/// What the rings of one reactor lock, rounded up.
const LOCKED_PER_REACTOR: u64 = 256 * 1024;
/// The accept queue a server asks for by default.
const BACKLOG: u64 = 1024;
/// Fewer ports than this run out when a busy proxy reconnects.
const PORTS_WANTED: u64 = 20_000;

/// Advice on what was found; empty when all is well.
pub(super) fn give(probed: &driver::Report, system: &System) -> Vec<String> {
    let mut advice = Vec::new();
    if probed.rung.is_none() {
        advice.push(for_uring(&probed.kernel, &probed.steps, system));
    }
    for_limits(probed.rung.is_some(), system, &mut advice);
    for_network(system, &mut advice);
    advice
}

/// How to get io_uring.
fn for_uring(kernel: &str, steps: &[StepDown], system: &System) -> String {
    let reason = steps.last().map_or("", |step| step.reason.as_str());
    match system.number("kernel.io_uring_disabled") {
        Some(2) => {
            return "io_uring is switched off for everybody: sysctl -w kernel.io_uring_disabled=0".into();
        }
        Some(1) if reason.contains("EPERM") => {
            return "io_uring is for one group only: put this user into the one of kernel.io_uring_group, or \
                    sysctl -w kernel.io_uring_disabled=0"
                .into();
        }
        _ => {}
    }
    if reason.contains("ENOMEM") {
        "io_uring was refused memory: raise the limit on locked memory (ulimit -l, or LimitMEMLOCK= of a service)".into()
    } else if system.seccomp == Some(true) && (reason.contains("EPERM") || reason.contains("ENOSYS")) {
        "a seccomp filter blocks io_uring, as containers do by default: allow io_uring_setup, io_uring_enter and \
         io_uring_register in its profile"
            .into()
    } else if reason.contains("EPERM") || reason.contains("EACCES") {
        "a security module (see the kernel's log) denies io_uring: allow it for this program".into()
    } else {
        format!("io_uring as a server needs it came with Linux 6.1 (CONFIG_IO_URING); this is {kernel}")
    }
}

fn for_limits(has_uring: bool, system: &System, advice: &mut Vec<String>) {
    if let Some(hard) = system.limits.descriptors_hard.filter(|hard| *hard < DESCRIPTORS_WANTED) {
        advice.push(format!(
            "a connection takes a descriptor, and this process may have {hard}: raise the hard limit (ulimit -Hn, or \
             LimitNOFILE= of a service)"
        ));
    }
    let wanted = LOCKED_PER_REACTOR * system.cores.len() as u64;
    if let Some(locked) = system.limits.locked_memory.filter(|locked| has_uring && *locked < wanted) {
        advice.push(format!(
            "rings are charged to the limit on locked memory, which is {} KiB: raise it to {} KiB or more (ulimit -l, or \
             LimitMEMLOCK= of a service)",
            locked / 1024,
            wanted / 1024
        ));
    }
}

fn for_network(system: &System, advice: &mut Vec<String>) {
    for name in ["net.core.somaxconn", "net.ipv4.tcp_max_syn_backlog"] {
        if let Some(value) = system.number(name).filter(|value| *value < BACKLOG) {
            advice.push(format!(
                "bursts of more than {value} new connections are slowed down: sysctl -w {name}=4096"
            ));
        }
    }
    if system.number("net.ipv4.tcp_abort_on_overflow") == Some(1) {
        advice.push(
            "clients that come in a burst are reset instead of slowed down: sysctl -w net.ipv4.tcp_abort_on_overflow=0"
                .into(),
        );
    }
    if system.cores.len() > 1 && system.number("net.ipv4.tcp_migrate_req") == Some(0) {
        advice.push(
            "with several reactors, connections in the middle of their handshake are reset when one stops listening: \
             sysctl -w net.ipv4.tcp_migrate_req=1"
                .into(),
        );
    }
    if let Some(ports) = local_ports(system).filter(|ports| *ports < PORTS_WANTED) {
        advice.push(format!(
            "only {ports} ports are there for outgoing connections: sysctl -w \
             net.ipv4.ip_local_port_range='16384 60999'"
        ));
    }
}

fn local_ports(system: &System) -> Option<u64> {
    let (first, last) = system.sysctl("net.ipv4.ip_local_port_range")?.split_once(' ')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some((last + 1).saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::super::system::Limits;
    use super::*;

    fn system(sysctls: &[(&'static str, &str)]) -> System {
        System {
            limits: Limits {
                descriptors_soft: Some(1024),
                descriptors_hard: Some(1 << 20),
                locked_memory: Some(8 << 20),
            },
            cores: vec![0, 1],
            seccomp: Some(false),
            sysctls: sysctls.iter().map(|(name, value)| (*name, Some((*value).to_owned()))).collect(),
        }
    }

    fn uring_advice(system: &System, reason: &str) -> String {
        let step = StepDown { tried: "a rung".into(), reason: reason.into() };
        for_uring("5.10.0", &[step], system)
    }

    #[test]
    fn a_refused_ring_is_traced_to_whoever_refuses_it() {
        let eperm = "io_uring_setup: EPERM, blocked";
        assert!(
            uring_advice(&system(&[("kernel.io_uring_disabled", "2")]), eperm)
                .contains("io_uring_disabled=0")
        );
        assert!(
            uring_advice(&system(&[("kernel.io_uring_disabled", "1")]), eperm).contains("io_uring_group")
        );
        let contained = System { seccomp: Some(true), ..system(&[("kernel.io_uring_disabled", "0")]) };
        assert!(uring_advice(&contained, eperm).contains("seccomp filter"));
        assert!(uring_advice(&system(&[]), eperm).contains("security module"));
        assert!(uring_advice(&system(&[]), "io_uring_setup: ENOMEM").contains("ulimit -l"));
        assert!(uring_advice(&system(&[]), "io_uring_setup: EINVAL").contains("5.10.0"));
    }

    #[test]
    fn small_queues_and_ranges_are_noticed() {
        let mut advice = Vec::new();
        for_network(
            &system(&[
                ("net.core.somaxconn", "128"),
                ("net.ipv4.tcp_max_syn_backlog", "4096"),
                ("net.ipv4.tcp_migrate_req", "0"),
                ("net.ipv4.tcp_abort_on_overflow", "1"),
                ("net.ipv4.ip_local_port_range", "60000 60999"),
            ]),
            &mut advice,
        );
        assert_eq!(advice.len(), 4, "{advice:?}");
        for word in ["net.core.somaxconn", "tcp_migrate_req=1", "tcp_abort_on_overflow=0", "only 1000 ports"]
        {
            assert!(advice.iter().any(|line| line.contains(word)), "{word}: {advice:?}");
        }
    }

    #[test]
    fn nothing_is_said_when_all_is_well() {
        let mut advice = Vec::new();
        let well = system(&[
            ("net.core.somaxconn", "4096"),
            ("net.ipv4.tcp_max_syn_backlog", "2048"),
            ("net.ipv4.tcp_migrate_req", "1"),
            ("net.ipv4.tcp_abort_on_overflow", "0"),
            ("net.ipv4.ip_local_port_range", "32768 60999"),
        ]);
        for_limits(true, &well, &mut advice);
        for_network(&well, &mut advice);
        assert!(advice.is_empty(), "{advice:?}");
    }

    #[test]
    fn low_limits_are_noticed() {
        let low = System {
            limits: Limits {
                descriptors_soft: Some(1024),
                descriptors_hard: Some(4096),
                locked_memory: Some(64 * 1024),
            },
            ..system(&[])
        };
        let mut advice = Vec::new();
        for_limits(true, &low, &mut advice);
        assert!(
            advice[0].contains("4096") && advice[1].contains("64 KiB") && advice.len() == 2,
            "{advice:?}"
        );
    }
}
