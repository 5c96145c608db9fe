//! Connections, their readiness and their tally: what all modes are built from.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::conn::{Conn, Received};
use crate::poll::{Poll, Waiting};
use crate::report::Tally;
use crate::traffic::{Message, Traffic};

/// Longest wait in one go; modes look at their deadlines at least this often.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// How long a run may make no progress before it is called stalled.
pub(crate) const STALL: Duration = Duration::from_secs(10);

/// What all modes need to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) server: SocketAddr,
    pub(crate) server_pid: Option<u32>,
    pub(crate) connections: usize,
    pub(crate) message: Message,
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
    pub(crate) waiting: Waiting,
}

pub(crate) struct Client {
    pub(crate) tally: Tally,
    pub(crate) poll: Poll,
    traffic: Traffic,
    scratch: Vec<u8>,
    conns: Vec<Option<Conn>>,
}

impl Client {
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        Ok(Self {
            tally: Tally::new(),
            poll: Poll::new(options.waiting)?,
            traffic: Traffic::new(options.message, options.server),
            scratch: vec![0; 64 * 1024],
            conns: Vec::new(),
        })
    }

    /// Opens `options.connections` connections and waits until each is there.
    pub(crate) fn connect_all(&mut self, options: &Options) -> io::Result<()> {
        // In portions that fit a listener's backlog.
        const PORTION: usize = 256;
        while self.conns.len() < options.connections {
            let until = options.connections.min(self.conns.len() + PORTION);
            let first = self.conns.len();
            for index in first..until {
                self.open(index, options.server, None)?;
            }
            self.await_writable(until - first)?;
        }
        Ok(())
    }

    /// Opens a connection in slot `index`, which must be free or the next one.
    pub(crate) fn open(
        &mut self,
        index: usize,
        server: SocketAddr,
        source: Option<SocketAddr>,
    ) -> io::Result<()> {
        let beginning = match &self.traffic {
            Traffic::Echo { .. } => (0, 0),
            Traffic::Http { requests, .. } => requests.beginning(index),
        };
        let conn = Conn::start(server, source, beginning)?;
        self.poll.add(conn.fd(), index)?;
        if index == self.conns.len() {
            self.conns.push(Some(conn));
        } else {
            assert!(self.conns[index].is_none(), "slot {index} is taken");
            self.conns[index] = Some(conn);
        }
        Ok(())
    }

    fn await_writable(&mut self, mut pending: usize) -> io::Result<()> {
        let deadline = Instant::now() + STALL;
        while pending > 0 {
            // One edge each: nothing has been sent, so nothing else can happen.
            pending -= self.poll.wait(TICK)?.min(pending);
            if Instant::now() > deadline {
                return Err(io::Error::other("connecting stalled"));
            }
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.conns.len()
    }

    pub(crate) fn close(&mut self, index: usize) {
        self.conns[index] = None;
    }

    pub(crate) fn conn(&mut self, index: usize) -> Option<&mut Conn> {
        self.conns[index].as_mut()
    }

    /// Lets a connection send `bytes` more and sends what the socket takes.
    #[inline]
    pub(crate) fn send_more(&mut self, index: usize, bytes: u64) {
        let Some(conn) = self.conns[index].as_mut() else { return };
        conn.wanted += bytes;
        let sent = conn.send(self.traffic.outgoing());
        self.note_send(index, sent);
    }

    /// Lets a connection send a message more and sends what the socket takes.
    #[inline]
    pub(crate) fn send_message(&mut self, index: usize) {
        let Some(conn) = self.conns[index].as_mut() else { return };
        conn.want_message(&self.traffic);
        let sent = conn.send(self.traffic.outgoing());
        self.note_send(index, sent);
    }

    fn note_send(&mut self, index: usize, sent: io::Result<()>) {
        if let Err(error) = sent {
            self.fail(index, &format!("send: {error}"));
        }
    }

    /// Sends what is left and receives what is there; a wrong byte is counted, an error closes the connection.
    #[inline]
    pub(crate) fn exchange(&mut self, index: usize) -> Received {
        let Some(conn) = self.conns[index].as_mut() else { return Received::default() };
        let sent = if conn.sent < conn.wanted { conn.send(self.traffic.outgoing()) } else { Ok(()) };
        match sent.and_then(|()| conn.receive(&mut self.traffic, &mut self.scratch)) {
            Ok(received) => {
                self.tally.wrong_bytes += received.wrong as u64;
                received
            }
            Err(error) => {
                self.fail(index, &error.to_string());
                Received::default()
            }
        }
    }

    /// Like `exchange`, in a mode where the server must not end the connection.
    #[inline]
    pub(crate) fn exchange_open(&mut self, index: usize) -> usize {
        let received = self.exchange(index);
        if received.ended {
            self.fail(index, "the server closed the connection");
        }
        received.bytes
    }

    /// Counts an error and gives the connection up.
    pub(crate) fn fail(&mut self, index: usize, what: &str) {
        self.tally.error(format!("connection {index}: {what}"));
        self.conns[index] = None;
    }

    /// After the window: receives what is still on its way, and counts an error for each connection that never gets
    /// it.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + STALL;
        // The mode's loop may have ended with edges in hand: look at every connection once.
        for index in 0..self.conns.len() {
            self.exchange_open(index);
        }
        while self.is_owed() && Instant::now() < deadline {
            for at in 0..self.poll.wait(TICK)? {
                self.exchange_open(self.poll.token(at));
            }
        }
        for index in 0..self.conns.len() {
            if self.conns[index].as_ref().is_some_and(|conn| conn.received < conn.wanted) {
                self.fail(index, "bytes never came back");
            }
        }
        Ok(())
    }

    fn is_owed(&self) -> bool {
        self.conns.iter().flatten().any(|conn| conn.received < conn.wanted)
    }
}
