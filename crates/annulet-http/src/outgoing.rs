//! A response's body on its way out, and how it is framed.

use annulet_net::{Error, Payload};
use annulet_proto::http1::write_chunk_size;
use http::HeaderMap;

use crate::exchange::State;

/// Payloads up to this size are copied behind what is staged rather than staged by themselves.
pub(crate) const COPIED_MAX: usize = 4 * 1024;

/// How the body of a streaming response is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Chunked,
    /// So many bytes are to come.
    Sized(u64),
    /// The end of the connection is its end.
    UntilEnd,
}

pub(crate) struct Outgoing {
    /// `None` while no body streams.
    framing: Option<Framing>,
    pub(crate) trailers: Option<Box<HeaderMap>>,
}

impl Outgoing {
    pub(crate) fn idle() -> Self {
        Self { framing: None, trailers: None }
    }

    pub(crate) fn begin(&mut self, framing: Framing) {
        *self = Self { framing: Some(framing), trailers: None };
    }

    /// Nothing more is written. The trailers that were set.
    pub(crate) fn end(&mut self) -> Option<Box<HeaderMap>> {
        self.framing = None;
        self.trailers.take()
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.framing.is_some()
    }

    pub(crate) fn framing(&self) -> Option<Framing> {
        self.framing
    }

    /// Bytes that may still be written: as many as there are, unless they were counted before.
    pub(crate) fn left(&self) -> u64 {
        match self.framing {
            Some(Framing::Sized(left)) => left,
            Some(Framing::Chunked | Framing::UntilEnd) => u64::MAX,
            None => 0,
        }
    }

    fn count(&mut self, length: usize) {
        if let Some(Framing::Sized(left)) = &mut self.framing {
            *left -= length as u64;
        }
    }
}

impl State {
    /// Stages bytes of a streaming body, framed. At least one, and no more than are [`left`](Outgoing::left).
    pub(crate) fn stage_body(&mut self, payload: Payload) -> Result<(), Error> {
        if payload.len() <= COPIED_MAX {
            return self.copy_body(payload.as_slice());
        }
        let length = payload.len();
        self.outgoing.count(length);
        if self.outgoing.framing() != Some(Framing::Chunked) {
            return self.connection().stage(payload);
        }
        let connection = self.connection();
        connection.compose(|out| write_chunk_size(out, length as u64))?;
        connection.stage(payload)?;
        connection.compose(|out| out.extend_from_slice(b"\r\n"))
    }

    /// [`stage_body`](Self::stage_body) of a copy.
    pub(crate) fn copy_body(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.outgoing.count(bytes.len());
        let is_chunked = self.outgoing.framing() == Some(Framing::Chunked);
        self.connection().compose(|out| {
            if is_chunked {
                write_chunk_size(out, bytes.len() as u64);
            }
            out.extend_from_slice(bytes);
            if is_chunked {
                out.extend_from_slice(b"\r\n");
            }
        })
    }
}
