//! A connection between its requests and responses: what has arrived of it, and which request is being answered.
//!
//! The service owns it, and a request's body and a response's writer share it. Their number says which request they belong
//! to: once that is answered, they find nothing here any more.

use std::cell::{Ref, RefCell, RefMut};
use std::hint::cold_path;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use annulet_driver::Chunk;
use annulet_net::{Address, Connection, Error};
use annulet_proto::http1::{HeadLimits, HttpError, RequestHead};

use crate::body::BodyError;
use crate::incoming::Incoming;
use crate::local::Local;
use crate::outgoing::Outgoing;
use crate::service::Shared;

pub(crate) struct Exchange {
    shared: Rc<Shared>,
    state: RefCell<State>,
}

pub(crate) struct State {
    /// `None` once it was handed over.
    connection: Option<Connection>,
    /// Received, and not taken: what is behind the last request.
    input: Option<Chunk>,
    /// The beginning of a head.
    partial: Vec<u8>,
    /// Requests begun.
    number: u32,
    pub(crate) incoming: Incoming,
    /// The connection's clocks know of a body.
    streams_in: bool,
    /// What the client would go on with: its Upgrade fields, one to a line.
    offered: Option<Box<[u8]>>,
    pub(crate) outgoing: Outgoing,
    /// Who waits for the client to go.
    gone: Option<Waker>,
}

/// Why no request comes.
pub(crate) enum Nothing {
    /// The client ended, or the server drains, or nobody asked for anything in time.
    End,
    /// A head that is none.
    Refused(HttpError),
    /// A head that was not complete in time.
    TooSlow,
    Failed(Error),
}

impl State {
    /// The connection.
    ///
    /// # Panics
    /// When it was handed over.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("nothing is done with a connection that was handed over")
    }
}

impl State {
    /// Whether the client offered to go on with this protocol.
    pub(crate) fn is_offered(&self, protocol: &[u8]) -> bool {
        let offered = self.offered.as_deref().unwrap_or_default();
        let mut offered = offered.split(|byte| matches!(byte, b',' | b'\n')).map(<[u8]>::trim_ascii);
        offered.any(|offered| offered.eq_ignore_ascii_case(protocol))
    }

    /// The request is answered.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.number = self.number.wrapping_add(1);
        if self.gone.is_some() {
            cold_path();
            self.wake_gone();
        }
    }

    /// What the client offered has been taken or passed over.
    #[inline]
    pub(crate) fn forget_offer(&mut self) {
        self.offered = None;
    }

    /// Has whoever waits for the client to go look again.
    fn wake_gone(&mut self) {
        if let Some(waker) = self.gone.take() {
            waker.wake();
        }
    }

    /// Whether more has come than the empty line that old clients send behind a body (RFC 9112 §2.2).
    fn has_begun(&self) -> bool {
        !matches!(&*self.partial, b"" | b"\r" | b"\r\n")
    }

    /// Whether all of the request has been received, and was in order.
    #[inline]
    pub(crate) fn is_received(&mut self) -> bool {
        if self.incoming.error.is_some() || !self.incoming.is_ended() {
            return false;
        }
        self.body_has_ended();
        true
    }

    /// Asks a client that waits for word to send the body, unless a response is on its way already.
    fn say_continue(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.incoming.continue_due) && !self.outgoing.is_begun() {
            self.connection().compose(|out| out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"))?;
        }
        Ok(())
    }

    /// The clocks learn of it.
    fn body_has_ended(&mut self) {
        if std::mem::take(&mut self.streams_in) {
            self.connection().message_ended();
        }
    }
}

impl Exchange {
    pub(crate) fn new(shared: &Rc<Shared>, connection: Connection) -> Rc<Self> {
        Rc::new(Self {
            shared: shared.clone(),
            state: RefCell::new(State {
                connection: Some(connection),
                input: None,
                partial: Vec::new(),
                number: 0,
                incoming: Incoming::none(),
                streams_in: false,
                offered: None,
                outgoing: Outgoing::idle(),
                gone: None,
            }),
        })
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    #[inline]
    pub(crate) fn local(&self) -> &Rc<Local> {
        &self.shared.local
    }

    #[inline]
    pub(crate) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    fn connection(&self) -> Option<Ref<'_, Connection>> {
        Ref::filter_map(self.state.borrow(), |state| state.connection.as_ref()).ok()
    }

    /// The connection's number; 0 once it was handed over.
    pub(crate) fn number(&self) -> u64 {
        self.connection().map_or(0, |connection| connection.number())
    }

    pub(crate) fn peer_address(&self) -> Result<Address, Error> {
        self.connection().map_or(Err(Error::Aborted), |connection| connection.peer_address())
    }

    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        self.connection().is_some_and(|connection| connection.is_draining())
    }

    /// Whether a request is the one that is being answered.
    pub(crate) fn is_current(&self, number: u32) -> bool {
        let state = self.state.borrow();
        state.number == number && state.connection.is_some()
    }

    /// Ready when the server drains, or the connection was handed over.
    pub(crate) fn poll_draining(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection().map_or(Poll::Ready(()), |connection| connection.poll_draining(cx))
    }

    /// Ready when the client has gone, or the request is answered.
    pub(crate) fn poll_client_gone(&self, number: u32, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_current(number) {
            return Poll::Ready(());
        }
        let mut state = self.state();
        let state = &mut *state;
        let Some(connection) = &state.connection else { return Poll::Ready(()) };
        // Who waits for the body has the connection's waker, and passes on what it learns.
        if !state.incoming.is_awaited() {
            ready!(connection.poll_peer_gone(cx));
        } else if connection.is_peer_gone() {
            return Poll::Ready(());
        }
        state.gone = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Hands the connection over, with the bytes that were received and not taken.
    pub(crate) fn take_connection(&self) -> Connection {
        let mut state = self.state();
        let input = state.input.take();
        let mut connection = state.connection.take().expect("handed over once");
        state.end();
        if let Some(input) = input {
            connection.unread(input);
        }
        // Keep-alive was HTTP's.
        connection.allow_idling();
        connection
    }

    /// Ends the connection with a reset: what was sent is not all there was to be.
    pub(crate) fn abort(&self) {
        if let Some(connection) = self.give_up_connection() {
            connection.abort();
        }
    }

    /// Ends the connection in order, whoever still has a part of a request.
    pub(crate) fn close(&self) {
        drop(self.give_up_connection());
    }

    fn give_up_connection(&self) -> Option<Connection> {
        let mut state = self.state();
        let connection = state.connection.take()?;
        state.end();
        (state.input, state.partial) = (None, Vec::new());
        state.forget_offer();
        connection.wake_waiters();
        Some(connection)
    }

    /// Has whoever waits in another task look again.
    #[cold]
    pub(crate) fn wake_waiters(&self) {
        if let Some(connection) = self.connection() {
            connection.wake_waiters();
        }
    }

    /// Nobody reads the body any more but to throw it away.
    pub(crate) fn close_body(&self) {
        self.state().incoming.close();
        self.wake_waiters();
    }
}

/// Heads.
impl State {
    /// What to look for a request in; `None` at the end.
    #[inline]
    pub(crate) fn poll_head(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Chunk>, Error>> {
        if self.input.is_some() {
            // What was received with another request costs budget, too.
            ready!(shared.local.reactor.poll_budget(cx));
            return Poll::Ready(Ok(self.input.take()));
        }
        self.connection().poll_recv(cx)
    }

    /// Why there is nothing to look in.
    #[cold]
    pub(crate) fn no_more_heads(&self, end: Result<(), Error>, limits: &HeadLimits) -> Nothing {
        match end {
            Ok(()) => self.last_of_head(limits),
            // Nobody waits for anything.
            Err(Error::Timeout(_) | Error::Reset) if !self.has_begun() => Nothing::End,
            Err(Error::Timeout(_)) => Nothing::TooSlow,
            Err(error) => Nothing::Failed(error),
        }
    }

    /// What comes of a head that was given up: nothing, unless it is wrong as far as it goes.
    fn last_of_head(&self, limits: &HeadLimits) -> Nothing {
        match RequestHead::new().parse(&self.partial, limits) {
            Err(error) => Nothing::Refused(error),
            Ok(_) => Nothing::End,
        }
    }

    /// Reads the head that is complete with `input`; how much of `input` belongs to it.
    #[inline]
    pub(crate) fn read_head(
        &mut self,
        head: &mut RequestHead,
        input: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<usize>, HttpError> {
        match head.repeated(input) {
            Some(length) if self.partial.is_empty() => Ok(Some(length)),
            _ => {
                cold_path();
                self.read_new_head(head, input, limits)
            }
        }
    }

    #[inline(never)]
    fn read_new_head(
        &mut self,
        head: &mut RequestHead,
        input: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<usize>, HttpError> {
        if self.partial.is_empty() {
            return head.parse(input, limits);
        }
        self.read_rest_of_head(head, input, limits)
    }

    /// Goes on with a head of which there was a part.
    #[cold]
    fn read_rest_of_head(
        &mut self,
        head: &mut RequestHead,
        input: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<usize>, HttpError> {
        let before = self.partial.len();
        // A head ends with a line, and is looked at when one does.
        if !input.contains(&b'\n') && before + input.len() < limits.bytes_max() {
            return Ok(None);
        }
        self.partial.extend_from_slice(input);
        let length = head.parse(&self.partial, limits)?;
        self.partial.truncate(before);
        if length.is_some() {
            self.partial = Vec::new();
            self.connection().message_ended();
        }
        Ok(length.map(|length| length - before))
    }

    /// `input` is a part of a head.
    #[cold]
    pub(crate) fn keep_part_of_head(&mut self, input: &[u8]) {
        let had_begun = self.has_begun();
        self.partial.extend_from_slice(input);
        if !had_begun && self.has_begun() {
            self.connection().message_started();
        }
    }

    /// Keeps what is behind the head for the request's body, and the next request.
    #[inline]
    pub(crate) fn keep_rest(&mut self, mut input: Chunk, head: usize) {
        if head < input.len() {
            input.advance(head);
            self.input = Some(input);
        }
    }

    /// Keeps in mind what a client offers that asks for an upgrade; the head will be gone when it is answered.
    #[cold]
    pub(crate) fn note_offer(&mut self, head: &RequestHead) {
        let fields = head.fields().filter(|(name, _)| name.eq_ignore_ascii_case("upgrade"));
        let values: Vec<_> = fields.map(|(_, value)| value).collect();
        self.offered = Some(values.join(&b'\n').into());
    }

    /// Begins a request without a body.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.incoming.begin_empty();
    }

    /// Begins a request with a body.
    pub(crate) fn begin_body(&mut self, head: &RequestHead, body_max: u64, rate_min: u32) {
        self.incoming.begin(head.body_length(), head.expects_continue(), body_max, rate_min);
    }

    /// The number of the request that is being answered.
    #[inline]
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Whether as many requests as a connection may have are those before this one, and it. 0 is no bound.
    #[inline]
    pub(crate) fn is_last(&self, requests_max: u32) -> bool {
        self.number >= requests_max.wrapping_sub(1)
    }
}

impl Exchange {
    /// The number of the request that is being answered.
    pub(crate) fn current(&self) -> u32 {
        self.state.borrow().number
    }

    /// The request is answered: nobody reads or writes for it any more.
    #[inline]
    pub(crate) fn end(&self) {
        self.state().end();
    }

    /// The handler waits for something else than input: what has arrived must not pin a buffer meanwhile.
    pub(crate) fn unpin_input(&self) {
        let mut state = self.state();
        if state.input.as_ref().is_some_and(Chunk::is_lease) {
            state.input = state.input.take().map(Chunk::into_heap);
        }
    }
}

/// Bodies.
impl Exchange {
    /// The next bytes of the body of a request.
    pub(crate) fn poll_body(
        &self,
        number: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Chunk>, BodyError>> {
        let mut state = self.state();
        let state = &mut *state;
        if state.number != number || state.incoming.is_closed() {
            return Poll::Ready(Err(BodyError::Answered));
        }
        self.poll_rest_of_body(state, cx)
    }

    /// What nobody reads any more.
    pub(crate) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, BodyError>> {
        self.poll_rest_of_body(&mut self.state(), cx)
    }

    fn poll_rest_of_body(
        &self,
        state: &mut State,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Chunk>, BodyError>> {
        if let Some(error) = state.incoming.error {
            return Poll::Ready(Err(error));
        }
        loop {
            if let Some(data) = state.incoming.take(&mut state.input)? {
                return Poll::Ready(Ok(Some(data)));
            }
            if state.incoming.is_ended() {
                state.body_has_ended();
                return Poll::Ready(Ok(None));
            }
            ready!(self.poll_input(state, cx))?;
        }
    }

    /// Waits for more of a body.
    fn poll_input(&self, state: &mut State, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        state.say_continue()?;
        if !state.streams_in {
            state.streams_in = true;
            state.connection().message_streams();
        }
        let now = self.local().reactor.now();
        let Poll::Ready(received) = state.connection().poll_recv(cx) else {
            state.incoming.waits(now);
            return Poll::Pending;
        };
        state.incoming.waits_no_more(now);
        state.wake_gone();
        let error = match received {
            Ok(Some(chunk)) => {
                state.input = Some(chunk);
                return Poll::Ready(Ok(()));
            }
            Ok(None) => BodyError::Connection(Error::UnexpectedEnd),
            Err(error) => BodyError::Connection(error),
        };
        state.incoming.error = Some(error);
        Poll::Ready(Err(error))
    }

    /// The reader of a request's body has given up its wait.
    pub(crate) fn stop_waiting(&self, number: u32) {
        let mut state = self.state();
        if state.number == number && state.connection.is_some() {
            state.connection().stop_waiting();
            let now = self.local().reactor.now();
            state.incoming.waits_no_more(now);
            state.wake_gone();
        }
    }

    /// Calls `f` with the body of a request that is not yet answered.
    pub(crate) fn with_incoming<R>(&self, number: u32, f: impl FnOnce(&mut Incoming) -> R) -> Option<R> {
        let mut state = self.state();
        (state.number == number && !state.incoming.is_closed()).then(|| f(&mut state.incoming))
    }

    /// The body is read while the response is sent: now is the time to ask for it. Whether it has ended.
    pub(crate) fn ask_for_body(&self) -> Result<bool, BodyError> {
        let mut state = self.state();
        if let Some(error) = state.incoming.error {
            return Err(error);
        }
        let is_received = state.is_received();
        if !is_received && state.input.is_none() {
            state.say_continue()?;
        }
        Ok(is_received)
    }

    /// Looks at what has arrived of a body that nobody reads any more, so that what is wrong with it is found before the
    /// request is answered. Whether it has ended.
    pub(crate) fn settle(&self) -> Result<bool, BodyError> {
        let mut state = self.state();
        let state = &mut *state;
        if let Some(error) = state.incoming.error {
            return Err(error);
        }
        while !state.incoming.is_ended() {
            if state.input.is_none() {
                state.input = state.connection().try_recv();
            }
            if state.input.is_none() {
                return Ok(false);
            }
            state.incoming.take(&mut state.input)?;
        }
        state.body_has_ended();
        Ok(true)
    }
}
