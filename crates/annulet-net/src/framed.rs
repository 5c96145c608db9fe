//! Messages on top of a connection's bytes.

use std::fmt;

use annulet_proto::codec::{Decoder, Encoder};
use bytes::BytesMut;

use crate::connection::Connection;
use crate::error::Error;

/// A connection and a codec: [`recv`](Self::recv) gives frames, [`send`](Self::send) takes them.
///
/// Received bytes are copied out of their pool buffers before the codec sees them, so waiting for the rest of a frame
/// pins no buffer. The connection's message clocks are kept: a message runs from its first byte to its last, however it
/// trickles in.
pub struct Framed<C> {
    connection: Connection,
    codec: C,
    input: BytesMut,
    ended: bool,
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum FramedError<E> {
    /// The connection failed.
    #[error("the connection failed")]
    Connection(#[from] Error),
    /// The bytes are not what the codec takes. What can follow is the codec's to say.
    #[error(transparent)]
    Codec(E),
}

impl<C> Framed<C> {
    pub(crate) fn new(connection: Connection, codec: C) -> Self {
        Self { connection, codec, input: BytesMut::new(), ended: false }
    }

    /// The connection: its addresses, options, staging.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The codec.
    pub fn codec(&mut self) -> &mut C {
        &mut self.codec
    }

    /// The connection again, and the bytes received but not yet made into frames.
    pub fn into_parts(self) -> (Connection, C, BytesMut) {
        (self.connection, self.codec, self.input)
    }
}

impl<C: Decoder> Framed<C> {
    /// The next frame; `None` at the end of the stream, or when the server drains and every whole frame received before
    /// has been delivered.
    ///
    /// # Errors
    /// [`FramedError::Codec`] when the bytes are refused, [`FramedError::Connection`] when the connection failed or a
    /// clock ran out.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Result<Option<C::Frame>, FramedError<C::Error>> {
        loop {
            let decoded = if self.ended {
                self.codec.decode_end(&mut self.input)
            } else if self.input.is_empty() {
                Ok(None)
            } else {
                self.codec.decode(&mut self.input)
            };
            match decoded {
                Ok(Some(frame)) => {
                    self.connection.message_ended();
                    return Ok(Some(frame));
                }
                Ok(None) if self.ended => return Ok(None),
                Ok(None) => {}
                Err(error) => {
                    self.connection.stream().local.counters.messages_refused.increment();
                    return Err(FramedError::Codec(error));
                }
            }
            if self.input.is_empty() {
                // A connection between messages holds no memory for them.
                self.input = BytesMut::new();
            } else {
                self.connection.message_started();
            }
            match self.connection.recv().await? {
                Some(chunk) => self.input.extend_from_slice(&chunk),
                None if self.connection.stream().has_ended() => self.ended = true,
                // The server drains. What a peer has begun to send is no message, and must not be taken for its last.
                None => return Ok(None),
            }
        }
    }
}

impl<C> Framed<C> {
    /// Encodes an item and stages it: all or nothing. Waits while there is no room.
    ///
    /// # Errors
    /// [`FramedError::Codec`] when the codec cannot express the item; otherwise the connection's.
    ///
    /// # Cancel safety
    /// Dropped early, nothing of the item is sent.
    pub async fn send<T>(&mut self, item: T) -> Result<(), FramedError<<C as Encoder<T>>::Error>>
    where
        C: Encoder<T>,
    {
        let mut output = self.connection.stream().local.take_staging();
        self.codec.encode(item, &mut output).map_err(FramedError::Codec)?;
        Ok(self.connection.send(output).await?)
    }
}

impl<C> Framed<C> {
    /// Stages what `write` appends to its argument: for replies that are not of the codec's kind.
    ///
    /// # Errors
    /// The connection's.
    ///
    /// # Cancel safety
    /// Dropped early, nothing is sent.
    pub async fn send_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        let mut output = self.connection.stream().local.take_staging();
        write(&mut output);
        self.connection.send(output).await
    }
}

impl<C: fmt::Debug> fmt::Debug for Framed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed")
            .field("connection", &self.connection)
            .field("codec", &self.codec)
            .field("buffered", &self.input.len())
            .finish_non_exhaustive()
    }
}
