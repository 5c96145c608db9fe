//! A connection that counts its bytes and knows how it ended.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// How long a connection may stand still, though both its ends are there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How a connection ended before its time.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It was never made.
    Refused(io::Error),
    /// It was reset, timed out, or its request was refused.
    Broken(String),
    /// An orderly end between a request and its answer.
    Unanswered,
    /// An orderly end in the middle of an answer.
    CutShort(String),
    /// Wrong bytes.
    Lost(String),
    /// Nothing came for too long.
    Hang(String),
    /// Given up by this client.
    Abandoned,
}

pub(crate) struct Wire {
    stream: TcpStream,
    port: u16,
    sent: u64,
    received: u64,
    /// What has come and was not asked for yet, from `taken` on.
    ahead: Vec<u8>,
    taken: usize,
    abandoned: Option<Abandon>,
}

/// Bytes read at a time.
const AHEAD: usize = 16 * 1024;

/// When and how to give up.
#[derive(Clone, Copy)]
struct Abandon {
    at: u64,
    by_reset: bool,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, Trouble> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(Trouble::Refused)?;
        let port = set_up(&stream).map_err(|error| Trouble::Broken(format!("while set up: {error}")))?;
        Ok(Self { stream, port, sent: 0, received: 0, ahead: Vec::new(), taken: 0, abandoned: None })
    }

    /// Gives up once so many bytes have been moved.
    pub(crate) fn abandon_after(&mut self, at: u64, by_reset: bool) {
        self.abandoned = Some(Abandon { at, by_reset });
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Another handle, for a thread that only sends. What it sends is to be counted here.
    pub(crate) fn sender(&self) -> Result<TcpStream, Trouble> {
        self.stream.try_clone().map_err(|error| broken(&error))
    }

    pub(crate) fn count_sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    pub(crate) fn send(&mut self, mut bytes: &[u8]) -> Result<(), Trouble> {
        while !bytes.is_empty() {
            self.abandon_now()?;
            match self.stream.write(&bytes[..bytes.len().min(64 * 1024)]) {
                Ok(count) => {
                    self.sent += count as u64;
                    bytes = &bytes[count..];
                }
                // A call with a limit on time ends when the process is stopped and continued.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(self.hang("nothing was taken"));
                }
                Err(error) => return Err(broken(&error)),
            }
        }
        Ok(())
    }

    /// What comes next; nothing at the end.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Trouble> {
        if self.taken == self.ahead.len() {
            self.read_ahead()?;
        }
        let bytes = &self.ahead[self.taken..];
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.taken += count;
        Ok(count)
    }

    fn read_ahead(&mut self) -> Result<(), Trouble> {
        self.abandon_now()?;
        self.taken = 0;
        self.ahead.resize(AHEAD, 0);
        let read = loop {
            match self.stream.read(&mut self.ahead) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.ahead.truncate(*read.as_ref().unwrap_or(&0));
        match read {
            Ok(count) => self.received += count as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(self.hang("nothing came")),
            Err(error) => return Err(broken(&error)),
        }
        Ok(())
    }

    /// So many bytes of an answer.
    pub(crate) fn receive_exactly(&mut self, length: usize) -> Result<Vec<u8>, Trouble> {
        let mut bytes = vec![0; length];
        let mut count = 0;
        while count < length {
            match self.receive(&mut bytes[count..])? {
                0 if count == 0 => return Err(Trouble::Unanswered),
                0 => {
                    return Err(Trouble::CutShort(format!("an orderly end after {count} of {length} bytes")));
                }
                more => count += more,
            }
        }
        Ok(bytes)
    }

    /// Ends this side.
    pub(crate) fn finish(&mut self) -> Result<(), Trouble> {
        self.stream.shutdown(Shutdown::Write).map_err(|error| broken(&error))
    }

    /// The peer has nothing more to say.
    pub(crate) fn expect_end(&mut self) -> Result<(), Trouble> {
        let mut rest = [0; 64];
        match self.receive(&mut rest)? {
            0 => Ok(()),
            count => Err(Trouble::Lost(format!("{:x?} instead of the end", &rest[..count]))),
        }
    }

    fn abandon_now(&self) -> Result<(), Trouble> {
        match self.abandoned {
            Some(abandon) if self.sent + self.received >= abandon.at => {
                if abandon.by_reset {
                    // Without it, closing is as orderly as unread bytes allow.
                    let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                }
                Err(Trouble::Abandoned)
            }
            _ => Ok(()),
        }
    }

    fn hang(&self, what: &str) -> Trouble {
        let Self { port, sent, received, .. } = self;
        Trouble::Hang(format!(
            "{what} for {PATIENCE:?} at port {port}, after {sent} bytes sent and {received} received"
        ))
    }
}

pub(crate) fn broken(error: &io::Error) -> Trouble {
    Trouble::Broken(error.to_string())
}

/// A connection that does not wait for ever, and notices when its peer's kernel no longer knows it: who was cut while the
/// network was down is told when it is up again.
fn set_up(stream: &TcpStream) -> io::Result<u16> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(3))
        .with_interval(Duration::from_secs(3))
        .with_retries(10);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream.local_addr()?.port())
}
