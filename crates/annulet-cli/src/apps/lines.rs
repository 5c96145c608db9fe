//! The upper-casing line server.

use std::convert::Infallible;

use annulet::net::FramedError;
use annulet::proto::codec::{Decoder, Encoder};
use annulet::proto::lines::{Line, LineError, Lines};
use annulet::proto::upper::upper_line;
use annulet::{Connection, HandlerResult};
use bytes::{Bytes, BytesMut};

/// Bytes of a line, its end not counted, unless the user says otherwise.
pub(crate) const UPPER_LINE_MAX: usize = 4096;

/// Sends the greeting, then each line in upper case. A last line without a line feed gets no answer.
pub(crate) async fn lines(connection: Connection, greeting: Bytes, line_max: usize) -> HandlerResult {
    // A carriage return is a byte like any other here: it comes back, and it counts.
    let mut framed = connection.framed(Upper(Lines::new(line_max).trim_carriage_return(false)));
    framed.connection().send(greeting).await?;
    loop {
        match framed.recv().await {
            Ok(Some(line)) if line.terminated => framed.send(line).await?,
            Ok(_) => return Ok(()),
            Err(FramedError::Codec(LineError::TooLong { .. })) => {
                framed.connection().send("ERR line too long\n").await?;
                return Ok(());
            }
            Err(FramedError::Codec(error)) => return Err(error.into()),
            Err(FramedError::Connection(error)) => return Err(error.into()),
        }
    }
}

/// Reads lines, writes them in upper case.
struct Upper(Lines);

impl Decoder for Upper {
    type Frame = Line;
    type Error = LineError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Line>, LineError> {
        self.0.decode(input)
    }

    fn decode_end(&mut self, input: &mut BytesMut) -> Result<Option<Line>, LineError> {
        self.0.decode_end(input)
    }

    fn buffered_max(&self) -> usize {
        self.0.buffered_max()
    }
}

impl Encoder<Line> for Upper {
    type Error = Infallible;

    fn encode(&mut self, line: Line, output: &mut Vec<u8>) -> Result<(), Infallible> {
        upper_line(&line.bytes, output);
        Ok(())
    }
}
