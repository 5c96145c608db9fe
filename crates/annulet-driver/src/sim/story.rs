//! The log in words. Entries are numbers; whom they stand for is remembered apart, for files and connections may be gone
//! when the story is told.

use std::collections::VecDeque;
use std::io;

use super::fault::{Fault, Operation};
use super::file::FileId;
use super::host::HostId;
use super::log::{LogEntry, LogKind};
use super::stream::{End, StreamId};
use super::world::State;
use crate::socket::{Address, UnixAddress};

/// Files and connections remembered: more than the entries that are kept can name.
const REMEMBERED: usize = 8192;

/// Whom the numbers of files and connections stand for.
#[derive(Debug, Default)]
pub(super) struct Names {
    files: VecDeque<(u64, HostId, i32)>,
    streams: VecDeque<(u64, [Place; 2])>,
}

/// Where an end of a connection is; nowhere, if no machine has the address.
type Place = (Option<HostId>, Address);

impl Names {
    pub(super) fn add_file(&mut self, id: FileId, host: HostId, descriptor: i32) {
        remember(&mut self.files, (id.to_bits(), host, descriptor));
    }

    pub(super) fn add_stream(&mut self, id: StreamId, ends: &[End; 2]) {
        remember(
            &mut self.streams,
            (id.0.to_bits(), ends.each_ref().map(|end| (end.host, end.local.clone()))),
        );
    }
}

fn remember<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == REMEMBERED {
        list.pop_front();
    }
    list.push_back(item);
}

impl State {
    /// What an entry says. Of kinds that are not the world's, only the numbers can be told.
    pub(super) fn tell(&self, entry: &LogEntry) -> String {
        let LogEntry { kind, a, b, .. } = *entry;
        let (host, file, stream) = (|| self.host_told(a), || self.file_told(a), || self.stream_told(a));
        match kind {
            LogKind::OPEN => format!("{} opens descriptor {b}", host()),
            LogKind::CLOSE => format!("{} closes descriptor {b}", host()),
            LogKind::LISTEN if b == 0 => format!("{} listens", file()),
            LogKind::LISTEN => format!("{} listens at port {b}", file()),
            LogKind::CONNECT if b == 0 => format!("{} connects", file()),
            LogKind::CONNECT => format!("{} connects to port {b}", file()),
            LogKind::ACCEPT => format!("{} accepts: now {}", file(), self.file_told(b)),
            LogKind::SEND => match amount(b) {
                Ok(bytes) => format!("{} sends {}", file(), told_bytes(bytes)),
                Err(libc::EAGAIN) => format!("{} finds no room to send", file()),
                Err(error) => format!("{} cannot send: {}", file(), error_told(error)),
            },
            LogKind::RECEIVE => match amount(b) {
                Ok(0) => format!("{} receives the end", file()),
                Ok(bytes) => format!("{} receives {}", file(), told_bytes(bytes)),
                Err(libc::EAGAIN) => format!("{} finds nothing to receive", file()),
                Err(error) => format!("{} receives an error: {}", file(), error_told(error)),
            },
            LogKind::SHUTDOWN => {
                format!("{} shuts down {}", file(), ["receiving", "sending", "both"][b as usize & 3])
            }
            LogKind::ARRIVAL => {
                let way = self.way_told(a, b >> 63);
                let what = match b >> 32 & 0xff {
                    1 => "SYN".to_owned(),
                    2 => "SYN-ACK".to_owned(),
                    3 => "ACK of the handshake".to_owned(),
                    4 => told_bytes(b & 0xffff_ffff),
                    5 => "FIN".to_owned(),
                    6 => "ACK".to_owned(),
                    _ => "RST".to_owned(),
                };
                format!("{way}: {what}")
            }
            LogKind::HELD => format!("{}: a packet is held, there is no way", self.way_told(a, b)),
            LogKind::ROOM => format!("{}: {} has room to send again", stream(), self.end_told(a, b)),
            LogKind::GIVE_UP => format!("{}: {} has waited for an answer", stream(), self.end_told(a, b)),
            LogKind::PROBE => {
                format!("{}: {} asks whether the other is there", stream(), self.end_told(a, b))
            }
            LogKind::FAILED => {
                let error = error_told(b as u32 as i32);
                format!("{}: over for {}: {error}", stream(), self.end_told(a, b >> 32))
            }
            LogKind::CUT => format!("the way between {} and {} is cut", host(), self.host_told(b)),
            LogKind::HEAL => format!("the way between {} and {} is mended", host(), self.host_told(b)),
            LogKind::KILL => format!("{} is killed", host()),
            LogKind::RESTART => format!("{} starts again", host()),
            LogKind::SIGNAL => format!("{} gets signal {b}", host()),
            LogKind::CLOCK => {
                format!("the wall clock of {} jumps by {:.3} s", host(), b as i64 as f64 / 1e9)
            }
            LogKind::END_FAULTS => "faults end".to_owned(),
            LogKind::FAULT => {
                let fault = Fault::ALL[a as usize];
                match Operation::ALL.get(b as usize) {
                    Some(operation) => format!("FAULT {fault} meets {operation}"),
                    None => format!("FAULT {fault}"),
                }
            }
            _ => format!("{} {a} {b}", kind.name),
        }
    }

    pub(super) fn host_told(&self, index: u64) -> String {
        self.hosts.get(index as usize).map_or_else(|| format!("host {index}"), |host| host.name.clone())
    }

    fn file_told(&self, bits: u64) -> String {
        match self.names.files.iter().rev().find(|(file, ..)| *file == bits) {
            Some((_, host, descriptor)) => {
                format!("{} descriptor {descriptor}", self.host_told(host.index() as u64))
            }
            None => format!("file {bits}"),
        }
    }

    fn stream_told(&self, bits: u64) -> String {
        format!("{} - {}", self.end_told(bits, 0), self.end_told(bits, 1))
    }

    fn way_told(&self, bits: u64, from: u64) -> String {
        format!("{} -> {}", self.end_told(bits, from), self.end_told(bits, 1 - from))
    }

    /// `client:32768`, one end of a connection.
    fn end_told(&self, bits: u64, side: u64) -> String {
        let Some((_, ends)) = self.names.streams.iter().rev().find(|(stream, _)| *stream == bits) else {
            return format!("end {side} of connection {bits}");
        };
        let (host, address) = &ends[side as usize & 1];
        let host = host.map_or_else(|| "nobody".to_owned(), |host| self.host_told(host.index() as u64));
        match address {
            Address::Tcp(address) => format!("{host}:{}", address.port()),
            Address::Unix(UnixAddress::Unnamed) => host,
            Address::Unix(_) => format!("{host}:unix"),
        }
    }
}

/// The reverse of what a log entry makes of a call's result.
fn amount(number: u64) -> Result<u64, i32> {
    if number >> 63 == 0 { Ok(number) } else { Err(number as i32) }
}

fn told_bytes(count: u64) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

/// What the system calls an error, without its number.
pub(crate) fn error_told(number: i32) -> String {
    match number {
        libc::ECANCELED => "cancelled".to_owned(),
        libc::ENOBUFS => "no buffers (ENOBUFS)".to_owned(),
        libc::EINTR => "interrupted".to_owned(),
        _ => {
            let text = io::Error::from_raw_os_error(number).to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
    }
}
