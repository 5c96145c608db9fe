//! Requests, and what is right to answer.

use annulet_sim::Sim;

use crate::draw::{pattern, percent};

/// A request as it goes over the wire.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) bytes: Vec<u8>,
    pub(super) answer: Answer,
    /// Its answer has no body, whatever its head says.
    pub(super) is_head: bool,
}

/// What is to be answered, unless the server says that it closes.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// 200, with this.
    Body(Vec<u8>),
    /// This status, with whatever text.
    Status(u16),
    /// Any error, and the end.
    Refusal,
}

/// Several requests for one connection.
pub(super) fn questions(sim: &Sim, body_max: u64) -> Vec<Question> {
    let mut questions = Vec::new();
    for _ in 0..sim.spread(1, 24) {
        let (bytes, answer) = drawn(sim, body_max);
        let is_last = matches!(answer, Answer::Refusal);
        let is_head = bytes.starts_with(b"HEAD");
        questions.push(Question { bytes, answer, is_head });
        if is_last {
            break;
        }
    }
    questions
}

/// What every server answers.
pub(super) fn hello() -> Question {
    let (bytes, answer) = get("/", Answer::Body(b"Hello, World!".to_vec()));
    Question { bytes, answer, is_head: false }
}

fn drawn(sim: &Sim, body_max: u64) -> (Vec<u8>, Answer) {
    match sim.below(20) {
        0..4 => get("/", Answer::Body(b"Hello, World!".to_vec())),
        4 => (b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(), Answer::Body(Vec::new())),
        5 => get("/nowhere", Answer::Status(404)),
        6 => (b"DELETE / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(), Answer::Status(405)),
        7 => get(&format!("/delay/{}", sim.spread(1, 500)), Answer::Body(b"waited\n".to_vec())),
        8..11 => {
            let length = sim.spread(1, 100_000);
            get(&format!("/stream/{length}"), Answer::Body(vec![b'.'; length as usize]))
        }
        11 => get("/cookie", Answer::Body(Vec::new())),
        12..15 => {
            let body = pattern(sim.below(1000), sim.spread(1, body_max) as usize);
            (with_length("/", &body), Answer::Body(body))
        }
        15 => {
            let body = pattern(sim.below(1000), sim.spread(1, body_max) as usize);
            (chunked(sim, "/", &body), Answer::Body(body))
        }
        16 | 17 => {
            let body = pattern(sim.below(1000), sim.spread(1, 60_000) as usize);
            let answer = Answer::Body(format!("{} bytes\n", body.len()).into_bytes());
            let bytes =
                if percent(sim, 50) { chunked(sim, "/upload", &body) } else { with_length("/upload", &body) };
            (bytes, answer)
        }
        18 => {
            let body = pattern(1, body_max as usize + 1);
            (with_length("/", &body), Answer::Refusal)
        }
        _ => (hostile(sim), Answer::Refusal),
    }
}

fn get(path: &str, answer: Answer) -> (Vec<u8>, Answer) {
    (format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-filler: abc\r\n\r\n").into_bytes(), answer)
}

fn with_length(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn chunked(sim: &Sim, path: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
    for piece in body.chunks(sim.spread(16, 20_000) as usize) {
        bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// What is no request, or only its beginning.
fn hostile(sim: &Sim) -> Vec<u8> {
    match sim.below(7) {
        0 => b"GET / HTTP/1.1\r\nhost: a\r\n bad\r\n\r\n".to_vec(),
        1 => format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000)).into_bytes(),
        2 => pattern(sim.below(1000), sim.spread(1, 5000) as usize),
        3 => b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n".to_vec(),
        4 => b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n".to_vec(),
        // Ended within its head, and within its body.
        5 => b"GET / HTTP/1.1\r\nho".to_vec(),
        _ => b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 500\r\n\r\nabc".to_vec(),
    }
}
