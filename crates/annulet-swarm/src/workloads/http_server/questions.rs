//! Requests, and what is right to answer.

use annulet_sim::Sim;

use crate::draw::{one_of, pattern, percent};

/// A request as it goes over the wire.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) bytes: Vec<u8>,
    /// The client waits for 100 Continue after so many of them.
    pub(super) waits_at: Option<usize>,
    pub(super) answer: Answer,
    /// Its answer has no body, whatever its head says.
    pub(super) is_head: bool,
    /// Nothing is answered behind it.
    pub(super) is_last: bool,
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

/// The fields of a request behind its first line.
const USUAL: &str = "host: a\r\nx-filler: abc\r\n";

impl Question {
    fn new(bytes: Vec<u8>, answer: Answer) -> Self {
        let (is_head, is_last) = (bytes.starts_with(b"HEAD"), matches!(answer, Answer::Refusal));
        Self { bytes, waits_at: None, answer, is_head, is_last }
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self.answer, Answer::Refusal)
    }
}

/// Several requests for one connection.
pub(super) fn questions(sim: &Sim, body_max: u64) -> Vec<Question> {
    let mut questions = Vec::new();
    for _ in 0..sim.spread(1, 24) {
        let question = if percent(sim, 5) { wrong(sim, body_max) } else { right(sim, body_max, 100_000) };
        let is_refused = question.is_refused();
        questions.push(question);
        if is_refused {
            break;
        }
    }
    questions
}

/// A few requests that any server answers.
pub(super) fn easy(sim: &Sim, body_max: u64) -> Vec<Question> {
    (0..sim.spread(1, 6)).map(|_| right(sim, body_max, 20_000)).collect()
}

/// What every server answers.
pub(super) fn hello() -> Question {
    get("/", USUAL, Answer::Body(b"Hello, World!".to_vec()))
}

/// A request that is to be answered.
fn right(sim: &Sim, body_max: u64, length_max: u64) -> Question {
    let body = || {
        let length = if percent(sim, 20) { body_max } else { sim.spread(1, body_max) };
        pattern(sim.below(1000), length.min(length_max) as usize)
    };
    let fields = fields(sim);
    match sim.below(20) {
        0..3 => get("/", &fields, Answer::Body(b"Hello, World!".to_vec())),
        3 => {
            let path = one_of(sim, &["/", "/delay/3", "/stream/300", "/nowhere"]);
            let answer = if path == "/nowhere" { Answer::Status(404) } else { Answer::Body(Vec::new()) };
            Question::new(format!("HEAD {path} HTTP/1.1\r\n{fields}\r\n").into_bytes(), answer)
        }
        4 => get("/nowhere", &fields, Answer::Status(404)),
        5 => Question::new(format!("DELETE / HTTP/1.1\r\n{fields}\r\n").into_bytes(), Answer::Status(405)),
        6 => get(&format!("/delay/{}", sim.spread(1, 500)), &fields, Answer::Body(b"waited\n".to_vec())),
        7 | 8 => {
            let length = sim.spread(1, length_max);
            get(&format!("/stream/{length}"), &fields, Answer::Body(vec![b'.'; length as usize]))
        }
        9 => get("/cookie", &fields, Answer::Body(Vec::new())),
        10 => get("/echo", &fields, Answer::Body(fields.replace('\r', "").into_bytes())),
        11 => last(sim),
        12 | 13 => {
            let body = body();
            with_length("/", &fields, &body, Answer::Body(body.clone()))
        }
        14 => {
            let body = body();
            chunked(sim, "/", &fields, &body, Answer::Body(body.clone()))
        }
        15 => {
            let body = body();
            let fields = format!("{fields}expect: 100-continue\r\n");
            // Where nobody reads it, the connection ends: who would say whether the body comes?
            let is_read = percent(sim, 70);
            let (path, answer) =
                if is_read { ("/", Answer::Body(body.clone())) } else { ("/nowhere", Answer::Status(404)) };
            let question = with_length(path, &fields, &body, answer);
            let waits_at = Some(question.bytes.len() - body.len());
            Question { waits_at, is_last: !is_read, ..question }
        }
        16 => {
            let body = body();
            // What is not read is to be passed over, unless it is long.
            let length = body.len().min(60_000);
            with_length("/nowhere", &fields, &body[..length], Answer::Status(404))
        }
        17 => with_length("/", &fields, b"", Answer::Body(Vec::new())),
        _ => {
            let body = pattern(sim.below(1000), sim.spread(1, length_max.min(60_000)) as usize);
            let answer = Answer::Body(format!("{} bytes\n", body.len()).into_bytes());
            if percent(sim, 50) {
                chunked(sim, "/upload", &fields, &body, answer)
            } else {
                with_length("/upload", &fields, &body, answer)
            }
        }
    }
}

/// The same fields often, others now and then.
fn fields(sim: &Sim) -> String {
    if percent(sim, 60) {
        return USUAL.into();
    }
    let others = (0..sim.below(4)).map(|number| {
        let value = "v".repeat(sim.spread(1, 300) as usize);
        format!("x-{number}: {value}\r\n")
    });
    ["host: a\r\n".to_owned()].into_iter().chain(others).collect()
}

/// A request after which the connection ends, or would if it did not say otherwise.
fn last(sim: &Sim) -> Question {
    let (version, connection, is_last) = one_of(
        sim,
        &[
            ("1.1", "connection: close\r\n", true),
            ("1.1", "Connection: x-option, Close\r\n", true),
            ("1.0", "", true),
            ("1.0", "connection: keep-alive\r\n", false),
        ],
    );
    let (path, body) = one_of(sim, &[("/", &b"Hello, World!"[..]), ("/stream/300", &[b'.'; 300])]);
    let bytes = format!("GET {path} HTTP/{version}\r\nhost: a\r\n{connection}\r\n").into_bytes();
    Question { is_last, ..Question::new(bytes, Answer::Body(body.to_vec())) }
}

fn get(path: &str, fields: &str, answer: Answer) -> Question {
    Question::new(format!("GET {path} HTTP/1.1\r\n{fields}\r\n").into_bytes(), answer)
}

fn with_length(path: &str, fields: &str, body: &[u8], answer: Answer) -> Question {
    let head = format!("POST {path} HTTP/1.1\r\n{fields}content-length: {}\r\n\r\n", body.len());
    Question::new([head.as_bytes(), body].concat(), answer)
}

fn chunked(sim: &Sim, path: &str, fields: &str, body: &[u8], answer: Answer) -> Question {
    let mut bytes =
        format!("POST {path} HTTP/1.1\r\n{fields}transfer-encoding: chunked\r\n\r\n").into_bytes();
    let piece_max = sim.spread((body.len() as u64 / 500).max(1), 20_000) as usize;
    let extension = if percent(sim, 20) { ";name=\"a value\"" } else { "" };
    for piece in body.chunks(piece_max) {
        bytes.extend(format!("{:x}{extension}\r\n", piece.len()).into_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(if percent(sim, 20) { b"0\r\nx-sum: 1\r\n\r\n" } else { b"0\r\n\r\n" });
    Question::new(bytes, answer)
}

/// What is too much, what is no request, or only its beginning.
fn wrong(sim: &Sim, body_max: u64) -> Question {
    let too_large = || pattern(1, body_max as usize + 1);
    let bytes = match sim.below(10) {
        0 => return with_length("/", USUAL, &too_large(), Answer::Refusal),
        1 => return chunked(sim, "/", USUAL, &too_large(), Answer::Refusal),
        2 => b"GET / HTTP/1.1\r\nhost: a\r\n bad\r\n\r\n".to_vec(),
        3 => format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000)).into_bytes(),
        4 => pattern(sim.below(1000), sim.spread(1, 5000) as usize),
        5 => b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n".to_vec(),
        6 => b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n".to_vec(),
        7 => b"POST /upload HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcdeX".to_vec(),
        // Ended within its head, and within its body.
        8 => b"GET / HTTP/1.1\r\nho".to_vec(),
        _ => b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 500\r\n\r\nabc".to_vec(),
    };
    Question::new(bytes, Answer::Refusal)
}
