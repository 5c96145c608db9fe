//! The other end of a connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::process::PATIENCE;

/// A TCP client that waits for a while, never for ever.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream =
            TcpStream::connect(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("sent");
    }

    /// Sends `message` again and again until the server has taken nothing for a while, or is gone. Reads nothing.
    pub(crate) fn send_until_stuck(&mut self, message: &[u8]) {
        let messages = message.repeat((1 << 16) / message.len());
        self.0.set_write_timeout(Some(Duration::from_millis(300))).expect("a time-out");
        while self.0.write_all(&messages).is_ok() {}
    }

    /// Ends this side.
    pub(crate) fn end(&mut self) {
        self.0.shutdown(Shutdown::Write).expect("ended");
    }

    /// The next bytes must be these.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut received = vec![0; expected.len()];
        let mut count = 0;
        while count < expected.len() {
            match self.0.read(&mut received[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&received[..count])),
            }
        }
        let (received, expected) =
            (String::from_utf8_lossy(&received[..count]), String::from_utf8_lossy(expected));
        assert_eq!(received, expected);
    }

    /// The next bytes.
    #[track_caller]
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).expect("bytes");
        bytes
    }

    /// The next bytes, up to and with `end`.
    #[track_caller]
    pub(crate) fn until(&mut self, end: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            bytes.extend(self.take(1));
        }
        bytes
    }

    /// The server must end, in order and without another byte.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let mut rest = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut rest) {
            panic!("{error} instead of the end, after {:?}", String::from_utf8_lossy(&rest));
        }
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }

    /// The server must close or reset without another byte.
    #[track_caller]
    pub(crate) fn expect_gone(&mut self) {
        match self.0.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("still there: {other:?}"),
        }
    }

    /// Everything up to the server's end.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("an orderly end");
        rest
    }
}

/// Sends `sent`, ends, and expects exactly `expected` and the end.
#[track_caller]
pub(crate) fn converse(address: SocketAddr, sent: &[u8], expected: &[u8]) {
    let mut client = Client::connect(address);
    client.send(sent);
    client.end();
    let received = client.rest();
    assert_eq!(
        String::from_utf8_lossy(&received),
        String::from_utf8_lossy(expected),
        "for {:?}",
        String::from_utf8_lossy(sent)
    );
}
