//! Exchanges with the HTTP server: requests on a connection that stays, the last of which ends it.

use super::Orders;
use super::wire::{Trouble, Wire};
use crate::pattern::Pattern;
use crate::random::Random;

/// The longest head a response may have here.
const HEAD_MAX: usize = 4096;

/// What a response's body must be.
enum Body {
    Exactly(Vec<u8>),
    /// So many dots.
    Dots(usize),
}

pub(crate) fn requests(
    wire: &mut Wire,
    orders: &Orders,
    random: &mut Random,
    answered: &mut u64,
) -> Result<(), Trouble> {
    let count = random.within(1..=orders.exchanges_max);
    for number in 1..=count {
        let is_last = number == count;
        let body = ask(wire, orders, random, if is_last { "Connection: close\r\n" } else { "" })?;
        let closes = answer(wire, &body)?;
        *answered += 1;
        match (is_last, closes) {
            (true, true) => {}
            (true, false) => return Err(Trouble::Lost("a connection that was to close stays".into())),
            // A server that drains says farewell with its answer.
            (false, true) => break,
            (false, false) => continue,
        }
    }
    wire.expect_end()
}

/// Sends a request; returns what is to come back.
fn ask(wire: &mut Wire, orders: &Orders, random: &mut Random, close: &str) -> Result<Body, Trouble> {
    let length = random.size(1..=orders.bytes_max);
    let head = |first: &str, rest: &str| format!("{first} HTTP/1.1\r\nHost: faults\r\n{close}{rest}\r\n");
    let length_field = |length: usize| format!("Content-Length: {length}\r\n");
    let pattern = Pattern::new(random.next());
    match random.within(0..=4) {
        0 => {
            wire.send(head("GET /", "").as_bytes())?;
            Ok(Body::Exactly(b"Hello, World!".into()))
        }
        1 => {
            let body = pattern.bytes(0, length);
            wire.send(head("POST /", &length_field(length)).as_bytes())?;
            wire.send(&body)?;
            Ok(Body::Exactly(body))
        }
        2 => {
            wire.send(head(&format!("GET /stream/{length}"), "").as_bytes())?;
            Ok(Body::Dots(length))
        }
        3 => {
            wire.send(head("PUT /upload", &length_field(length)).as_bytes())?;
            wire.send(&pattern.bytes(0, length))?;
            Ok(Body::Exactly(format!("{length} bytes\n").into_bytes()))
        }
        _ => {
            wire.send(head("POST /upload", "Transfer-Encoding: chunked\r\n").as_bytes())?;
            send_chunks(wire, random, &pattern.bytes(0, length))?;
            Ok(Body::Exactly(format!("{length} bytes\n").into_bytes()))
        }
    }
}

fn send_chunks(wire: &mut Wire, random: &mut Random, mut bytes: &[u8]) -> Result<(), Trouble> {
    while !bytes.is_empty() {
        let (chunk, rest) = bytes.split_at(random.size(1..=bytes.len() as u64));
        wire.send(format!("{:x}\r\n", chunk.len()).as_bytes())?;
        wire.send(chunk)?;
        wire.send(b"\r\n")?;
        bytes = rest;
    }
    wire.send(b"0\r\n\r\n")
}

/// Reads a response. Returns whether the connection is to end after it.
fn answer(wire: &mut Wire, expected: &Body) -> Result<bool, Trouble> {
    let head = head(wire)?;
    let status = head.lines().next().unwrap_or_default();
    if status != "HTTP/1.1 200 OK" {
        return Err(Trouble::Broken(format!("answered with {status:?}")));
    }
    let field = |name: &str| {
        let fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    let length = field("content-length").and_then(|length| length.parse().ok());
    let length: usize =
        length.ok_or_else(|| Trouble::Lost(format!("a response without a length: {head}")))?;
    let body = match wire.receive_exactly(length) {
        Err(Trouble::Unanswered) => return Err(Trouble::CutShort("an orderly end after a head".into())),
        other => other?,
    };
    let is_right = match expected {
        Body::Exactly(bytes) => body == *bytes,
        Body::Dots(count) => body.len() == *count && body.iter().all(|byte| *byte == b'.'),
    };
    if !is_right {
        return Err(Trouble::Lost(format!("a body of {length} bytes that is not what was asked for")));
    }
    Ok(field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")))
}

fn head(wire: &mut Wire) -> Result<String, Trouble> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_MAX {
            return Err(Trouble::Lost(format!("{HEAD_MAX} bytes that are no head")));
        }
        match wire.receive_exactly(1) {
            Err(Trouble::Unanswered) if !head.is_empty() => {
                return Err(Trouble::CutShort("an orderly end within a head".into()));
            }
            byte => head.extend(byte?),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
