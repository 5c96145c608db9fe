//! Just enough of HTTP/1.1 to be measured with a load generator: it finds the end of each request's head and says hello.

mod head;

use annulet::net::FramedError;
use annulet::{Connection, HandlerResult};

use head::{Heads, TooLarge};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n";
const HEAD_AND_BODY: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";
const HEAD_TOO_LARGE: &str =
    "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Answers every request with a hello. Pipelined requests are answered in order and leave in one send.
pub(crate) async fn http(connection: Connection) -> HandlerResult {
    let mut framed = connection.framed(Heads::new());
    loop {
        match framed.recv().await {
            Ok(Some(head)) => {
                let response = if head.is(b"HEAD") { HEAD } else { HEAD_AND_BODY };
                framed.connection().send(response).await?;
                if head.is_last() {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(FramedError::Codec(TooLarge)) => {
                framed.connection().send(HEAD_TOO_LARGE).await?;
                return Ok(());
            }
            Err(FramedError::Connection(error)) => return Err(error.into()),
        }
    }
}
