//! Servers of raw bytes, on threads.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::support::*;

/// A server that gives each of so many connections, one after the other, to `script` with its number.
pub(super) struct Peer<T> {
    pub(super) address: SocketAddr,
    thread: Thread<Vec<T>>,
}

pub(super) fn peer<T: Send + 'static>(
    connections: usize,
    script: impl Fn(usize, TcpStream) -> T + Send + 'static,
) -> Peer<T> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let take = move |number| {
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("read timeout");
        script(number, stream)
    };
    Peer { address, thread: thread(move || (0..connections).map(take).collect()) }
}

impl<T> Peer<T> {
    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What the scripts returned, once all have ended.
    pub(super) async fn ended(self) -> Vec<T> {
        self.thread.await
    }
}

/// The next request with its body, `None` at the end of the connection.
pub(super) fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => request.extend_from_slice(&byte),
            Ok(_) | Err(_) => return None,
        }
    }
    let head = String::from_utf8(request).expect("text");
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let body = read_exactly(stream, length.unwrap_or(0));
    Some(head + &String::from_utf8(body).expect("text"))
}

/// How many requests come on a connection. Each is answered with `response`.
pub(super) fn answer_all(stream: &mut TcpStream, response: &str) -> usize {
    let mut count = 0;
    while read_request(stream).is_some() {
        count += 1;
        if stream.write_all(response.as_bytes()).is_err() {
            break;
        }
    }
    count
}

/// Writes in pieces, with time between them to arrive alone.
pub(super) fn write_pieces<'a>(stream: &mut TcpStream, pieces: impl IntoIterator<Item = &'a [u8]>) {
    for piece in pieces {
        // The client may have hung up.
        let _ = stream.write_all(piece);
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Waits until the client closes.
pub(super) fn await_end(stream: &mut TcpStream) {
    let mut bytes = [0; 64 * 1024];
    while matches!(stream.read(&mut bytes), Ok(1..)) {}
}

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
