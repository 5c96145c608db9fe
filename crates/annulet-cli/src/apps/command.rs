//! The command server: PING, ECHO, QUIT.

use annulet::net::FramedError;
use annulet::proto::command::{Command, Reply};
use annulet::proto::lines::{LineError, Lines};
use annulet::{Connection, HandlerResult};

/// Bytes of a line, its end not counted, unless the user says otherwise.
pub const COMMAND_LINE_MAX: usize = 1024;

/// Says READY, then answers each line. A last line without a line feed is answered too.
pub async fn command(connection: Connection, line_max: usize) -> HandlerResult {
    let mut framed = connection.framed(Lines::new(line_max));
    framed.send_with(|output| Reply::Ready.write_to(output)).await?;
    loop {
        match framed.recv().await {
            Ok(Some(line)) => {
                let command = Command::parse(&line.bytes);
                framed.send_with(|output| command.reply().write_to(output)).await?;
                if command == Command::Quit {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(FramedError::Codec(LineError::TooLong { .. })) => {
                return Ok(framed.send_with(|output| Reply::LineTooLong.write_to(output)).await?);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
