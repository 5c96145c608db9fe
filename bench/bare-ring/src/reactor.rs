//! The loop: one enter per turn, then a walk over the completions.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::str::FromStr;
use std::time::{Duration, Instant};

use bench_common::counters::Counters;
use bench_common::http::{Http, Responses};
use bench_common::protocol::Protocol;
use io_uring::cqueue::{self, Entry as Cqe};
use io_uring::squeue::{self, Entry as Sqe};
use io_uring::types::Fd;
use io_uring::{CompletionQueue, SubmissionQueue, Submitter, opcode};

use crate::buffers::{Buffers, GROUP};
use crate::conn::{Conn, Sending, Slots};
use crate::run::{Parts, Run};
use crate::sock;

/// Over this many bytes of backlog a connection is not read from until all of it has been taken.
const BACKLOG_MAX: usize = 1 << 20;

/// How a first answer leaves. What it could not send always follows as a ring entry that waits for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendMode {
    /// An entry per answer, submitted by the next enter.
    Ring,
    /// The same, whose success makes no completion: when that enter returns, whoever has not failed has been sent.
    Quiet,
    /// `send(2)`, at once.
    Direct,
}

impl FromStr for SendMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ring" => Ok(Self::Ring),
            "quiet" => Ok(Self::Quiet),
            "direct" => Ok(Self::Direct),
            _ => Err("expected ring, quiet or direct"),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) protocol: Protocol,
    pub(crate) send: SendMode,
    /// How long to watch the ring before sleeping; zero sleeps at once.
    pub(crate) watch: Duration,
    pub(crate) sq_entries: u32,
    pub(crate) cq_entries: u32,
    /// A power of two.
    pub(crate) buffers: u16,
    pub(crate) buffer_size: usize,
}

/// What a completion belongs to: the low byte of `user_data`; the slot is in the upper half.
mod op {
    pub(super) const ACCEPT: u64 = 0;
    pub(super) const RECV: u64 = 1;
    pub(super) const SEND: u64 = 2;
    pub(super) const CANCEL: u64 = 3;
}

pub(crate) struct Reactor<'a> {
    options: Options,
    /// `None`: what arrives goes back.
    http: Option<Box<Http>>,
    counters: &'a Counters,
    listener: &'a TcpListener,
    submitter: Submitter<'a>,
    sq: SubmissionQueue<'a>,
    cq: CompletionQueue<'a>,
    buffers: Buffers,
    conns: Slots,
    /// What the last completions brought for the connection `run_of`, not yet sent.
    run: Run,
    run_of: u32,
    /// Connections whose receive found no buffer; re-armed at the end of the turn.
    starved: Vec<u32>,
    /// Connections with a quiet entry that the next enter submits.
    quiet: Vec<u32>,
    /// Completions of a turn, while quiet entries are told apart from those that failed.
    reaped: Vec<Cqe>,
    /// Accepting stopped with an error (no fd left); tried again when a connection closes.
    accept_stopped: bool,
}

impl<'a> Reactor<'a> {
    pub(crate) fn new(
        options: Options,
        counters: &'a Counters,
        listener: &'a TcpListener,
        submitter: Submitter<'a>,
        sq: SubmissionQueue<'a>,
        cq: CompletionQueue<'a>,
    ) -> io::Result<Self> {
        let buffers = Buffers::register(&submitter, options.buffers, options.buffer_size)?;
        Ok(Self {
            options,
            http: options.protocol.http(),
            counters,
            listener,
            submitter,
            sq,
            cq,
            buffers,
            conns: Slots::default(),
            run: Run::default(),
            run_of: 0,
            starved: Vec::new(),
            quiet: Vec::new(),
            reaped: Vec::new(),
            accept_stopped: false,
        })
    }

    pub(crate) fn run(mut self) -> io::Result<()> {
        self.arm_accept()?;
        loop {
            self.enter(1)?;
            self.counters.turns.add(1);
            if let Some(http) = &mut self.http {
                // Nothing is being sent from the responses now: entries that send a run do not wait. The rest of one that
                // was sent in part may show another second than its beginning.
                http.responses.refresh();
            }
            self.cq.sync();
            if self.quiet.is_empty() {
                while let Some(cqe) = self.cq.next() {
                    self.counters.cqes.add(1);
                    self.complete(&cqe)?;
                }
            } else {
                self.complete_with_quiet()?;
            }
            self.flush_run()?;
            self.cq.sync();
            self.buffers.publish();
            while let Some(index) = self.starved.pop() {
                self.arm_recv(index)?;
            }
            if !self.options.watch.is_zero() {
                self.watch();
            }
        }
    }

    /// Failures of quiet entries first, then the success of the others, then everything else.
    fn complete_with_quiet(&mut self) -> io::Result<()> {
        let mut reaped = std::mem::take(&mut self.reaped);
        reaped.extend(&mut self.cq);
        self.counters.cqes.add(reaped.len() as u64);
        let is_send = |cqe: &Cqe| cqe.user_data() & 0xff == op::SEND;
        for cqe in reaped.iter().filter(|cqe| is_send(cqe)) {
            self.complete(cqe)?;
        }
        // Unless the kernel did not take them yet.
        if self.sq.is_empty() {
            let mut quiet = std::mem::take(&mut self.quiet);
            for index in quiet.drain(..) {
                let sent = self.conns.find(index).and_then(|conn| match &conn.sending {
                    Sending::Run(run) => Some(run.len() as i32),
                    _ => None,
                });
                if let Some(length) = sent {
                    self.sent(index, length)?;
                }
            }
            quiet.append(&mut self.quiet);
            self.quiet = quiet;
        }
        for cqe in reaped.iter().filter(|cqe| !is_send(cqe)) {
            self.complete(cqe)?;
        }
        reaped.clear();
        self.reaped = reaped;
        Ok(())
    }

    /// Waits without a system call until the kernel has queued work for us, or the time is up.
    fn watch(&mut self) {
        self.sq.sync();
        if !self.sq.is_empty() {
            return;
        }
        let start = Instant::now();
        while !self.sq.taskrun() && start.elapsed() < self.options.watch {
            std::hint::spin_loop();
        }
    }

    /// Submits what is staged and waits for `want` completions.
    fn enter(&mut self, want: usize) -> io::Result<()> {
        self.sq.sync();
        self.counters.enters.add(1);
        match self.submitter.submit_and_wait(want) {
            Ok(submitted) => self.counters.sqes.add(submitted as u64),
            // EBUSY: completions must be reaped first. EINTR, EAGAIN: the next turn tries again.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EINTR | libc::EAGAIN)) => {}
            Err(error) => return Err(error),
        }
        self.sq.sync();
        Ok(())
    }

    fn push(&mut self, entry: &Sqe) -> io::Result<()> {
        // SAFETY: the memory an entry points to (pool buffers and the header of a run, or a Vec) is kept unchanged in
        // the connection's slot until the completion of this entry; responses stay where they are as long as the reactor
        // does, and change only between enters, while the entries that send them are read within one.
        while unsafe { self.sq.push(entry) }.is_err() {
            self.enter(0)?;
        }
        Ok(())
    }

    fn complete(&mut self, cqe: &Cqe) -> io::Result<()> {
        let index = (cqe.user_data() >> 32) as u32;
        match cqe.user_data() & 0xff {
            op::ACCEPT => self.accepted(cqe),
            op::RECV => self.received(index, cqe),
            op::SEND => self.sent(index, cqe.result()),
            _ => Ok(()),
        }
    }

    fn arm_accept(&mut self) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC);
        self.push(&entry.build().user_data(op::ACCEPT))
    }

    fn accepted(&mut self, cqe: &Cqe) -> io::Result<()> {
        if cqe.result() >= 0 {
            self.counters.accepted.add(1);
            // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
            let fd = unsafe { OwnedFd::from_raw_fd(cqe.result()) };
            let index = self.conns.insert(Conn::new(fd));
            self.arm_recv(index)?;
        }
        if cqueue::more(cqe.flags()) {
            return Ok(());
        }
        if matches!(-cqe.result(), libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) {
            self.accept_stopped = true;
            return Ok(());
        }
        self.arm_accept()
    }

    fn arm_recv(&mut self, index: u32) -> io::Result<()> {
        let conn = self.conns.get(index);
        conn.receiving = true;
        let entry = opcode::RecvMulti::new(Fd(conn.fd.as_raw_fd()), GROUP).build();
        self.push(&entry.user_data(u64::from(index) << 32 | op::RECV))
    }

    fn received(&mut self, index: u32, cqe: &Cqe) -> io::Result<()> {
        let more = cqueue::more(cqe.flags());
        self.conns.get(index).receiving = more;
        if let Some(bid) = cqueue::buffer_select(cqe.flags()) {
            let len = cqe.result().max(0) as usize;
            self.counters.bytes_received.add(len as u64);
            if self.run_of != index || self.run.is_full() {
                self.flush_run()?;
                self.run_of = index;
            }
            self.run.push(bid, len);
        }
        if more { Ok(()) } else { self.receive_ended(index, cqe.result()) }
    }

    /// A multishot receive is over: why, and whether to arm it again.
    fn receive_ended(&mut self, index: u32, result: i32) -> io::Result<()> {
        if self.run_of == index {
            self.flush_run()?;
        }
        let conn = self.conns.get(index);
        match result {
            0 => conn.ended = true,
            _ if -result == libc::ENOBUFS => {
                self.counters.starved.add(1);
                // As good as armed: nothing may close it before it is.
                conn.receiving = true;
                self.starved.push(index);
                return Ok(());
            }
            _ if result > 0 || -result == libc::ECANCELED => {}
            _ => conn.dead = true,
        }
        if conn.ended || conn.dead {
            return self.close_if_finished(index);
        }
        conn.paused = conn.backlog.len() > BACKLOG_MAX;
        if conn.paused { Ok(()) } else { self.arm_recv(index) }
    }

    /// Sends back what consecutive completions brought for one connection, or what answers it.
    fn flush_run(&mut self) -> io::Result<()> {
        if self.run.is_empty() {
            return Ok(());
        }
        let Some(http) = &self.http else { return self.send_run() };
        let matched = &mut self.conns.get(self.run_of).matched;
        let heads = |(bid, len)| http.heads.count(matched, self.buffers.filled(bid, len));
        let mut left: usize = self.run.iter().map(heads).sum();
        self.run.recycle(&mut self.buffers);
        while left > 0 {
            let now = left.min(Responses::MAX);
            left -= now;
            self.run.answer(now);
            self.send_run()?;
        }
        Ok(())
    }

    /// Sends the run, or keeps its bytes if an earlier send is still in flight.
    fn send_run(&mut self) -> io::Result<()> {
        let index = self.run_of;
        let conn = self.conns.get(index);
        if conn.dead {
            self.run.recycle(&mut self.buffers);
            return Ok(());
        }
        if !conn.is_idle() {
            conn.backlog.extend_from_slice(&self.run.copy_from(0, &self.buffers, self.http.as_deref()));
            self.run.recycle(&mut self.buffers);
            return self.pause_if_too_far_behind(index);
        }
        if self.options.send != SendMode::Direct {
            return self.stage_run(index);
        }
        self.counters.sends.add(1);
        let sent = sock::send_now(conn.fd.as_fd(), &self.run.parts(&self.buffers, self.http.as_deref()));
        let mut run = std::mem::take(&mut self.run);
        let result = self.sent_run(index, &run, sent);
        run.recycle(&mut self.buffers);
        self.run = run;
        result
    }

    /// Hands the run to a ring entry.
    fn stage_run(&mut self, index: u32) -> io::Result<()> {
        let conn = self.conns.get(index);
        let fd = Fd(conn.fd.as_raw_fd());
        let is_quiet = self.options.send == SendMode::Quiet;
        // A quiet entry that did not send all must count as failed, for that makes a completion: WAITALL.
        let all = if is_quiet { libc::MSG_WAITALL } else { 0 };
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | all;
        let entry = match self.run.parts(&self.buffers, self.http.as_deref()) {
            Parts::One(bytes) => {
                opcode::Send::new(fd, bytes.as_ptr(), bytes.len() as u32).flags(flags).build()
            }
            Parts::Many(header) => opcode::SendMsg::new(fd, header).flags(flags as u32).build(),
        };
        conn.sending = Sending::Run(std::mem::take(&mut self.run));
        let skip = if is_quiet { squeue::Flags::SKIP_SUCCESS } else { squeue::Flags::empty() };
        if is_quiet {
            self.quiet.push(index);
        }
        self.push(&entry.flags(skip).user_data(u64::from(index) << 32 | op::SEND))
    }

    /// After a first attempt: keeps what it did not send, and sends it as soon as there is room.
    fn sent_run(&mut self, index: u32, run: &Run, sent: io::Result<usize>) -> io::Result<()> {
        let Ok(sent) = sent else {
            self.send_failed(index);
            return Ok(());
        };
        self.counters.bytes_sent.add(sent as u64);
        if sent == run.len() {
            return Ok(());
        }
        self.counters.short_sends.add(1);
        let conn = self.conns.get(index);
        // The rest is older than what the backlog gathered while the attempt was in flight.
        let mut bytes = run.copy_from(sent, &self.buffers, self.http.as_deref());
        bytes.append(&mut conn.backlog);
        conn.sending = Sending::Heap { bytes, sent: 0 };
        self.send_heap(index)
    }

    fn send_heap(&mut self, index: u32) -> io::Result<()> {
        let conn = self.conns.get(index);
        let Sending::Heap { bytes, sent } = &conn.sending else { unreachable!("called with a heap send") };
        let rest = &bytes[*sent..];
        let entry = opcode::Send::new(Fd(conn.fd.as_raw_fd()), rest.as_ptr(), rest.len() as u32);
        let entry = entry.flags(libc::MSG_NOSIGNAL).build().user_data(u64::from(index) << 32 | op::SEND);
        self.push(&entry)
    }

    fn sent(&mut self, index: u32, result: i32) -> io::Result<()> {
        let conn = self.conns.get(index);
        match std::mem::replace(&mut conn.sending, Sending::Nothing) {
            Sending::Nothing => unreachable!("a send completion without a send"),
            Sending::Run(mut run) => {
                let sent = match -result {
                    libc::EAGAIN | libc::EINTR => Ok(0),
                    _ if result < 0 => Err(io::Error::from_raw_os_error(-result)),
                    _ => Ok(result as usize),
                };
                let done = self.sent_run(index, &run, sent);
                run.recycle(&mut self.buffers);
                done?;
            }
            Sending::Heap { bytes, sent } => {
                if result < 0 && !matches!(-result, libc::EAGAIN | libc::EINTR) {
                    self.send_failed(index);
                    return self.close_if_finished(index);
                }
                let taken = result.max(0) as usize;
                self.counters.bytes_sent.add(taken as u64);
                if sent + taken < bytes.len() {
                    conn.sending = Sending::Heap { bytes, sent: sent + taken };
                    return self.send_heap(index);
                }
            }
        }
        self.send_backlog(index)
    }

    /// Once nothing is in flight: sends what gathered meanwhile, resumes reading, or closes.
    fn send_backlog(&mut self, index: u32) -> io::Result<()> {
        let conn = self.conns.get(index);
        if !conn.is_idle() {
            return Ok(());
        }
        if !conn.dead && !conn.backlog.is_empty() {
            conn.sending = Sending::Heap { bytes: std::mem::take(&mut conn.backlog), sent: 0 };
            self.send_heap(index)?;
        }
        let conn = self.conns.get(index);
        if conn.paused && !conn.receiving && !conn.ended && !conn.dead {
            conn.paused = false;
            return self.arm_recv(index);
        }
        self.close_if_finished(index)
    }

    /// Gives the connection up; it closes with the last completion of its receive.
    fn send_failed(&mut self, index: u32) {
        let conn = self.conns.get(index);
        conn.dead = true;
        conn.backlog = Vec::new();
        sock::shut_down(conn.fd.as_fd());
    }

    fn pause_if_too_far_behind(&mut self, index: u32) -> io::Result<()> {
        let conn = self.conns.get(index);
        if conn.backlog.len() <= BACKLOG_MAX || conn.paused || !conn.receiving {
            return Ok(());
        }
        conn.paused = true;
        let entry = opcode::AsyncCancel::new(u64::from(index) << 32 | op::RECV).build();
        self.push(&entry.user_data(op::CANCEL))
    }

    fn close_if_finished(&mut self, index: u32) -> io::Result<()> {
        if !self.conns.get(index).is_finished() {
            return Ok(());
        }
        self.conns.remove(index);
        self.counters.closed.add(1);
        if std::mem::take(&mut self.accept_stopped) { self.arm_accept() } else { Ok(()) }
    }
}
