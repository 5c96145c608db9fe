//! The connection: the handle through which a handler reads and writes.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use annulet_driver::{Address, Chunk, Payload, SocketOption};

use crate::error::Error;
use crate::framed::Framed;
use crate::group::ListenerId;
use crate::halves::{ReadHalf, WriteHalf};
use crate::stream::Stream;

/// A byte stream to a peer, over TCP or a Unix socket.
///
/// # Who owns the bytes
///
/// What arrives is received before anybody asks for it, into buffers of the reactor's pool, up to the unread limit;
/// [`recv`](Self::recv) hands out those buffers as leases. What is written is copied ([`write`](Self::write)) or taken over
/// ([`send`](Self::send)) into the staging queue, up to the unsent limit, and leaves when the handler's turn ends: all that
/// one turn staged leaves in one send. The kernel never holds borrowed memory, so dropping any future here is safe.
///
/// # Cancel safety
///
/// Every method says what dropping its future does. In short: reading loses nothing, `write` and `write_all` may have
/// staged a part, `send` stages all or nothing.
///
/// # The end
///
/// Dropping the connection sends what is staged, then FIN, and lingers up to 2 seconds for the peer's FIN so that the last
/// bytes are not lost to a reset. [`abort`](Self::abort), and a panic, reset it. A connection stays on its reactor.
pub struct Connection {
    stream: Rc<Stream>,
    /// The chunk being consumed through `fill_buf`; most handlers never have one.
    current: Option<Box<Chunk>>,
}

impl Connection {
    pub(crate) fn new(stream: Rc<Stream>) -> Self {
        stream.add_handle();
        Self { stream, current: None }
    }

    /// The next bytes that arrived, in order; `None` at the peer's end, or when the server drains and everything received
    /// before has been delivered. Never empty.
    ///
    /// # Errors
    /// [`Error::Reset`], [`Error::Timeout`], or the error of an earlier send. Bytes that arrived before come first.
    ///
    /// # Cancel safety
    /// Nothing is lost: what arrives stays with the connection.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Chunk>, Error>> {
        Recv { connection: self, is_waiting: false }
    }

    /// [`recv`](Self::recv) for code that polls by hand.
    ///
    /// # Errors
    /// As for `recv`.
    ///
    /// # Cancel safety
    /// Nothing is lost. Who stops polling after `Pending` says so with [`stop_waiting`](Self::stop_waiting), so that the clocks
    /// of the wait stand still.
    #[inline(always)]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, Error>> {
        if self.current.is_some() {
            return Poll::Ready(Ok(self.current.take().map(|chunk| *chunk)));
        }
        self.stream.poll_recv(cx)
    }

    /// What has arrived already, without waiting for more; `None` when nothing has.
    pub fn try_recv(&mut self) -> Option<Chunk> {
        match self.current.take() {
            Some(chunk) => Some(*chunk),
            None => self.stream.take_unread(),
        }
    }

    /// True while nothing that arrived is unread, the peer has not ended and nothing has failed: what is to be true of an idle
    /// connection before it is used again. Tells of what this process has been told; the kernel may know more.
    pub fn is_quiet(&self) -> bool {
        self.current.is_none() && self.stream.is_quiet()
    }

    /// Puts bytes back in front of what is still to be received.
    ///
    /// # Panics
    /// When bytes that [`fill_buf`](Self::fill_buf) showed, or that were put back before, have not been taken.
    pub fn unread(&mut self, chunk: Chunk) {
        assert!(self.current.is_none(), "one chunk can be put back, not two");
        if !chunk.is_empty() {
            self.current = Some(Box::new(chunk));
        }
    }

    /// Gives up a wait begun with [`poll_recv`](Self::poll_recv).
    pub fn stop_waiting(&self) {
        self.stream.stop_waiting();
    }

    /// The bytes received and not consumed, at least one unless the peer ended (then empty). Does not take them:
    /// [`consume`](Self::consume) does.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn fill_buf(&mut self) -> Result<&[u8], Error> {
        Fill { connection: self, is_waiting: false }.await?;
        Ok(self.current.as_deref().map_or(&[], |chunk| chunk))
    }

    pub(crate) fn poll_fill_buf(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.current.is_none() {
            self.current = std::task::ready!(self.stream.poll_recv(cx))?.map(Box::new);
        }
        Poll::Ready(Ok(()))
    }

    /// What [`poll_fill_buf`](Self::poll_fill_buf) left to look at.
    #[cfg(any(feature = "futures-io", feature = "tokio-io"))]
    pub(crate) fn filled(&self) -> &[u8] {
        self.current.as_deref().map_or(&[], |chunk| chunk)
    }

    /// Takes `count` of the bytes [`fill_buf`](Self::fill_buf) showed.
    ///
    /// # Panics
    /// When it showed fewer.
    pub fn consume(&mut self, count: usize) {
        match &mut self.current {
            Some(chunk) if count < chunk.len() => chunk.advance(count),
            Some(chunk) => {
                assert_eq!(count, chunk.len(), "consume more than fill_buf showed");
                self.current = None;
            }
            None => assert_eq!(count, 0, "consume without fill_buf"),
        }
    }

    /// Copies received bytes into `buffer` and returns how many: 0 at the end of the stream or for an empty buffer.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if buffer.is_empty() {
            return Ok(0);
        }
        Fill { connection: self, is_waiting: false }.await?;
        Ok(self.copy_filled(buffer))
    }

    /// Copies from what [`poll_fill_buf`](Self::poll_fill_buf) left to look at, and takes it.
    pub(crate) fn copy_filled(&mut self, buffer: &mut [u8]) -> usize {
        let Some(chunk) = &self.current else { return 0 };
        let count = chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&chunk[..count]);
        self.consume(count);
        count
    }

    /// Fills `buffer` completely.
    ///
    /// # Errors
    /// [`Error::UnexpectedEnd`] when the peer ended first; otherwise as for [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Not cancel-safe: bytes copied into `buffer` are taken.
    pub async fn read_exact(&mut self, mut buffer: &mut [u8]) -> Result<(), Error> {
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(Error::UnexpectedEnd),
                count => buffer = &mut buffer[count..],
            }
        }
        Ok(())
    }

    /// Copies as much of `bytes` as there is room for into the staging queue and returns how many, at least one unless
    /// `bytes` is empty. Waits while there is no room.
    ///
    /// # Errors
    /// [`Error::BrokenPipe`] after [`shutdown`](Self::shutdown); otherwise the connection's sticky error.
    ///
    /// # Cancel safety
    /// Dropped before it returned, it has staged nothing.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.stream.poll_write(cx, bytes)).await
    }

    /// Copies all of `bytes` into the staging queue, waiting for room as often as needed.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    ///
    /// # Cancel safety
    /// Dropped early, it may have staged a part. A handler that then returns an error has its connection reset.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let count = self.write(bytes).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Stages a payload without copying it: waits until there is room, then takes all of it. A payload larger than the
    /// unsent limit is taken when nothing else is staged.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    ///
    /// # Cancel safety
    /// Dropped early, nothing of the payload is sent (and the payload is dropped; [`reserve`](Self::reserve) keeps it).
    pub fn send(
        &mut self,
        payload: impl Into<Payload> + AsRef<[u8]>,
    ) -> impl Future<Output = Result<(), Error>> {
        Send { stream: &self.stream, payload: Some(payload) }
    }

    /// Waits until a payload of `length` bytes may be staged with [`stage`](Self::stage).
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    ///
    /// # Cancel safety
    /// Dropping it does nothing.
    pub async fn reserve(&mut self, length: usize) -> Result<(), Error> {
        poll_fn(|cx| self.stream.poll_room(cx, length)).await
    }

    /// Stages a payload at once, room or not. Meant for after [`reserve`](Self::reserve), and for a farewell.
    ///
    /// # Errors
    /// As for [`write`](Self::write); the payload is dropped.
    pub fn stage(&mut self, payload: impl Into<Payload>) -> Result<(), Error> {
        self.stream.stage(payload.into())
    }

    /// Has `write` append to what is staged, room or not: the bytes are written where they leave from. Meant for after
    /// [`poll_room`](Self::poll_room), and for what is small. `write` must append something, and only append.
    ///
    /// # Errors
    /// As for [`write`](Self::write); `write` is not called.
    #[inline]
    pub fn compose(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        self.stream.compose(write)
    }

    /// Copies both pieces, a head and a body for instance, into the staging queue once there is room for all of them. They are
    /// small, and not both empty.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    #[inline]
    pub fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<Result<(), Error>> {
        self.stream.poll_copy(cx, first, second)
    }

    /// [`reserve`](Self::reserve) for code that polls by hand.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    #[inline]
    pub fn poll_room(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<Result<(), Error>> {
        self.stream.poll_room(cx, length)
    }

    /// Waits until the kernel has taken every byte staged so far. Rarely needed: what is staged leaves by itself.
    ///
    /// # Errors
    /// The connection's sticky error.
    ///
    /// # Cancel safety
    /// Dropping it does nothing; the bytes leave all the same.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.stream.poll_flush(cx)).await
    }

    /// [`flush`](Self::flush) for code that polls by hand.
    ///
    /// # Errors
    /// The connection's sticky error.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.stream.poll_flush(cx)
    }

    /// Ends this side: what is staged leaves, then FIN. Receiving goes on. Waits until the kernel has taken the bytes.
    ///
    /// # Errors
    /// The connection's sticky error.
    ///
    /// # Cancel safety
    /// The end is on its way as soon as this was polled.
    pub async fn shutdown(&mut self) -> Result<(), Error> {
        self.stream.shutdown_write();
        self.flush().await
    }

    /// Resets the connection: what is staged is dropped, the peer sees a reset. Unix sockets know none but for bytes left
    /// unread: there the peer may see an orderly end (unix(7)), and only framing tells it what is missing.
    pub fn abort(self) {
        self.stream.abort(Error::Aborted);
    }

    /// Ready when the peer has ended its side, or the connection is broken, though what arrived before may be unread. Not
    /// noticed while receiving stops because too much is unread. For one task at a time, which does not receive meanwhile.
    pub fn poll_peer_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_peer_gone(cx)
    }

    /// Whether the peer has ended its side, or the connection is broken.
    pub fn is_peer_gone(&self) -> bool {
        self.stream.is_peer_gone()
    }

    /// Waits until the server drains: finish what is in hand, say farewell, return. `recv` yields `None` once everything
    /// received has been delivered.
    ///
    /// # Cancel safety
    /// Dropping it does nothing.
    pub async fn draining(&self) {
        poll_fn(|cx| self.poll_draining(cx)).await;
    }

    /// [`draining`](Self::draining) for code that polls by hand.
    pub fn poll_draining(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.group.poll_draining(self.stream.number, cx)
    }

    /// True once the server drains.
    pub fn is_draining(&self) -> bool {
        self.stream.group.is_draining()
    }

    /// Frames on top of the bytes; see [`Framed`].
    pub fn framed<C>(self, codec: C) -> Framed<C> {
        Framed::new(self, codec)
    }

    /// Two halves that can be used from two tasks. The connection closes when both are gone; dropping the write half ends
    /// this side as [`shutdown`](Self::shutdown) does.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        let write = Self::new(self.stream.clone());
        (ReadHalf::new(self), WriteHalf::new(write))
    }

    /// Tells the clocks that a message has begun with the bytes that arrived last; see [`Clocks`](crate::Clocks).
    pub fn message_started(&self) {
        self.stream.message_started();
    }

    /// Tells the clocks that the rest of the message comes as a stream, however long: only inactivity counts until it is
    /// complete, not the time for the whole. A server that drains goes on receiving until then.
    pub fn message_streams(&self) {
        self.stream.message_streams();
    }

    /// Tells the clocks that the message is complete.
    pub fn message_ended(&self) {
        self.stream.message_ended();
    }

    /// Wakes whoever waits to receive, to write, or for the peer's end, so that it looks again: what it waits for has come to an
    /// end by other means.
    pub fn wake_waiters(&self) {
        self.stream.wake_waiters();
    }

    /// Turns the idle clock of this connection off: what goes on over it from here may be silent for as long as it likes.
    pub fn allow_idling(&self) {
        self.stream.allow_idling();
    }

    /// Its number: unique in the process, rising.
    pub fn number(&self) -> u64 {
        self.stream.number
    }

    /// Which listener of the server it came from; `None` for a connection this side made.
    pub fn listener(&self) -> Option<ListenerId> {
        self.stream.group.listener.as_ref().map(|(id, _)| *id)
    }

    /// Address of this end. Asks the kernel.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_address(&self) -> Result<Address, Error> {
        self.stream.local_address()
    }

    /// Address of the peer. Asks the kernel.
    ///
    /// # Errors
    /// The kernel's: not connected any more.
    pub fn peer_address(&self) -> Result<Address, Error> {
        self.stream.peer_address()
    }

    pub(crate) fn stream(&self) -> &Rc<Stream> {
        &self.stream
    }
}

/// Socket options. Each is a system call.
impl Connection {
    /// Sends small segments at once (`TCP_NODELAY`); on by default.
    ///
    /// # Errors
    /// The kernel's; Unix sockets have no such option.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<(), Error> {
        self.stream.set_option(SocketOption::NoDelay(nodelay))
    }

    /// Whether small segments are sent at once.
    ///
    /// # Errors
    /// As for setting.
    pub fn nodelay(&self) -> Result<bool, Error> {
        match self.stream.option(SocketOption::NoDelay(false))? {
            SocketOption::NoDelay(nodelay) => Ok(nodelay),
            other => unreachable!("asked for nodelay, got {other:?}"),
        }
    }

    /// Probes a silent peer after `time` (whole seconds), so that a dead one is noticed; `None` turns it off.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_keepalive(&self, time: Option<Duration>) -> Result<(), Error> {
        self.stream.set_option(SocketOption::Keepalive(time))
    }

    /// With `Some(Duration::ZERO)` closing resets the connection (`SO_LINGER`); any other value closes in order, with the
    /// linger of the connection's [`Clocks`](crate::Clocks).
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_linger(&self, linger: Option<Duration>) -> Result<(), Error> {
        self.stream.set_option(SocketOption::ResetOnClose(linger == Some(Duration::ZERO)))
    }

    /// Asks for a kernel send buffer of `bytes` (`SO_SNDBUF`; Linux doubles it).
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_send_buffer_size(&self, bytes: u32) -> Result<(), Error> {
        self.stream.set_option(SocketOption::SendBuffer(bytes))
    }

    /// Asks for a kernel receive buffer of `bytes` (`SO_RCVBUF`; Linux doubles it).
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_recv_buffer_size(&self, bytes: u32) -> Result<(), Error> {
        self.stream.set_option(SocketOption::ReceiveBuffer(bytes))
    }

    /// How long sent bytes may stay unacknowledged before the connection breaks (`TCP_USER_TIMEOUT`, milliseconds).
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_user_timeout(&self, time: Option<Duration>) -> Result<(), Error> {
        self.stream.set_option(SocketOption::UserTimeout(time))
    }

    /// Acknowledges at once (`TCP_QUICKACK`); the kernel may turn it off again by itself.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_quickack(&self, quickack: bool) -> Result<(), Error> {
        self.stream.set_option(SocketOption::QuickAck(quickack))
    }

    /// Type of service of IPv4 packets.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_tos(&self, tos: u32) -> Result<(), Error> {
        self.stream.set_option(SocketOption::TypeOfService(tos))
    }

    /// Time to live (hop limit) of packets.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_ttl(&self, ttl: u32) -> Result<(), Error> {
        self.stream.set_option(SocketOption::TimeToLive(ttl))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stream.drop_handle();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("number", &self.number()).finish_non_exhaustive()
    }
}

/// [`Connection::recv`]. A type of its own keeps handlers' futures small.
struct Recv<'a> {
    connection: &'a mut Connection,
    is_waiting: bool,
}

impl Future for Recv<'_> {
    type Output = Result<Option<Chunk>, Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.connection.poll_recv(cx);
        self.is_waiting = polled.is_pending();
        polled
    }
}

impl Drop for Recv<'_> {
    fn drop(&mut self) {
        if self.is_waiting {
            self.connection.stream.stop_waiting();
        }
    }
}

/// Waits until there is something to look at, or the end.
struct Fill<'a> {
    connection: &'a mut Connection,
    is_waiting: bool,
}

impl Future for Fill<'_> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.connection.poll_fill_buf(cx);
        self.is_waiting = polled.is_pending();
        polled
    }
}

impl Drop for Fill<'_> {
    fn drop(&mut self) {
        if self.is_waiting {
            self.connection.stream.stop_waiting();
        }
    }
}

/// [`Connection::send`]. Keeps the payload in the caller's type until it is staged: a chunk is smaller than a `Payload`.
struct Send<'a, P> {
    stream: &'a Rc<Stream>,
    payload: Option<P>,
}

impl<P> Unpin for Send<'_, P> {}

impl<P: Into<Payload> + AsRef<[u8]>> Future for Send<'_, P> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { stream, payload } = &mut *self;
        stream.poll_send(cx, payload)
    }
}
