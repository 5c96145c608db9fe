//! The upper-casing line server.

use annulet::net::FramedError;
use annulet::proto::lines::{LineError, Lines};
use annulet::proto::upper::upper_line;
use annulet::{Connection, HandlerResult};
use bytes::Bytes;

/// Bytes of a line, its end not counted, unless the user says otherwise.
pub const UPPER_LINE_MAX: usize = 4096;

/// Sends the greeting, then each line in upper case. A last line without a line feed gets no answer.
pub async fn lines(connection: Connection, greeting: Bytes, line_max: usize) -> HandlerResult {
    // A carriage return is a byte like any other here: it comes back, and it counts.
    let mut framed = connection.framed(Lines::new(line_max).trim_carriage_return(false));
    framed.connection().send(greeting).await?;
    loop {
        match framed.recv().await {
            Ok(Some(line)) if line.terminated => {
                framed.send_with(|output| upper_line(&line.bytes, output)).await?;
            }
            Ok(_) => return Ok(()),
            Err(FramedError::Codec(LineError::TooLong { .. })) => {
                return Ok(framed.connection().send("ERR line too long\n").await?);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
