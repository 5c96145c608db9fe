//! Responses as a client sees them that believes nothing.

use super::questions::{Answer, Question};

/// What came back over one connection so far.
#[derive(Debug)]
pub(super) struct Answers {
    requests_max: usize,
    received: Vec<u8>,
    /// Where the first response begins that is not all there.
    place: usize,
    /// Whole responses to questions, interim ones not counted.
    pub(super) count: usize,
    /// Those that say: go on.
    pub(super) continues: usize,
    /// The last one says that the connection closes.
    says_close: bool,
    /// What follows may be the body of an answer that was to have none.
    is_rest_free: bool,
    /// A question that might have been answered was not.
    pub(super) gave_up: bool,
}

/// One response.
struct Response<'a> {
    status: u16,
    body: Vec<u8>,
    says_close: bool,
    rest: &'a [u8],
}

/// What a server may say of a request that it gives up on.
const REFUSALS: [u16; 8] = [400, 408, 413, 414, 417, 431, 501, 505];

impl Answers {
    /// Of a server that takes so many requests on a connection.
    pub(super) fn new(requests_max: u32) -> Self {
        Self {
            requests_max: requests_max as usize,
            received: Vec::new(),
            place: 0,
            count: 0,
            continues: 0,
            says_close: false,
            is_rest_free: false,
            gave_up: false,
        }
    }

    /// Compares what has come with what is right.
    ///
    /// # Panics
    /// When it is wrong.
    pub(super) fn take(&mut self, bytes: &[u8], asked: &[Question]) {
        self.received.extend_from_slice(bytes);
        if self.is_rest_free {
            self.place = self.received.len();
        }
        let received = std::mem::take(&mut self.received);
        while self.place < received.len() {
            let question = asked.get(self.count);
            let is_head = question.is_some_and(|question| question.is_head);
            let Some(response) = parse(&received[self.place..], is_head) else { break };
            self.place = received.len() - response.rest.len();
            self.note(&response, question);
        }
        self.received = received;
    }

    /// Nothing comes after the last whole one.
    pub(super) fn is_whole(&self) -> bool {
        self.place == self.received.len()
    }

    /// How much has come.
    pub(super) fn length(&self) -> usize {
        self.received.len()
    }

    fn note(&mut self, response: &Response<'_>, question: Option<&Question>) {
        if response.status == 100 {
            self.continues += 1;
            return;
        }
        assert!(!self.says_close, "a response after one that says it is the last");
        self.says_close = response.says_close;
        let Some(question) = question else {
            // A client that says nothing more may be told so.
            assert!(
                REFUSALS.contains(&response.status) && response.says_close,
                "nobody asked for {}",
                response.status
            );
            return;
        };
        let is_right = is_right(&question.answer, response);
        let gives_up = REFUSALS.contains(&response.status) && response.says_close;
        assert!(
            is_right || gives_up,
            "{} with {} bytes for {:?}",
            response.status,
            response.body.len(),
            String::from_utf8_lossy(&question.bytes[..question.bytes.len().min(100)])
        );
        self.count += 1;
        let is_last = question.is_last || self.count == self.requests_max;
        assert!(response.says_close || !is_last, "the connection was to close, and is kept");
        self.gave_up |= !is_right || response.says_close != is_last;
        self.is_rest_free = gives_up && question.is_head;
    }
}

fn is_right(answer: &Answer, response: &Response<'_>) -> bool {
    match answer {
        Answer::Body(body) => response.status == 200 && response.body == *body,
        Answer::Status(right) => response.status == *right,
        Answer::Refusal => REFUSALS.contains(&response.status) && response.says_close,
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
