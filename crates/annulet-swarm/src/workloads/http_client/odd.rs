//! A server that speaks HTTP in every way there is, and stops in the middle now and then.

use std::time::Duration;

use annulet::time::{sleep, timeout};
use annulet::{Connection, HandlerResult};

use super::site::{Deeds, NUMBER, SUM};
use crate::draw::pattern;

/// How a response is sent.
const WAYS: u64 = 10;

/// Answers requests without a body, each in a way of its own.
pub(super) async fn odd(mut connection: Connection, deeds: Deeds) -> HandlerResult {
    let mut input = Vec::new();
    loop {
        while let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = input.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head).into_owned();
            assert!(input.is_empty(), "a second request before the first was answered: {head}");
            let mut parts = head.split([' ', '/']).filter_map(|part| part.parse::<u64>().ok());
            let (Some(number), Some(length)) = (parts.next(), parts.next()) else { panic!("{head}") };
            deeds.done.note(number);
            if !answer(&mut connection, number, length as usize).await? {
                return end_quietly(connection).await;
            }
        }
        match connection.recv().await? {
            Some(chunk) => input.extend_from_slice(&chunk),
            None => return Ok(()),
        }
    }
}

/// Answers; says whether the connection lasts.
async fn answer(connection: &mut Connection, number: u64, length: usize) -> Result<bool, annulet::Error> {
    let body = pattern(number, length);
    let head = |version: &str, fields: &str| {
        format!("HTTP/{version} 200 OK\r\n{NUMBER}: {number}\r\n{fields}\r\n").into_bytes()
    };
    let sized = format!("Content-Length: {length}\r\n");
    match number % WAYS {
        0 => connection.send([head("1.1", &sized), body].concat()).await?,
        1 => {
            let fields = format!("{sized}Connection: close\r\n");
            connection.send([head("1.1", &fields), body].concat()).await?;
            return Ok(false);
        }
        2 => {
            connection.send([head("1.1", ""), body].concat()).await?;
            connection.shutdown().await?;
            return Ok(false);
        }
        3 | 4 => {
            connection
                .send("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
                .await?;
            connection.send(head("1.1", "Transfer-Encoding: chunked\r\n")).await?;
            for piece in body.chunks(1 + length / 7) {
                connection.send(format!("{:X};x=y\r\n", piece.len())).await?;
                connection.send(piece.to_vec()).await?;
                connection.send("\r\n").await?;
            }
            if number % WAYS == 4 {
                // The last chunk is missing.
                connection.shutdown().await?;
                return Ok(false);
            }
            connection.send(format!("0\r\n{SUM}: {number}\r\n\r\n")).await?;
        }
        5 => {
            connection.send([head("1.0", &sized), body].concat()).await?;
            return Ok(false);
        }
        6 => {
            connection.send([&head("1.1", &sized), &body[..length / 2]].concat()).await?;
            connection.shutdown().await?;
            return Ok(false);
        }
        7 => {
            for byte in [head("1.1", &sized), body[..length.min(1)].to_vec()].concat() {
                connection.send(vec![byte]).await?;
            }
            sleep(Duration::from_millis(1)).await;
            connection.send(body[length.min(1)..].to_vec()).await?;
        }
        8 => {
            connection.shutdown().await?;
            return Ok(false);
        }
        _ => {
            connection.send(head("1.1", &sized)[..30].to_vec()).await?;
            connection.shutdown().await?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a whole answer can be had of the request with this number.
pub(super) fn answers_all_of(number: u64) -> bool {
    !matches!(number % WAYS, 4 | 6 | 8 | 9)
}

/// Nobody asks anything on a connection of which it was said that it ends.
async fn end_quietly(mut connection: Connection) -> HandlerResult {
    connection.flush().await?;
    if let Ok(Ok(Some(chunk))) = timeout(Duration::from_secs(20), connection.recv()).await {
        panic!("a request after the last response: {:?}", String::from_utf8_lossy(&chunk));
    }
    Ok(())
}
