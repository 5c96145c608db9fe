//! One exchange as the suite has it: send everything, then look at what came and whether the connection is still there.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

/// After the head, for the body and what else may come.
const DRAIN: Duration = Duration::from_millis(100);
/// After that, for the end.
const END: Duration = Duration::from_millis(50);
/// Without a head.
const ANSWER: Duration = Duration::from_secs(5);
/// The same where no answer is as good as a right one: a wrong one is not late.
const SILENCE: Duration = Duration::from_secs(2);

pub(super) struct Client {
    stream: TcpStream,
    is_closed: bool,
}

/// What came back.
#[derive(Debug)]
pub(super) enum Answer {
    Response(Response),
    /// The connection ended, in order or not, before a status line.
    Closed,
    None,
}

#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    /// The first response's head, its empty line included.
    pub(super) head: String,
    /// What follows the first head.
    pub(super) body: Vec<u8>,
    pub(super) status_lines: usize,
    pub(super) is_closed: bool,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, is_closed: false }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn exchange(&mut self, bytes: &[u8], silence_is_fine: bool) -> Answer {
        // Who is refused half-way sees an error here and the answer below.
        let _ = self.stream.write_all(bytes);
        let patience = if silence_is_fine { SILENCE } else { ANSWER };
        let mut received = self.receive(patience, |received| find(received, b"\r\n\r\n").is_some());
        if !self.is_closed && !received.is_empty() {
            sleep(DRAIN);
            self.stream.set_nonblocking(true).expect("non-blocking");
            received.extend(self.receive(DRAIN, |_| false));
            self.stream.set_nonblocking(false).expect("blocking");
        }
        if !self.is_closed {
            received.extend(self.receive(END, |_| false));
        }
        match Response::parse(&received, self.is_closed) {
            Some(response) => Answer::Response(response),
            None if self.is_closed => Answer::Closed,
            None => Answer::None,
        }
    }

    /// What comes until `is_enough`, or the end, or nothing for so long.
    fn receive(&mut self, patience: Duration, is_enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        self.stream.set_read_timeout(Some(patience)).expect("a time-out");
        let mut received = Vec::new();
        let mut bytes = vec![0; 64 * 1024];
        while !is_enough(&received) {
            match self.stream.read(&mut bytes) {
                Ok(0) => self.is_closed = true,
                Ok(count) => received.extend_from_slice(&bytes[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(_) => self.is_closed = true,
            }
            if self.is_closed {
                break;
            }
        }
        received
    }
}

impl Response {
    fn parse(received: &[u8], is_closed: bool) -> Option<Self> {
        let end = find(received, b"\r\n\r\n").map_or(received.len(), |end| end + 4);
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        let status = status_of(received)?;
        let status_lines = (0..received.len()).filter(|at| status_of(&received[*at..]).is_some()).count();
        Some(Self { status, head, body: received[end..].to_owned(), status_lines, is_closed })
    }

    /// The value of the first field of this name.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let is_it =
            |line: &&str| line.split_once(':').is_some_and(|(known, _)| known.eq_ignore_ascii_case(name));
        self.head.lines().find(is_it).map(|line| line[name.len() + 1..].trim())
    }
}

/// The status of a status line that begins here.
fn status_of(bytes: &[u8]) -> Option<u16> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', a, b, c, ..] = bytes else {
        return None;
    };
    std::str::from_utf8(&[*a, *b, *c]).ok()?.parse().ok()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
