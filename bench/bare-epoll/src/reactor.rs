//! The loop: wait, then one receive and one send per ready connection.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;

use bench_common::counters::Counters;
use bench_common::http::{Http, Responses};
use bench_common::protocol::Protocol;

use crate::conn::{Conn, Slots};
use crate::poll::Poll;
use crate::sock;

const LISTENER: u64 = u64::MAX;
const INTEREST: i32 = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
/// With one of these the end, or an error, may be queued behind the data: read on to it.
const LAST_EDGE: i32 = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;
const BUFFER_SIZE: usize = 64 * 1024;

/// What became of a connection in an event.
enum Fate {
    Open,
    Closed,
}

pub(crate) struct Reactor<'a> {
    /// `None`: what arrives goes back.
    http: Option<Box<Http>>,
    counters: &'a Counters,
    listener: TcpListener,
    poll: Poll,
    buffer: Vec<u8>,
    conns: Slots,
    /// Accepting stopped with an error (no fd left); tried again when a connection closes.
    accept_stopped: bool,
}

impl<'a> Reactor<'a> {
    pub(crate) fn new(protocol: Protocol, counters: &'a Counters, listener: TcpListener) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.add(listener.as_fd(), libc::EPOLLIN | libc::EPOLLET, LISTENER)?;
        Ok(Self {
            http: protocol.http(),
            counters,
            listener,
            poll,
            buffer: vec![0; BUFFER_SIZE],
            conns: Slots::default(),
            accept_stopped: false,
        })
    }

    pub(crate) fn run(mut self) -> io::Result<()> {
        loop {
            self.counters.enters.add(1);
            let ready = self.poll.wait()?;
            self.counters.turns.add(1);
            self.counters.cqes.add(ready as u64);
            if let Some(http) = &mut self.http {
                http.responses.refresh();
            }
            for at in 0..ready {
                match self.poll.event(at) {
                    (_, LISTENER) => self.accept()?,
                    (mask, token) => self.ready(token as u32, mask)?,
                }
            }
            self.conns.end_turn();
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match sock::accept(self.listener.as_fd()) {
                Ok(Some(fd)) => {
                    self.counters.accepted.add(1);
                    let index = self.conns.insert(Conn::new(fd));
                    let conn = self.conns.get(index).expect("inserted a line ago");
                    self.poll.add(conn.fd.as_fd(), INTEREST, u64::from(index))?;
                }
                Ok(None) => return Ok(()),
                Err(error) => match error.raw_os_error() {
                    Some(libc::ECONNABORTED | libc::EINTR | libc::EPROTO) => {}
                    _ => {
                        self.accept_stopped = true;
                        return Ok(());
                    }
                },
            }
        }
    }

    fn ready(&mut self, index: u32, mask: i32) -> io::Result<()> {
        let Some(conn) = self.conns.get(index) else { return Ok(()) };
        match serve(conn, self.http.as_deref(), mask, &mut self.buffer, self.counters) {
            Ok(Fate::Open) => return Ok(()),
            Ok(Fate::Closed) | Err(_) => {}
        }
        self.conns.remove(index);
        self.counters.closed.add(1);
        if std::mem::take(&mut self.accept_stopped) { self.accept() } else { Ok(()) }
    }
}

/// Sends what is left over, then receives and sends until drained. An error closes the connection.
#[inline]
fn serve(
    conn: &mut Conn,
    http: Option<&Http>,
    mask: i32,
    buffer: &mut [u8],
    counters: &Counters,
) -> io::Result<Fate> {
    conn.unread |= mask & (libc::EPOLLIN | LAST_EDGE) != 0;
    let mut to_the_end = mask & LAST_EDGE != 0;
    loop {
        if !conn.backlog.is_empty() && !send_backlog(conn, counters)? {
            // The peer does not read, so neither do we; EPOLLOUT resumes. A FIN is then found by reading to the end.
            return Ok(Fate::Open);
        }
        if conn.ended {
            return Ok(Fate::Closed);
        }
        if !conn.unread {
            return Ok(Fate::Open);
        }
        counters.recvs.add(1);
        match sock::recv(conn.fd.as_fd(), buffer)? {
            None => conn.unread = false,
            Some(0) => conn.ended = true,
            Some(len) => {
                counters.bytes_received.add(len as u64);
                if !reply(conn, http, &buffer[..len], counters)? {
                    // How far the socket is drained is no longer known when EPOLLOUT resumes.
                    to_the_end = true;
                }
                conn.unread = len == buffer.len() || to_the_end;
            }
        }
    }
}

/// Answers what was received, in one send if the answers are not very many. Whether the socket took all.
#[inline]
fn reply(conn: &mut Conn, http: Option<&Http>, received: &[u8], counters: &Counters) -> io::Result<bool> {
    let Some(Http { heads, responses }) = http else {
        return send_now(conn, received, counters);
    };
    let mut left = heads.count(&mut conn.matched, received);
    let mut took_all = true;
    while left > 0 {
        let now = left.min(Responses::MAX);
        left -= now;
        if took_all {
            took_all = send_now(conn, responses.get(now), counters)?;
        } else {
            conn.backlog.extend_from_slice(responses.get(now));
        }
    }
    Ok(took_all)
}

/// Sends; what the socket does not take is kept. Whether it took all.
#[inline]
fn send_now(conn: &mut Conn, bytes: &[u8], counters: &Counters) -> io::Result<bool> {
    counters.sends.add(1);
    let sent = sock::send(conn.fd.as_fd(), bytes)?.unwrap_or(0);
    counters.bytes_sent.add(sent as u64);
    if sent == bytes.len() {
        return Ok(true);
    }
    counters.short_sends.add(1);
    conn.backlog.extend_from_slice(&bytes[sent..]);
    Ok(false)
}

/// Sends left-over bytes until they or the room end. Whether all are gone.
fn send_backlog(conn: &mut Conn, counters: &Counters) -> io::Result<bool> {
    while conn.sent < conn.backlog.len() {
        counters.sends.add(1);
        match sock::send(conn.fd.as_fd(), &conn.backlog[conn.sent..])? {
            None => return Ok(false),
            Some(sent) => {
                counters.bytes_sent.add(sent as u64);
                conn.sent += sent;
            }
        }
    }
    conn.backlog = Vec::new();
    conn.sent = 0;
    Ok(true)
}
