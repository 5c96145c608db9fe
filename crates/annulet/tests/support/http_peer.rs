//! HTTP as a client of bytes speaks it: nothing of ours decides where a message ends.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use annulet::http::Service;
use annulet::{Clocks, Handle, Server, Stats};

use super::{End, connect, connect_narrow, end_of};

/// A server of one service at a port of the kernel's choice.
pub(crate) async fn serve_http(service: Service) -> Server {
    serve_http_with(service, Clocks::default()).await
}

/// The same with clocks of the connection's.
pub(crate) async fn serve_http_with(service: Service, clocks: Clocks) -> Server {
    Server::builder().clocks(clocks).serve("127.0.0.1:0", service).start().await.expect("a server")
}

/// A request without fields of its own, and without a body.
pub(crate) fn get(target: &str) -> String {
    request("GET", target, "", "")
}

/// A request with lines of fields, each with its end, and what is to follow the head.
pub(crate) fn request(method: &str, target: &str, fields: &str, body: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n{body}")
}

/// POST of a body of a declared length.
pub(crate) fn post(target: &str, body: &str) -> String {
    request("POST", target, &format!("Content-Length: {}\r\n", body.len()), body)
}

/// POST of chunks, and the last one.
pub(crate) fn post_chunks(target: &str, chunks: &[&str]) -> String {
    let chunks: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
    request("POST", target, "Transfer-Encoding: chunked\r\n", &format!("{chunks}0\r\n\r\n"))
}

/// One connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    /// Received, and part of no answer yet.
    received: Vec<u8>,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line and the fields, `Date` left out.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The trailer lines.
    pub(crate) trailers: String,
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self { stream: connect(address), received: Vec::new() }
    }

    /// With a small kernel buffer, so that the server notices soon when nothing is read.
    pub(crate) fn connect_narrow(address: SocketAddr) -> Self {
        Self { stream: connect_narrow(address, 4096), received: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("write");
    }

    /// Sends what a server that is about to close may refuse to take.
    pub(crate) fn send_in_vain(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Ends this side.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("shutdown");
    }

    /// Sends a request and takes its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        let request = request.as_ref();
        self.send(request);
        if request.starts_with(b"HEAD ") { self.answer_to_head() } else { self.answer() }
    }

    /// The next response.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.answer_to_head();
        if answer.status < 200 || matches!(answer.status, 204 | 304) {
            return answer;
        }
        if answer.field("transfer-encoding") == Some("chunked") {
            (answer.body, answer.trailers) = self.chunks();
        } else if let Some(length) = answer.field("content-length") {
            answer.body = self.take(length.parse().expect("a number"));
        } else {
            let (rest, end) = self.rest();
            assert_eq!(end, End::Finished, "a body without a length ends in order");
            answer.body = rest;
        }
        answer
    }

    /// The next response, if it has no body.
    #[track_caller]
    pub(crate) fn answer_to_head(&mut self) -> Answer {
        let head = self.until("\r\n\r\n");
        let lines = head.trim_end().lines().filter(|line| !line.starts_with("Date: "));
        let head: Vec<_> = lines.collect();
        let status = head[0].strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        Answer {
            status: status.unwrap_or_else(|| panic!("no status line: {head:?}")),
            head: head.join("\n"),
            body: Vec::new(),
            trailers: String::new(),
        }
    }

    fn chunks(&mut self) -> (Vec<u8>, String) {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk() {
            body.extend(chunk);
        }
        let mut trailers = String::new();
        loop {
            match self.until("\r\n") {
                line if line == "\r\n" => return (body, trailers),
                line => trailers.push_str(&line),
            }
        }
    }

    /// The next chunk of a body; `None` for the last one, behind whose line the trailers begin.
    #[track_caller]
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.until("\r\n");
        let size = usize::from_str_radix(line.trim_end(), 16).expect("a chunk's size");
        if size == 0 {
            return None;
        }
        let chunk = self.take(size);
        assert_eq!(self.take(2), b"\r\n");
        Some(chunk)
    }

    /// The next bytes, up to and with `end`.
    #[track_caller]
    pub(crate) fn until(&mut self, end: &str) -> String {
        let mut from = 0;
        loop {
            let found = self.received[from..].windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(place) = found {
                let bytes = self.received.drain(..from + place + end.len());
                return String::from_utf8(bytes.collect()).expect("text");
            }
            from = self.received.len().saturating_sub(end.len() - 1);
            self.receive();
        }
    }

    /// The next bytes.
    #[track_caller]
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            self.receive();
        }
        self.received.drain(..count).collect()
    }

    #[track_caller]
    fn receive(&mut self) {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => panic!("ended after {:?}", String::from_utf8_lossy(&self.received)),
            Ok(count) => self.received.extend_from_slice(&bytes[..count]),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&self.received)),
        }
    }

    /// What is left until the end, and how it came.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        let mut bytes = std::mem::take(&mut self.received);
        let (rest, end) = end_of(&mut self.stream);
        bytes.extend(rest);
        (bytes, end)
    }

    /// Nothing more comes but an orderly end.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let (rest, end) = self.rest();
        assert_eq!((String::from_utf8_lossy(&rest).as_ref(), end), ("", End::Finished));
    }
}

impl Answer {
    /// The value of the first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn says_close(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// The counters of a runtime, looked at from a thread beside it.
#[derive(Clone)]
pub(crate) struct Counters(Handle);

impl Counters {
    /// Of the runtime this is called in.
    pub(crate) fn here() -> Self {
        Self(Handle::current())
    }

    pub(crate) fn get(&self, name: &str) -> u64 {
        Stats::of(&self.0).get(name).unwrap_or_else(|| panic!("there is no counter {name}"))
    }

    /// Waits until a counter has reached a value.
    pub(crate) fn wait_for(&self, name: &str, least: u64) {
        let start = std::time::Instant::now();
        while self.get(name) < least {
            assert!(start.elapsed() < super::PATIENCE, "{name} stays below {least}");
            std::thread::yield_now();
        }
    }
}
