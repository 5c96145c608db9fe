//! A request's body on its way in: where it ends, how much of it there may be, and how slowly it may come.

use std::hint::cold_path;
use std::time::Duration;

use annulet_driver::{Chunk, Instant};
use annulet_proto::http1::{BodyDecoder, BodyLength, BodyStep, HttpError};

use crate::body::BodyError;

/// How long a body is waited for before its rate counts.
const RATE_GRACE: Duration = Duration::from_secs(5);

pub(crate) struct Incoming {
    decoder: BodyDecoder,
    is_ended: bool,
    /// Nobody reads it any more: what comes is thrown away.
    is_closed: bool,
    /// Bytes there may be.
    max: u64,
    received: u64,
    /// The client waits for 100 (Continue) before it sends anything.
    pub(crate) continue_due: bool,
    /// What is wrong with it: nothing more comes.
    pub(crate) error: Option<BodyError>,
    rate_min: u32,
    waited: Duration,
    waits_since: Option<Instant>,
}

impl Incoming {
    /// Before the first request.
    pub(crate) fn none() -> Self {
        Self {
            decoder: BodyDecoder::new(BodyLength::None),
            is_ended: true,
            is_closed: false,
            max: 0,
            received: 0,
            continue_due: false,
            error: None,
            rate_min: 0,
            waited: Duration::ZERO,
            waits_since: None,
        }
    }

    /// The next request has no body.
    #[inline]
    pub(crate) fn begin_empty(&mut self) {
        self.is_ended = true;
        self.is_closed = false;
        self.error = None;
        self.continue_due = false;
        if self.decoder.left().is_none() {
            // Its trailers were the last request's.
            cold_path();
            self.decoder = BodyDecoder::new(BodyLength::None);
        }
    }

    /// The next request has one.
    pub(crate) fn begin(&mut self, length: BodyLength, expects_continue: bool, max: u64, rate_min: u32) {
        *self = Self {
            decoder: BodyDecoder::new(length),
            is_ended: false,
            max,
            continue_due: expects_continue,
            rate_min,
            ..Self::none()
        };
    }

    /// Ends it for its readers.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether its reader waits.
    pub(crate) fn is_awaited(&self) -> bool {
        self.waits_since.is_some()
    }

    #[inline]
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Changes the bound on all of it.
    pub(crate) fn set_max(&mut self, max: u64) {
        self.max = max;
    }

    /// Bytes still to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        if self.is_ended { Some(0) } else { self.decoder.left() }
    }

    /// The trailer lines of a body that has ended.
    pub(crate) fn trailers(&self) -> &[u8] {
        self.decoder.trailers()
    }

    /// The handler waits for more.
    pub(crate) fn waits(&mut self, now: Instant) {
        self.waits_since.get_or_insert(now);
    }

    /// More has come, or the handler gave up its wait.
    pub(crate) fn waits_no_more(&mut self, now: Instant) {
        if let Some(since) = self.waits_since.take() {
            self.waited += now - since;
        }
    }

    /// Whether it comes more slowly than it may.
    fn is_slow(&self) -> bool {
        self.waited > RATE_GRACE
            && (self.received as f64) < f64::from(self.rate_min) * self.waited.as_secs_f64()
    }

    /// Takes what belongs to the body from the front of `input`: all its bytes, without a copy where `input` is nothing else.
    /// `None` when there are none.
    pub(crate) fn take(&mut self, input: &mut Option<Chunk>) -> Result<Option<Chunk>, BodyError> {
        // Who has begun to send waits for nothing.
        self.continue_due &= input.is_none();
        let result = self.cut(input).and_then(|data| {
            self.received += data.as_deref().map_or(0, <[u8]>::len) as u64;
            if self.received > self.max {
                return Err(BodyError::TooLarge);
            }
            if self.is_slow() && !self.is_ended {
                return Err(BodyError::TooSlow);
            }
            Ok(data)
        });
        if let Err(error) = result {
            self.error = Some(error);
        }
        result
    }

    fn cut(&mut self, input: &mut Option<Chunk>) -> Result<Option<Chunk>, BodyError> {
        let Some(chunk) = input.as_mut().filter(|_| !self.is_ended) else { return Ok(None) };
        let mut gathered = Vec::new();
        while !chunk.is_empty() {
            match self.decode(chunk)? {
                BodyStep::Data { skip, length } if gathered.is_empty() && skip + length == chunk.len() => {
                    chunk.advance(skip);
                    let data = input.take();
                    self.is_ended = self.decoder.left() == Some(0);
                    return Ok(data);
                }
                BodyStep::Data { skip, length } => {
                    gathered.extend_from_slice(&chunk[skip..skip + length]);
                    chunk.advance(skip + length);
                    // What is wrong behind it is not looked at: the first mistake counts, however bytes arrive.
                    if self.received + gathered.len() as u64 > self.max {
                        return Err(BodyError::TooLarge);
                    }
                }
                BodyStep::More { skip } => chunk.advance(skip),
                BodyStep::End { skip } => {
                    chunk.advance(skip);
                    self.is_ended = true;
                    break;
                }
            }
        }
        if chunk.is_empty() {
            *input = None;
        }
        self.is_ended |= self.decoder.left() == Some(0);
        Ok((!gathered.is_empty()).then(|| Chunk::from(gathered)))
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<BodyStep, HttpError> {
        self.decoder.decode(bytes)
    }
}
