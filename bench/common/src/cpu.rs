//! CPU clocks with nanosecond resolution.
//!
//! A process' clock (`clock_getcpuclockid`) is the scheduler's sum of execution time over all its threads,
//! ended ones and kernel workers of its rings included. It also holds the loopback softirq work
//! that runs inside its own system calls, unless the kernel accounts interrupt time apart
//! (`CONFIG_IRQ_TIME_ACCOUNTING`).

use std::io;
use std::time::Duration;

/// CPU time of all threads of process `pid`, user and system.
pub fn process_cpu(pid: u32) -> io::Result<Duration> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` is a valid place for the id.
    let error = unsafe { libc::clock_getcpuclockid(pid, &mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    read_clock(clock)
}

/// CPU time of the calling thread.
pub fn thread_cpu() -> io::Result<Duration> {
    read_clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn read_clock(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Time all CPUs together have spent since boot.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine {
    /// Not idle: user, system and interrupts of everybody, and `steal`.
    pub busy: Duration,
    /// Taken away by the hypervisor.
    pub steal: Duration,
}

/// Reads `/proc/stat` (resolution: one tick of 10 ms); zeros if it cannot be read.
pub fn machine() -> Machine {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    parse_machine(stat.lines().next().unwrap_or_default())
}

/// `cpu user nice system idle iowait irq softirq steal …`
fn parse_machine(line: &str) -> Machine {
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|tick| tick.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else {
        return Machine::default();
    };
    let busy = user + nice + system + irq + softirq + steal;
    Machine { busy: Duration::from_millis(busy * 10), steal: Duration::from_millis(steal * 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_line_is_read_by_position() {
        let machine = parse_machine("cpu  10 1 20 9999 50 2 3 4 0 0");
        assert_eq!(machine.busy, Duration::from_millis(400));
        assert_eq!(machine.steal, Duration::from_millis(40));
    }

    #[test]
    fn clocks_advance() {
        let own = std::process::id();
        let before = process_cpu(own).expect("own clock");
        while process_cpu(own).expect("own clock") == before {}
        assert!(thread_cpu().expect("own clock") > Duration::ZERO);
    }
}
