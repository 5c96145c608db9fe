//! Responses as a client sees them that believes nothing.

use super::questions::{Answer, Question};

/// What came back over one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answers {
    /// Whole responses, interim ones not counted.
    pub(super) count: usize,
    /// Nothing comes after the last whole one.
    pub(super) is_whole: bool,
    /// The last one says that the connection closes.
    pub(super) says_close: bool,
}

/// One response.
struct Response<'a> {
    status: u16,
    body: Vec<u8>,
    says_close: bool,
    rest: &'a [u8],
}

impl Answers {
    /// Compares what was received with what is right.
    ///
    /// # Panics
    /// When it is wrong.
    pub(super) fn check(received: &[u8], asked: &[Question]) -> Self {
        let mut answers = Self { count: 0, is_whole: true, says_close: false };
        let mut rest = received;
        while !rest.is_empty() {
            let question = asked.get(answers.count);
            let Some(response) = parse(rest, question.is_some_and(|question| question.is_head)) else {
                answers.is_whole = false;
                break;
            };
            rest = response.rest;
            if response.status == 100 {
                continue;
            }
            assert!(!answers.says_close, "a response after one that says it is the last");
            answers.says_close = response.says_close;
            match question {
                Some(question) => compare(&question.answer, &response),
                // A client that says nothing more may be told so.
                None => assert!(
                    response.status >= 400 && response.says_close,
                    "nobody asked for {}",
                    response.status
                ),
            }
            answers.count += usize::from(question.is_some());
        }
        answers
    }
}

fn compare(answer: &Answer, response: &Response<'_>) {
    let status = response.status;
    let gives_up = status >= 400 && response.says_close;
    match answer {
        Answer::Body(body) => {
            assert!(
                gives_up || (status == 200 && response.body == *body),
                "{status} with {} bytes instead of {}",
                response.body.len(),
                body.len()
            );
        }
        Answer::Status(right) => assert!(gives_up || status == *right, "{status} instead of {right}"),
        Answer::Refusal => assert!(gives_up, "{status} for what is no request"),
    }
}

/// The response at the front; `None` while it is not all there.
fn parse(bytes: &[u8], is_head: bool) -> Option<Response<'_>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is text").to_ascii_lowercase();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("http/1.1 ")).expect("a status line");
    let status: u16 = status[..3].parse().expect("a status");
    let field = |name: &str| {
        let field = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned());
        head.split("\r\n").find_map(field)
    };
    let after = &bytes[end + 4..];
    let says_close = field("connection").is_some_and(|value| value.contains("close"));
    let response = |body, rest| Some(Response { status, body, says_close, rest });
    // Of a request that the server gave up on it may not have seen the method.
    if status >= 400 && says_close && is_head {
        return response(after.to_vec(), &[]);
    }
    if is_head || status < 200 || status == 204 || status == 304 {
        return response(Vec::new(), after);
    }
    if field("transfer-encoding").is_some() {
        let (body, rest) = dechunk(after)?;
        return response(body, rest);
    }
    let length: usize = field("content-length").expect("a length").parse().expect("a number");
    let (body, rest) = after.split_at_checked(length)?;
    response(body.to_vec(), rest)
}

fn dechunk(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..end]).expect("a size is text");
        let size = usize::from_str_radix(size, 16).expect("a size");
        let (piece, rest) = bytes[end + 2..].split_at_checked(size)?;
        body.extend_from_slice(piece);
        bytes = rest.strip_prefix(b"\r\n")?;
        if size == 0 {
            return Some((body, bytes));
        }
    }
}
