//! One machine: its addresses, descriptors, ports, names and clock.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::errno;
use super::file::FileId;
use super::unix::{Inode, Name};
use crate::instant::Instant;

/// A machine of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub(super) u32);

impl HostId {
    /// Its place in the order in which the hosts were added.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a machine has and allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// Descriptors at most (`RLIMIT_NOFILE`).
    pub descriptors_max: u32,
    /// Bytes a fresh socket's send buffer holds.
    pub send_buffer: u32,
    /// Bytes a fresh socket's receive buffer holds.
    pub receive_buffer: u32,
    /// Cap of every backlog (`net.core.somaxconn`).
    pub backlog_max: u32,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self { descriptors_max: 20_000, send_buffer: 64 * 1024, receive_buffer: 64 * 1024, backlog_max: 4096 }
    }
}

/// How a host ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Death {
    /// The process is killed: the kernel closes its sockets as close(2) would.
    Killed,
    /// All connections are reset.
    Reset,
    /// The machine is gone: peers hear nothing any more.
    Silent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    /// The machine answers, but no program runs.
    Dead,
    /// It does not even answer.
    Silent,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) settings: HostSettings,
    pub(super) life: Life,
    pub(super) descriptors: Descriptors,
    /// Listeners by port.
    pub(super) ports: BTreeMap<u16, Vec<FileId>>,
    pub(super) names: BTreeMap<Name, Inode>,
    pub(super) inodes: u64,
    next_port: u16,
    /// How far the wall clock is from where the world's began.
    pub(super) wall_offset: i64,
}

/// Where every wall clock starts: 2026-01-01 00:00 UTC.
const WALL_START: Duration = Duration::from_secs(1_767_225_600);

/// `net.ipv4.ip_local_port_range`.
const PORTS: std::ops::RangeInclusive<u16> = 32_768..=60_999;

impl Host {
    pub(super) fn new(name: &str, addresses: Vec<IpAddr>, settings: HostSettings) -> Self {
        Self {
            name: name.to_owned(),
            addresses,
            settings,
            life: Life::Alive,
            descriptors: Descriptors::default(),
            ports: BTreeMap::new(),
            names: BTreeMap::new(),
            inodes: 0,
            next_port: *PORTS.start(),
            wall_offset: 0,
        }
    }

    /// A port nobody listens at.
    ///
    /// # Errors
    /// EADDRINUSE when there is none.
    pub(super) fn free_port(&mut self) -> io::Result<u16> {
        for _ in PORTS {
            let port = self.next_port;
            self.next_port = if port == *PORTS.end() { *PORTS.start() } else { port + 1 };
            if !self.ports.contains_key(&port) {
                return Ok(port);
            }
        }
        Err(errno(libc::EADDRINUSE))
    }

    pub(super) fn wall_clock(&self, now: Instant) -> SystemTime {
        let start = SystemTime::UNIX_EPOCH + WALL_START + Duration::from_nanos(now.as_nanos());
        let offset = Duration::from_nanos(self.wall_offset.unsigned_abs());
        if self.wall_offset < 0 { start - offset } else { start + offset }
    }

    /// A number for a new file of the file system.
    pub(super) fn new_inode(&mut self) -> u64 {
        self.inodes += 1;
        self.inodes
    }
}

/// A table of descriptors. Numbers are given out lowest first (open(2)); 0 to 2 are taken.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    files: Vec<Option<FileId>>,
    vacant: BTreeSet<u32>,
    pub(super) opened: u64,
    pub(super) closed: u64,
}

const FIRST: u32 = 3;

impl Descriptors {
    /// Whether another one would stay below `max`.
    pub(super) fn has_room(&self, max: u32) -> bool {
        self.next() < max
    }

    fn next(&self) -> u32 {
        self.vacant.first().copied().unwrap_or(FIRST + self.files.len() as u32)
    }

    pub(super) fn open(&mut self, file: FileId) -> i32 {
        self.opened += 1;
        let number = self.next();
        if self.vacant.pop_first().is_some() {
            self.files[(number - FIRST) as usize] = Some(file);
        } else {
            self.files.push(Some(file));
        }
        number as i32
    }

    /// # Errors
    /// EBADF.
    pub(super) fn get(&self, number: i32) -> io::Result<FileId> {
        let index = u32::try_from(number).ok().and_then(|number| number.checked_sub(FIRST));
        let file = index.and_then(|index| self.files.get(index as usize).copied().flatten());
        file.ok_or_else(|| errno(libc::EBADF))
    }

    /// # Errors
    /// EBADF.
    pub(super) fn close(&mut self, number: i32) -> io::Result<FileId> {
        let file = self.get(number)?;
        self.files[number as usize - FIRST as usize] = None;
        self.vacant.insert(number as u32);
        self.closed += 1;
        Ok(file)
    }

    pub(super) fn live(&self) -> usize {
        self.files.len() - self.vacant.len()
    }

    /// The open files, one for each descriptor.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i32, FileId)> + '_ {
        (FIRST as i32..).zip(&self.files).filter_map(|(number, file)| Some((number, (*file)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Key;

    #[test]
    fn the_lowest_free_number_is_given_out() {
        let mut descriptors = Descriptors::default();
        let file = FileId(Key::NONE);
        let numbers: Vec<_> = (0..5).map(|_| descriptors.open(file)).collect();
        assert_eq!(numbers, [3, 4, 5, 6, 7]);
        for number in [6, 4] {
            descriptors.close(number).expect("open");
        }
        assert_eq!(descriptors.close(4).expect_err("closed").raw_os_error(), Some(libc::EBADF));
        assert_eq!((descriptors.open(file), descriptors.open(file), descriptors.open(file)), (4, 6, 8));
        assert_eq!((descriptors.opened, descriptors.closed, descriptors.live()), (8, 2, 6));
        assert!(!descriptors.has_room(9) && descriptors.has_room(10));
        assert!(descriptors.get(0).is_err() && descriptors.get(-1).is_err());
    }

    #[test]
    fn a_wall_clock_runs_with_the_world_from_where_it_was_set() {
        let mut host = Host::new("a", Vec::new(), HostSettings::default());
        let start = host.wall_clock(Instant::default());
        host.wall_offset = -5_000_000_000;
        let later = host.wall_clock(Instant::from_nanos(3_000_000_000));
        assert_eq!(start.duration_since(later).expect("earlier"), Duration::from_secs(2));
    }
}
