//! The command server: PING, ECHO, QUIT.

use std::convert::Infallible;

use annulet::net::FramedError;
use annulet::proto::codec::{Decoder, Encoder};
use annulet::proto::command::{Command, Reply};
use annulet::proto::lines::{Line, LineError, Lines};
use annulet::{Connection, HandlerResult};
use bytes::BytesMut;

/// Bytes of a line, its end not counted, unless the user says otherwise.
pub(crate) const COMMAND_LINE_MAX: usize = 1024;

/// Says READY, then answers each line. A last line without a line feed is answered too.
pub(crate) async fn command(connection: Connection, line_max: usize) -> HandlerResult {
    // The grammar ignores carriage returns itself, however many; they count as bytes of the line.
    let mut framed = connection.framed(Commands(Lines::new(line_max).trim_carriage_return(false)));
    framed.send(Reply::Ready).await?;
    loop {
        match framed.recv().await {
            // The server drains: this is where it stopped reading, not where the client ended its line.
            Ok(Some(line)) if !line.terminated && framed.connection().is_draining() => return Ok(()),
            Ok(Some(line)) => {
                let command = Command::parse(&line.bytes);
                framed.send(command.reply()).await?;
                if command == Command::Quit {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(FramedError::Codec(LineError::TooLong { .. })) => {
                framed.send(Reply::LineTooLong).await?;
                return Ok(());
            }
            Err(FramedError::Codec(error)) => return Err(error.into()),
            Err(FramedError::Connection(error)) => return Err(error.into()),
        }
    }
}

/// Reads lines, writes replies.
struct Commands(Lines);

impl Decoder for Commands {
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

impl Encoder<Reply<'_>> for Commands {
    type Error = Infallible;

    fn encode(&mut self, reply: Reply<'_>, output: &mut Vec<u8>) -> Result<(), Infallible> {
        reply.write_to(output);
        Ok(())
    }
}
