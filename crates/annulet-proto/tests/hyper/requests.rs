//! Requests as they are usually sent, and others.

use proptest::prelude::*;
use proptest::sample::select;

/// One for each difference that no file of the corpus has.
pub(crate) fn examples() -> Vec<Vec<u8>> {
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    [
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n".to_owned(),
        chunked.replace("\r\n\r\n", "\r\nContent-Length: x\r\n\r\n0\r\n\r\n"),
        format!("{chunked}5;\r\nhello\r\n0\r\n\r\n"),
        format!("{chunked}5 \r\nhello\r\n0\r\n\r\n"),
        format!("{chunked}0\r\nContent-Length: 5\r\n\r\n"),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect()
}

/// Requests that everybody takes.
pub(crate) fn usual() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        ("[A-Z]{1,12}", "/[a-zA-Z0-9._~!$&'()*+,;=:@/-]{0,20}(%[2-7][0-9A-F])?")
            .prop_filter("a form of its own", |line| line.0 != "CONNECT"),
        ("(GET|PUT)", "/[a-z/]{0,5}\\?[a-zA-Z0-9._~!$&'()*+,;=:@/?%{}|^`\\[\\]-]{0,20}"),
        (
            "(GET|OPTIONS)",
            "https?://([a-z0-9.-]{1,10}|\\[::1\\]|\\[2001:db8::7f\\])(:[1-9][0-9]{0,3})?(/[a-z]{0,5})?(\\?[a-z]{0,5})?"
        ),
        Just(("OPTIONS".to_owned(), "*".to_owned())),
        ("CONNECT", "([a-z0-9.-]{1,10}|\\[::1\\]):[1-9][0-9]{0,3}"),
    ];
    let field = ("X-[!#$%&'*+.^_`|~0-9a-zA-Z-]{0,10}", " {0,2}([!-~]([ -~\t]{0,20}[!-~])?)?[ \t]{0,2}");
    let more = prop::collection::vec(field.prop_map(|(name, value)| format!("{name}:{value}\r\n")), 0..6);
    (line, any::<bool>(), more, body(), prop::collection::vec(any::<u8>(), 0..5)).prop_map(
        |((method, target), is_1_1, more, (framing, body), rest)| {
            let is_1_1 = is_1_1 || framing.starts_with("Transfer");
            let version = if is_1_1 { "1.1" } else { "1.0" };
            let mut input = format!("{method} {target} HTTP/{version}\r\nHost: example.org\r\n").into_bytes();
            for piece in [more.concat().as_bytes(), framing.as_bytes(), b"\r\n", &body[..], &rest] {
                input.extend_from_slice(piece);
            }
            input
        },
    )
}

/// A field that frames a body, and the body.
fn body() -> impl Strategy<Value = (String, Vec<u8>)> {
    let sized = prop::collection::vec(any::<u8>(), 0..20)
        .prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body));
    let chunk = (
        "0{0,3}",
        prop::collection::vec(any::<u8>(), 1..20),
        "(;[a-z]{1,3}(=([a-z]{1,3}|\"[ a-z]{0,3}\"))?){0,2}",
    );
    let chunked =
        (prop::collection::vec(chunk, 0..4), "(0{1,3}(;[a-z])?\r\n)(X-[a-z]{1,3}: [a-z ]{0,5}\r\n){0,2}")
            .prop_map(|(chunks, last)| {
                let mut body = Vec::new();
                for (zeros, chunk, extension) in chunks {
                    body.extend_from_slice(format!("{zeros}{:x}{extension}\r\n", chunk.len()).as_bytes());
                    body.extend_from_slice(&chunk);
                    body.extend_from_slice(b"\r\n");
                }
                body.extend_from_slice(last.as_bytes());
                body.extend_from_slice(b"\r\n");
                ("Transfer-Encoding: chunked\r\n".to_owned(), body)
            });
    prop_oneof![Just((String::new(), Vec::new())), sized, chunked]
}

/// Fields that matter, with values that may not be right.
const FIELDS: &[&str] = &[
    "Host: b",
    "Host:",
    "Host: a, b",
    "Host: u@a",
    "Content-Length: 5",
    "Content-Length: 05",
    "Content-Length: 5 ",
    "Content-Length: +5",
    "Content-Length: 5, 5",
    "Content_Length: 5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding : chunked",
    "Expect: 100-continue",
    "Expect: x",
    "Connection: close, x",
    "Upgrade: y",
    "Content-Type: a/b",
    "X: y\r\n z",
    "X",
    ": y",
    "X: \u{e9}",
    "Trailer: x",
];

/// Bytes that matter.
const BYTES: &[u8] = b"\0\t\n\x0b\x0c\r !\"#%&'()*+,-./0159:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\xa0\xff";

/// Usual requests with something wrong in them.
pub(crate) fn odd() -> impl Strategy<Value = Vec<u8>> {
    let change = prop_oneof![
        (any::<prop::sample::Index>(), select(BYTES)).prop_map(|(place, byte)| Change::Put(place, byte)),
        (any::<prop::sample::Index>(), select(BYTES)).prop_map(|(place, byte)| Change::Insert(place, byte)),
        any::<prop::sample::Index>().prop_map(Change::Remove),
        select(FIELDS).prop_map(Change::Field),
        (any::<prop::sample::Index>()).prop_map(Change::Cut),
    ];
    (usual(), prop::collection::vec(change, 1..4)).prop_map(|(mut input, changes)| {
        for change in changes {
            change.make(&mut input);
        }
        input
    })
}

#[derive(Clone, Debug)]
enum Change {
    Put(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    /// Another field behind the first line.
    Field(&'static str),
    Cut(prop::sample::Index),
}

impl Change {
    fn make(self, input: &mut Vec<u8>) {
        if input.is_empty() {
            return;
        }
        let length = input.len();
        match self {
            Self::Put(place, byte) => input[place.index(length)] = byte,
            Self::Insert(place, byte) => input.insert(place.index(length), byte),
            Self::Remove(place) => _ = input.remove(place.index(length)),
            Self::Field(line) => {
                let place = input.iter().position(|byte| *byte == b'\n').map_or(0, |place| place + 1);
                input.splice(place..place, [line.as_bytes(), b"\r\n"].concat());
            }
            Self::Cut(place) => input.truncate(place.index(length)),
        }
    }
}
