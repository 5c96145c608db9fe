//! HTTP/1.1: heads of requests and responses, and chunked bodies.

use annulet_proto::http1::{
    Answers, BodyDecoder, BodyLength, BodyStep, HeadLimits, HttpError, LAST_CHUNK, RequestHead, ResponseHead,
    Version, write_chunk_size, write_field, write_request_line, write_status_line,
};

/// Small enough for a fuzzer to reach.
const LIMITS: HeadLimits = HeadLimits { bytes: 2048, fields: 8, target: 256, bare_lf: false };

/// A request's head.
pub fn head(input: &[u8]) {
    let found = parse(input, &LIMITS);
    each_beginning(input, &found, |beginning| parse(beginning, &LIMITS));

    // Whatever was read before.
    let mut head = RequestHead::new();
    for before in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], input, input, b"", input] {
        let _ = head.parse(before, &LIMITS);
        let again = head.parse(input, &LIMITS).map(|length| length.map(|length| (request(&head), length)));
        assert_eq!(again, found);
    }

    let lenient = HeadLimits { bare_lf: true, ..LIMITS };
    match (&found, parse(input, &lenient)) {
        (Ok(Some((request, length))), lenient) => {
            let bytes = &input[..*length];
            check_lines(bytes.strip_prefix(b"\r\n").unwrap_or(bytes));
            check_request(request);
            assert_eq!(lenient, found);
            let rewritten = parse(&rewrite(request), &HeadLimits::default());
            let rewritten = rewritten.map(|found| found.map(|found| found.0));
            assert!(matches!(&rewritten, Ok(Some(again)) if again == request), "{rewritten:?} {request:?}");
        }
        (_, Ok(Some((request, length)))) => {
            let strict = with_crlf(&input[..length]);
            let found = parse(&strict, &HeadLimits { bytes: 2 * LIMITS.bytes, ..LIMITS });
            assert_eq!(found, Ok(Some((request, strict.len()))));
        }
        _ => {}
    }
}

/// A response's head, whatever it answers.
pub fn response(input: &[u8]) {
    for answers in [Answers::Other, Answers::Head, Answers::Connect] {
        let parse = |input: &[u8]| {
            let mut head = ResponseHead::new();
            let length = head.parse(input, &LIMITS, answers)?;
            Ok(length.map(|length| (answer(&head), length)))
        };
        let found = parse(input);
        each_beginning(input, &found, parse);
        let mut head = ResponseHead::new();
        for before in [&b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"[..], input, input] {
            let _ = head.parse(before, &LIMITS, answers);
            let again = head.parse(input, &LIMITS, answers);
            assert_eq!(again.map(|length| length.map(|length| (answer(&head), length))), found);
        }
        let Ok(Some((answer, length))) = found else { continue };
        check_lines(&input[..length]);
        let Ok(reason) = std::str::from_utf8(&answer.reason) else { continue };
        let mut out = Vec::new();
        write_status_line(&mut out, answer.status, reason);
        write_fields(&mut out, "HTTP/1.".len(), answer.version, &answer.fields);
        assert_eq!(parse(&out).map(|found| found.map(|found| found.0)), Ok(Some(answer)));
    }
}

/// A chunked body, and what follows it.
pub fn chunked(input: &[u8]) {
    let whole = decode(std::iter::once(input));
    assert_eq!(decode(input.chunks(1)), whole);
    // Cut where the input itself says.
    let (mut pieces, mut rest) = (Vec::new(), input);
    for byte in input {
        let (piece, behind) = rest.split_at(rest.len().min(usize::from(*byte % 16)));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    assert_eq!(decode(pieces.into_iter()), whole);

    assert!(whole.body.len() <= input.len());
    let Ok(Some(end)) = whole.end else { return };
    assert!(input[..end].ends_with(b"\r\n"));
    assert!(whole.trailers.is_empty() || whole.trailers.ends_with(b"\r\n"));
    let mut out = Vec::new();
    for chunk in whole.body.chunks(7) {
        write_chunk_size(&mut out, chunk.len() as u64);
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(LAST_CHUNK);
    let rewritten = decode(std::iter::once(&out[..]));
    assert_eq!((rewritten.body, rewritten.end), (whole.body, Ok(Some(out.len()))));
}

type Field = (String, Vec<u8>);

/// All that a request's head says.
#[derive(Debug, PartialEq)]
struct Request {
    method: String,
    target: String,
    path: String,
    query: Option<String>,
    host: Option<String>,
    version: Version,
    fields: Vec<Field>,
    body: BodyLength,
    flags: [bool; 3],
}

/// All that a response's head says.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    reason: Vec<u8>,
    version: Version,
    fields: Vec<Field>,
    body: BodyLength,
    length: Option<u64>,
    keeps_alive: bool,
}

type Found<T> = Result<Option<(T, usize)>, HttpError>;

fn parse(input: &[u8], limits: &HeadLimits) -> Found<Request> {
    let mut head = RequestHead::new();
    let length = head.parse(input, limits)?;
    Ok(length.map(|length| (request(&head), length)))
}

fn request(head: &RequestHead) -> Request {
    Request {
        method: head.method().to_owned(),
        target: head.target().to_owned(),
        path: head.path().to_owned(),
        query: head.query().map(str::to_owned),
        host: head.host().map(str::to_owned),
        version: head.version(),
        fields: head.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: head.body_length(),
        flags: [head.keeps_alive(), head.expects_continue(), head.asks_for_upgrade()],
    }
}

fn answer(head: &ResponseHead) -> Answer {
    Answer {
        status: head.status(),
        reason: head.reason().to_owned(),
        version: head.version(),
        fields: head.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: head.body_length(),
        length: head.content_length(),
        keeps_alive: head.keeps_alive(),
    }
}

/// What is found in a beginning of the input is nothing yet, or what is found in the whole.
fn each_beginning<T: PartialEq + std::fmt::Debug>(
    input: &[u8],
    found: &Found<T>,
    parse: impl Fn(&[u8]) -> Found<T>,
) {
    let mut is_decided = false;
    for end in (0..input.len()).step_by(input.len() / 64 + 1) {
        let beginning = parse(&input[..end]);
        is_decided |= beginning != Ok(None);
        if is_decided {
            assert_eq!(beginning, *found, "{end} bytes of {input:?}");
        }
    }
}

/// A head is lines with CR LF, of which only the last is empty, and no byte of it means nothing.
fn check_lines(head: &[u8]) {
    let lines = head.strip_suffix(b"\r\n\r\n").expect("ends with an empty line");
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.is_empty());
        assert!(line.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)), "{line:?}");
    }
    let is_pair = |pair: &[u8]| (pair[0] == b'\r') == (pair[1] == b'\n');
    assert!(head.windows(2).all(is_pair) && head[0] != b'\n');
}

/// What is said in several places is the same in all of them.
fn check_request(request: &Request) {
    let values =
        |name: &str| request.fields.iter().filter(|field| field.0.eq_ignore_ascii_case(name)).count();
    assert!(request.target.contains(request.path.as_str()) || request.path == "/");
    let is_new = request.version == Version::Http11;
    assert!(values("host") == 1 || values("host") == 0 && !is_new);
    assert!(request.host.as_deref() != Some("") && (request.host.is_some() || !is_new));
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    match request.body {
        BodyLength::None => assert!(lengths <= 1 && codings == 0),
        BodyLength::Bytes(length) => assert!(length > 0 && lengths == 1 && codings == 0),
        BodyLength::Chunked => assert!(lengths == 0 && codings == 1 && is_new),
        BodyLength::UntilEnd => panic!("a request's body has an end"),
    }
    for (name, value) in &request.fields {
        let is_trimmed = |byte: Option<&u8>| !matches!(byte, Some(b' ' | b'\t'));
        assert!(!name.is_empty() && is_trimmed(value.first()) && is_trimmed(value.last()));
    }
}

fn rewrite(request: &Request) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(write_request_line(&mut out, &request.method, &request.target));
    let minor = out.len() - "1\r\n".len();
    write_fields(&mut out, minor, request.version, &request.fields);
    out
}

/// Makes the line in `out`, whose version ends at `minor`, one of this version, and adds fields and the end.
fn write_fields(out: &mut Vec<u8>, minor: usize, version: Version, fields: &[Field]) {
    assert_eq!(out[minor], b'1');
    if version == Version::Http10 {
        out[minor] = b'0';
    }
    for (name, value) in fields {
        assert!(write_field(out, name, value));
    }
    out.extend_from_slice(b"\r\n");
}

/// The same lines, all with CR LF.
fn with_crlf(head: &[u8]) -> Vec<u8> {
    let lines = head.strip_suffix(b"\n").expect("a line").split(|byte| *byte == b'\n');
    lines.flat_map(|line| [line.strip_suffix(b"\r").unwrap_or(line), b"\r\n"].concat()).collect()
}

/// What a chunked body comes to.
#[derive(Debug, PartialEq)]
struct Body {
    body: Vec<u8>,
    trailers: Vec<u8>,
    /// Where it ends, if it does.
    end: Result<Option<usize>, HttpError>,
}

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Body {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let (mut body, mut passed) = (Vec::new(), 0);
    let end = 'end: {
        for piece in pieces {
            let mut rest = piece;
            loop {
                match decoder.decode(rest) {
                    Ok(BodyStep::Data { skip, length }) => {
                        assert!(length > 0);
                        body.extend_from_slice(&rest[skip..skip + length]);
                        rest = &rest[skip + length..];
                        passed += skip + length;
                    }
                    Ok(BodyStep::More { skip }) => {
                        assert_eq!(skip, rest.len());
                        passed += skip;
                        break;
                    }
                    Ok(BodyStep::End { skip }) => {
                        assert_eq!(decoder.decode(&rest[skip..]), Ok(BodyStep::End { skip: 0 }));
                        break 'end Ok(Some(passed + skip));
                    }
                    Err(error) => break 'end Err(error),
                }
            }
        }
        Ok(None)
    };
    Body { body, trailers: decoder.trailers().to_owned(), end }
}
