//! What must hold of a world at any time.

use super::file::{FileId, Kind};
use super::host::{Host, Life};
use super::stream::{CLIENT, EndState, SERVER, Stream, StreamId};
use super::world::State;

impl State {
    /// Everything that is not as it must be.
    pub(super) fn audit(&self) -> Vec<String> {
        let mut violations = self.violations.clone();
        for host in &self.hosts {
            self.audit_host(host, &mut violations);
        }
        for key in self.streams.keys() {
            let id = StreamId(key);
            self.audit_stream(id, self.stream(id), &mut violations);
        }
        violations
    }

    fn audit_host(&self, host: &Host, violations: &mut Vec<String>) {
        let mut complain = |what: String| violations.push(format!("host {}: {what}", host.name));
        let table = &host.descriptors;
        if table.opened != table.closed + table.live() as u64 {
            complain(format!(
                "{} descriptors opened, {} closed, {} live",
                table.opened,
                table.closed,
                table.live()
            ));
        }
        if host.life != Life::Alive && table.live() > 0 {
            complain(format!("is dead and has {} descriptors", table.live()));
        }
        for (descriptor, file) in table.iter() {
            match self.files.get(file.0) {
                Some(file) if file.descriptors == 0 => {
                    complain(format!("descriptor {descriptor} is not counted"))
                }
                Some(_) => {}
                None => complain(format!("descriptor {descriptor} names a closed file")),
            }
        }
    }

    fn audit_stream(&self, id: StreamId, stream: &Stream, violations: &mut Vec<String>) {
        for side in [CLIENT, SERVER] {
            let (end, direction) = (&stream.ends[side], &stream.directions[side]);
            let mut complain = |what: &str| {
                violations.push(format!("end {side} of connection {id:?} {what}: {direction:?}"))
            };
            if let Some(flaw) = direction.flaw() {
                complain(flaw);
            }
            if end.file.is_some_and(|file| !self.is_file_of(file, id, side)) {
                complain("belongs to a file that is not its own");
            }
            if end.state == EndState::Open && !end.is_held() && !end.is_send_shut {
                complain("is open and nobody's");
            }
        }
    }

    fn is_file_of(&self, file: FileId, id: StreamId, side: usize) -> bool {
        let kind = self.files.get(file.0).map(|file| &file.kind);
        matches!(kind, Some(Kind::Stream(stream, its)) if (*stream, *its) == (id, side))
    }
}
