//! A connection while it carries one request and its response.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use annulet_driver::Chunk;
use annulet_net::{Connection, Error};
use annulet_proto::http1::{Answers, HttpError, ResponseHead};
use annulet_runtime::time::sleep;

use super::connect::Taken;
use super::error::{ClientError, Phase, Processed};
use super::local::Local;
use super::pool::Place;
use super::settings::Settings;
use super::upload::{Upload, UploadError};

/// Informational responses taken before the response itself.
const INTERIM_MAX: u32 = 16;

/// What is dropped before it was [finished](Self::finish) is cut off.
pub(super) struct Wire {
    local: Rc<Local>,
    place: Option<Place>,
    /// `None` once it was given back, or given up.
    connection: Option<Connection>,
    is_reused: bool,
    /// Received, and not taken.
    pub(super) input: Option<Chunk>,
    /// The beginning of a head.
    partial: Vec<u8>,
    /// The rest of the request's body.
    upload: Option<Upload>,
    /// What is staged has left, or is so short that it does with the turn.
    is_sent: bool,
    /// Whether another request may follow this one.
    keeps_alive: bool,
}

/// What the request asks of its response's head.
pub(super) struct Asked {
    pub(super) answers: Answers,
    /// Another protocol is offered.
    pub(super) offers_upgrade: bool,
    /// The connection is to close afterwards.
    pub(super) closes: bool,
}

impl Wire {
    pub(super) fn new(local: Rc<Local>, taken: Taken) -> Self {
        Self {
            local,
            place: Some(taken.place),
            connection: Some(taken.connection),
            is_reused: taken.is_reused,
            input: None,
            partial: Vec::new(),
            upload: None,
            is_sent: true,
            keeps_alive: false,
        }
    }

    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("there until the exchange is over")
    }

    /// Sends a request's head, which `write` appends.
    pub(super) fn send_head(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), ClientError> {
        let sent = self.connection().compose(write);
        sent.map_err(|source| {
            self.give_up();
            ClientError::NoResponse { source, processed: Processed::No }
        })
    }

    /// Sends a request's body, as far as there is room, while the response is waited for.
    pub(super) fn send_body(&mut self, upload: Option<Upload>) {
        self.is_sent = upload.as_ref().is_none_or(Upload::is_short);
        self.upload = upload;
    }

    /// The response's head.
    pub(super) async fn receive_head(
        &mut self,
        head: &mut ResponseHead,
        asked: &Asked,
        settings: &Settings,
    ) -> Result<(), ClientError> {
        let mut timer = None;
        let mut interims = 0;
        poll_fn(|cx| {
            if let Poll::Ready(result) = self.poll_head(head, asked, settings, &mut interims, cx) {
                return Poll::Ready(result);
            }
            let Some(limit) = settings.head_timeout else { return Poll::Pending };
            // What is under way has a clock of its own: that of bytes the server does not take.
            ready!(self.poll_sent(cx));
            let timer = timer.get_or_insert_with(|| sleep(limit));
            ready!(Future::poll(Pin::new(timer), cx));
            Poll::Ready(Err(ClientError::TimedOut(Phase::Head)))
        })
        .await?;
        self.keeps_alive = head.keeps_alive() && !asked.closes;
        if head.status() >= 300 {
            // The server does not want the rest (RFC 9110 §10.1.1, RFC 9112 §9.5).
            self.keeps_alive &= self.upload.take().is_none();
        }
        Ok(())
    }

    fn poll_head(
        &mut self,
        head: &mut ResponseHead,
        asked: &Asked,
        settings: &Settings,
        interims: &mut u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ClientError>> {
        if let Poll::Ready(Err(error)) = self.poll_upload(cx) {
            return Poll::Ready(Err(error));
        }
        loop {
            while self.take_head(head, asked, settings).map_err(ClientError::Head)? {
                if !head.is_informational() {
                    return Poll::Ready(Ok(()));
                }
                if head.status() == 101 {
                    let broken = ClientError::Protocol("it switched to a protocol nobody asked for");
                    return Poll::Ready(if asked.offers_upgrade { Ok(()) } else { Err(broken) });
                }
                *interims += 1;
                if *interims > INTERIM_MAX {
                    let broken = ClientError::Protocol("it sent informational responses without end");
                    return Poll::Ready(Err(broken));
                }
                if head.status() == 100
                    && let Some(upload) = &mut self.upload
                {
                    upload.release();
                    if let Poll::Ready(Err(error)) = self.poll_upload(cx) {
                        return Poll::Ready(Err(error));
                    }
                }
            }
            match ready!(self.connection().poll_recv(cx)) {
                Ok(Some(chunk)) => self.input = Some(chunk),
                Ok(None) => return Poll::Ready(Err(self.has_failed(Error::UnexpectedEnd))),
                Err(error) => return Poll::Ready(Err(self.has_failed(error))),
            }
        }
    }

    /// The connection failed before there was a whole head.
    #[cold]
    fn has_failed(&mut self, source: Error) -> ClientError {
        self.give_up();
        let processed =
            if self.is_reused && self.partial.is_empty() { Processed::Unlikely } else { Processed::Maybe };
        ClientError::NoResponse { source, processed }
    }

    /// Takes a head from what has arrived; false when more is needed.
    fn take_head(
        &mut self,
        head: &mut ResponseHead,
        asked: &Asked,
        settings: &Settings,
    ) -> Result<bool, HttpError> {
        let Some(mut input) = self.input.take() else { return Ok(false) };
        // From its first byte on there is a response: whatever becomes of it, the request is not sent again.
        self.is_reused = false;
        let before = self.partial.len();
        let parsed = if before == 0 {
            head.parse(&input, &settings.head_limits, asked.answers)?
        } else {
            self.partial.extend_from_slice(&input);
            // A head ends with a line, and is looked at when one does.
            let is_worth_a_look =
                input.contains(&b'\n') || self.partial.len() >= settings.head_limits.bytes_max();
            if is_worth_a_look {
                head.parse(&self.partial, &settings.head_limits, asked.answers)?
            } else {
                None
            }
        };
        let Some(length) = parsed else {
            if before == 0 {
                self.partial.extend_from_slice(&input);
            }
            return Ok(false);
        };
        self.partial = Vec::new();
        input.advance(length - before);
        self.input = (!input.is_empty()).then_some(input);
        Ok(true)
    }

    /// Sends more of the request's body; ready when all of it is on its way.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        let (Some(upload), Some(connection)) = (&mut self.upload, &mut self.connection) else {
            return Poll::Ready(Ok(()));
        };
        let result = ready!(upload.poll(connection, &self.local.reactor, cx));
        self.upload = None;
        Poll::Ready(match result {
            // What the server has said before it stopped listening is still to be read, or else that it did.
            Ok(()) | Err(UploadError::Connection) => Ok(()),
            Err(UploadError::Source(error)) => Err(ClientError::RequestBody(error)),
        })
    }

    /// Ready when the kernel has all of the request, or takes no more of it.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.upload.is_some() {
            return Poll::Pending;
        }
        if self.is_sent {
            return Poll::Ready(());
        }
        // What fails is found by the one who reads.
        let _ = ready!(self.connection().poll_flush(cx));
        self.is_sent = true;
        Poll::Ready(())
    }

    /// The next bytes of the response's body, framing and all, for [`input`](Self::input).
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, Error>> {
        self.connection().poll_recv(cx)
    }

    /// What has arrived already.
    pub(super) fn try_recv(&mut self) -> Option<Chunk> {
        self.connection().try_recv()
    }

    pub(super) fn stop_waiting(&self) {
        if let Some(connection) = &self.connection {
            connection.stop_waiting();
        }
    }

    /// The clocks learn that a body follows.
    pub(super) fn body_begins(&mut self) {
        self.connection().message_streams();
    }

    /// The response is complete. The connection goes back if another request may follow on it, else it closes: in order, unless
    /// some of the request was still to be sent, which nobody waits for any more.
    pub(super) fn finish(mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let is_sent = self.upload.is_none() && self.connection().poll_flush(&mut context).is_ready();
        if !is_sent {
            return;
        }
        let connection = self.connection.take().expect("finished once");
        let place = self.place.take().expect("there as long as the connection");
        connection.message_ended();
        if self.keeps_alive && self.input.is_none() && connection.is_quiet() {
            place.give_back(connection);
        }
    }

    /// The connection is out of order by itself.
    pub(super) fn give_up(&mut self) {
        drop(self.connection.take());
        drop(self.place.take());
    }

    /// An error of the response's body is counted.
    pub(super) fn count(&self, error: &ClientError) {
        self.local.count(error);
    }

    /// The connection, for another protocol, with what has arrived of that.
    pub(super) fn hand_over(mut self) -> Connection {
        let mut connection = self.connection.take().expect("handed over once");
        connection.message_ended();
        if let Some(input) = self.input.take() {
            connection.unread(input);
        }
        connection
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Nobody wants the rest of the response, and the server is to stop making it.
        if let Some(connection) = self.connection.take() {
            connection.abort();
        }
    }
}
