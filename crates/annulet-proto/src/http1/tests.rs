//! Whole messages: what is taken, what is refused and with which status, and that no split changes it.

use proptest::prelude::*;

use super::*;

fn parse(input: &str) -> Result<Option<(RequestHead, usize)>, HttpError> {
    let mut head = RequestHead::new();
    let length = head.parse(input.as_bytes(), &HeadLimits::default())?;
    Ok(length.map(|length| (head, length)))
}

fn head(input: &str) -> RequestHead {
    match parse(input) {
        Ok(Some((head, length))) => {
            assert_eq!(length, input.len());
            head
        }
        other => panic!("{input:?}: {other:?}"),
    }
}

fn refused(input: &str) -> HttpError {
    match parse(input) {
        Err(error) => error,
        other => panic!("{input:?}: {other:?}"),
    }
}

/// A request of version 1.1 with these field lines.
fn with(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn a_head_is_taken_apart() {
    let head =
        head("GET /a/b?c=d HTTP/1.1\r\nHost: example.org:80\r\nX-One:  1 \r\nx-two:\r\nX-one: \t3\t\r\n\r\n");
    assert_eq!((head.method(), head.target(), head.version()), ("GET", "/a/b?c=d", Version::Http11));
    assert_eq!((head.path(), head.query(), head.host()), ("/a/b", Some("c=d"), Some("example.org:80")));
    assert_eq!((head.body_length(), head.keeps_alive()), (BodyLength::None, true));
    let fields: Vec<_> = head.fields().collect();
    assert_eq!(fields, [("Host", &b"example.org:80"[..]), ("X-One", b"1"), ("x-two", b""), ("X-one", b"3")]);
    assert_eq!(head.field("X-ONE"), Some(&b"1"[..]));
    assert_eq!(head.field("x-three"), None);
}

#[test]
fn the_absolute_targets_host_goes_before_the_field() {
    let head = head("GET http://real.example/x?y HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert_eq!((head.host(), head.path(), head.query()), (Some("real.example"), "/x", Some("y")));
    let head = self::head("GET http://real.example HTTP/1.1\r\nHost: real.example\r\n\r\n");
    assert_eq!((head.path(), head.query()), ("/", None));
}

#[test]
fn one_empty_line_before_a_request_is_skipped() {
    let (_, length) = parse("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest").expect("valid").expect("complete");
    assert_eq!(length, 29);
    assert!(matches!(parse("\r"), Ok(None)));
    assert!(matches!(parse("\r\n"), Ok(None)));
    assert_eq!(refused("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), HttpError::RequestLine);
    assert_eq!(refused("\r\n\r"), HttpError::RequestLine);
    assert_eq!(refused("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), HttpError::RequestLine);
    assert!(parse("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").is_err());
}

#[test]
fn lengths_of_bodies() {
    let length = |fields: &str| head(&with(fields)).body_length();
    assert_eq!(length(""), BodyLength::None);
    assert_eq!(length("Content-Length: 0\r\n"), BodyLength::None);
    assert_eq!(length("content-length:5\r\n"), BodyLength::Bytes(5));
    assert_eq!(length("Content-Length: 9223372036854775807\r\n"), BodyLength::Bytes(u64::MAX / 2));
    assert_eq!(length("Transfer-Encoding: Chunked\r\n"), BodyLength::Chunked);
    assert_eq!(length("Transfer-Encoding:\tchunked \r\n"), BodyLength::Chunked);
}

#[test]
fn what_frames_a_message_is_unambiguous_or_refused() {
    for (fields, error) in [
        ("Content-Length: 5\r\nContent-Length: 5\r\n", HttpError::ContentLength),
        ("Content-Length: 5, 5\r\n", HttpError::ContentLength),
        ("Content-Length: +5\r\n", HttpError::ContentLength),
        ("Content-Length: -0\r\n", HttpError::ContentLength),
        ("Content-Length: 1_0\r\n", HttpError::ContentLength),
        ("Content-Length: 0x5\r\n", HttpError::ContentLength),
        ("Content-Length: 1 0\r\n", HttpError::ContentLength),
        ("Content-Length:\r\n", HttpError::ContentLength),
        ("Content-Length: 00\r\n", HttpError::ContentLength),
        ("Content-Length: 0200\r\n", HttpError::ContentLength),
        ("Content-Length: 5 \r\n", HttpError::ContentLength),
        ("Content-Length:  5\r\n", HttpError::ContentLength),
        ("Content-Length:\t5\r\n", HttpError::ContentLength),
        ("Content-Length: \u{a0}5\r\n", HttpError::ContentLength),
        ("Content-Length: 5;a\r\n", HttpError::ContentLength),
        ("Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 5\r\n", HttpError::ContentLength),
        ("Content_Length: 5\r\n", HttpError::ContentLength),
        ("Transfer_Encoding: chunked\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: \u{a0}chunked\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: chunked\x0c\r\n", HttpError::Field),
        ("Transfer-Encoding: chunked chunked\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: chunked;q=1\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: ,\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: gzip\r\n", HttpError::TransferEncoding),
        ("Content-Type: a/b\r\nContent-Type: a/b\r\n", HttpError::ContentType),
        ("Expect: 100-continue\r\nExpect: 200-ok\r\n", HttpError::Expectation),
        ("Expect: 100-continue, 200-ok\r\n", HttpError::Expectation),
        ("Expect:\r\n", HttpError::Expectation),
        ("Content-Length: 9223372036854775808\r\n", HttpError::ContentLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", HttpError::TwoLengths),
        ("Transfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n", HttpError::TwoLengths),
        ("Transfer-Encoding: gzip, chunked\r\n", HttpError::TransferCoding),
        ("Transfer-Encoding: gzip;q=1\r\nTransfer-Encoding: chunked\r\n", HttpError::TransferCoding),
        ("Transfer-Encoding: chunked, gzip\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: identity\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: , chunked\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: chunked,\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: chunked;a=b\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: \"chunked\"\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: xchunked\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding:\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding: \x0bchunked\r\n", HttpError::Field),
        ("Transfer-Encoding:\r\n chunked\r\n", HttpError::TransferEncoding),
        ("Transfer-Encoding : chunked\r\n", HttpError::Field),
        ("Host: a\r\n", HttpError::Host),
        ("Expect: 200-ok\r\n", HttpError::Expectation),
    ] {
        assert_eq!(refused(&with(fields)), error, "{fields:?}");
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused(old), HttpError::TransferEncoding);
}

#[test]
fn malformed_heads_are_refused_with_their_status() {
    for (input, status) in [
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\r\n", 400),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/01.01\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/ 1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET\u{a0}/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET\x0b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\0\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/9.9\nHost: a\r\n\r\n", 400),
        ("GET\r\n", 400),
        ("\0", 400),
        ("\x16\x03\x01\x02\x00\x01", 400),
        ("GET /caf\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a", 400),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nNoColon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nBad[Name: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nTab\tName: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1%25lo]\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
    ] {
        assert_eq!(refused(input).status(), status, "{input:?}");
    }
}

#[test]
fn limits_are_found_before_a_head_is_complete() {
    let long = "x".repeat(100_000);
    assert_eq!(refused(&long), HttpError::RequestLine);
    assert_eq!(refused(&long[..65]), HttpError::RequestLine);
    assert!(matches!(parse(&long[..64]), Ok(None)));
    assert_eq!(refused(&format!("GET /{long}")), HttpError::TargetTooLong);
    assert_eq!(
        refused(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..9000])),
        HttpError::TargetTooLong
    );
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}")), HttpError::HeadTooLarge);
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\nHost: a\r\n{long}: b")), HttpError::HeadTooLarge);
    assert_eq!(refused(&with(&"X: y\r\n".repeat(100))), HttpError::TooManyFields);
    assert!(parse(&with(&"X: y\r\n".repeat(99))).is_ok());
    let exact = format!("{}X: ", with("").strip_suffix("\r\n").expect("ends so"));
    let exact = format!("{exact}{}\r\n\r\n", &long[..16 * 1024 - exact.len() - 4]);
    assert_eq!(exact.len(), 16 * 1024);
    assert!(matches!(parse(&exact), Ok(Some(_))));
    assert_eq!(refused(&exact.replace("X: ", "X:  ")), HttpError::HeadTooLarge);
}

#[test]
fn a_bare_lf_ends_a_line_of_a_head_where_that_is_allowed_and_nowhere_else() {
    let lenient = HeadLimits { bare_lf: true, ..HeadLimits::default() };
    let parse = |input: &str, limits: &HeadLimits| {
        let mut head = RequestHead::new();
        head.parse(input.as_bytes(), limits).map(|length| (head, length))
    };
    for input in [
        "GET /a HTTP/1.1\nHost: b\nX: \ty \n\n",
        "GET /a HTTP/1.1\r\nHost: b\nX:y\r\n\n",
        "GET /a HTTP/1.1\nHost: b\r\nX: y\n\r\n",
        "\nGET /a HTTP/1.1\nHost: b\nX: y\n\n",
        "\r\nGET /a HTTP/1.1\nHost: b\nX: y\n\n",
    ] {
        assert!(parse(input, &HeadLimits::default()).is_err(), "{input:?}");
        let (head, length) = parse(&format!("{input}\n"), &lenient).expect("valid");
        assert_eq!(length, Some(input.len()));
        assert_eq!(
            (head.path(), head.host(), head.field("x")),
            ("/a", Some("b"), Some(&b"y"[..])),
            "{input:?}"
        );
        for end in 0..input.len() {
            assert_eq!(parse(&input[..end], &lenient).map(|found| found.1), Ok(None), "{:?}", &input[..end]);
        }
    }
    for input in [
        "GET /a\nHost: b\n\n",
        "GET /a HTTP/1.1\rHost: b\n\n",
        "GET /a HTTP/1.1\r\r\nHost: b\n\n",
        "GET /a HTTP/1.1\nHost: b\nX: \0\n\n",
        "GET /a HTTP/1.1\nHost: b\n X: y\n\n",
    ] {
        assert!(parse(input, &lenient).is_err(), "{input:?}");
    }
    // What was read leniently is not known to whoever is strict.
    let mut head = RequestHead::new();
    let input = b"GET / HTTP/1.1\nHost: b\n\n";
    assert_eq!(head.parse(input, &lenient), Ok(Some(input.len())));
    assert_eq!(head.parse(input, &HeadLimits::default()), Err(HttpError::LineEnd));
    let mut head = ResponseHead::new();
    let input = b"HTTP/1.1 204\nX: y\n\n";
    assert_eq!(head.parse(input, &lenient, Answers::Other), Ok(Some(input.len())));
    assert_eq!(head.parse(input, &HeadLimits::default(), Answers::Other), Err(HttpError::LineEnd));
}

#[test]
fn connections_stay_or_close() {
    let keeps = |version: &str, connection: &str| {
        head(&format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {connection}\r\n\r\n")).keeps_alive()
    };
    assert!(keeps("1.1", "x"));
    assert!(!keeps("1.1", "Close"));
    assert!(!keeps("1.1", "keep-alive, close"));
    assert!(!keeps("1.0", "x"));
    assert!(keeps("1.0", "x,Keep-Alive"));
    assert!(!keeps("1.0", "keep-alive, close"));
    assert!(!head("GET / HTTP/1.0\r\n\r\n").keeps_alive());
}

#[test]
fn expectations_and_upgrades_are_those_of_version_1_1() {
    let fields = "Host: a\r\nExpect: 100-Continue\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let new = head(&format!("GET / HTTP/1.1\r\n{fields}"));
    assert!(new.expects_continue() && new.asks_for_upgrade());
    let old = head(&format!("GET / HTTP/1.0\r\n{fields}"));
    assert!(!old.expects_continue() && !old.asks_for_upgrade());
    assert!(!head(&with("Upgrade: websocket\r\n")).asks_for_upgrade());
}

#[test]
fn a_head_that_was_refused_or_is_not_complete_is_empty() {
    let mut head = RequestHead::new();
    let limits = HeadLimits::default();
    for next in [
        "GET / HTTP/1.1\r\nX-Much-Longer-Than-Before: ".to_owned() + &"y".repeat(200) + "\r\n\r\n",
        "GET".into(),
    ] {
        head.parse(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", &limits).expect("valid");
        assert_eq!((head.path(), head.fields().len()), ("/a", 1));
        let _ = head.parse(next.as_bytes(), &limits);
        assert_eq!((head.method(), head.path(), head.host(), head.fields().len()), ("", "/", None, 0));
    }
    let mut head = ResponseHead::new();
    head.parse(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n", &limits, Answers::Other).expect("valid");
    let refused = "HTTP/1.1 200 OK\r\nX-Much-Longer: yyyyyyyyyyyyyyyyyyyyy\r\nContent-Length: x\r\n\r\n";
    assert!(head.parse(refused.as_bytes(), &limits, Answers::Other).is_err());
    assert_eq!((head.reason(), head.fields().len()), (&b""[..], 0));
}

#[test]
fn what_is_the_same_as_before_means_the_same_in_its_new_surroundings() {
    let mut head = RequestHead::new();
    let fields = "Host: a\r\nConnection: keep-alive, upgrade\r\nUpgrade: b\r\nExpect: 100-continue\r\n\r\n";
    let mut check = |line: &str, fields: &str, limits: &HeadLimits| {
        let input = format!("{line}\r\n{fields}");
        let found = head.parse(input.as_bytes(), limits);
        let mut fresh = RequestHead::new();
        assert_eq!(fresh.parse(input.as_bytes(), limits), found, "{input:?}");
        assert_eq!(format!("{fresh:?}"), format!("{head:?}"), "{input:?}");
        found
    };
    let limits = HeadLimits::default();
    let line = "GET /some/path?query HTTP/1.1";
    for _ in 0..2 {
        assert!(check(line, fields, &limits).is_ok());
        assert!(check("PUT http://b HTTP/1.1", fields, &limits).is_ok());
        assert!(check("PUT http://b HTTP/1.0", fields, &limits).is_ok());
        assert!(check(line, "Host: b\r\n\r\n", &limits).is_ok());
        assert!(check(line, "Host: b\r\n\r\n\r\n", &limits).is_ok());
        assert!(check("GET / HTTP/1.0", "\r\n", &limits).is_ok());
        assert_eq!(check("GET / HTTP/1.1", "\r\n", &limits), Err(HttpError::Host));
        assert!(check("GET / HTTP/1.1", "Host: b\r\n", &limits).is_ok());
        assert!(check(line, fields, &limits).is_ok());
        assert_eq!(check(line, fields, &HeadLimits { fields: 3, ..limits }), Err(HttpError::TooManyFields));
        assert!(check(line, fields, &limits).is_ok());
        assert_eq!(check(line, fields, &HeadLimits { target: 3, ..limits }), Err(HttpError::TargetTooLong));
        assert!(check(line, fields, &limits).is_ok());
        assert_eq!(check(line, fields, &HeadLimits { bytes: 40, ..limits }), Err(HttpError::HeadTooLarge));
    }
}

fn answer(input: &str, answers: Answers) -> Result<Option<(ResponseHead, usize)>, HttpError> {
    let mut head = ResponseHead::new();
    let length = head.parse(input.as_bytes(), &HeadLimits::default(), answers)?;
    Ok(length.map(|length| (head, length)))
}

#[test]
fn a_response_is_taken_apart() {
    let input = "HTTP/1.1 200 Very fine\r\nContent-Length: 5\r\nX: \ty\r\n\r\nhello";
    let (head, length) = answer(input, Answers::Other).expect("valid").expect("complete");
    assert_eq!(length, input.len() - 5);
    assert_eq!((head.status(), head.reason(), head.version()), (200, &b"Very fine"[..], Version::Http11));
    assert_eq!(
        (head.body_length(), head.content_length(), head.keeps_alive()),
        (BodyLength::Bytes(5), Some(5), true)
    );
    assert_eq!(head.field("x"), Some(&b"y"[..]));
    assert_eq!(head.fields().len(), 2);
    for end in 0..length {
        assert!(matches!(answer(&input[..end], Answers::Other), Ok(None)), "{end}");
    }
    for line in ["HTTP/1.1 200 ", "HTTP/1.1 200"] {
        let (head, _) = answer(&format!("{line}\r\n\r\n"), Answers::Other).expect("valid").expect("complete");
        assert_eq!((head.status(), head.reason()), (200, &b""[..]));
    }
}

#[test]
fn a_response_that_is_forgotten_keeps_its_memory_and_says_how_much() {
    let mut head = ResponseHead::new();
    assert_eq!(head.capacity(), 0);
    let fields = format!("X: {}\r\n", "y".repeat(5000));
    let input = format!("HTTP/1.1 200 x\r\n{fields}\r\n");
    head.parse(input.as_bytes(), &HeadLimits::default(), Answers::Other).expect("valid").expect("complete");
    let held = head.capacity();
    assert!((5000..20_000).contains(&held), "{held}");
    assert_eq!(head.parse(b"HTTP", &HeadLimits::default(), Answers::Other), Ok(None));
    assert_eq!(head.capacity(), held);
}

#[test]
fn what_a_response_answers_decides_on_its_body() {
    let body = |status: u16, fields: &str, answers| {
        let input = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
        let (head, _) = answer(&input, answers).expect("valid").expect("complete");
        (head.body_length(), head.keeps_alive())
    };
    let sized = "Content-Length: 5\r\n";
    assert_eq!(body(200, sized, Answers::Head), (BodyLength::None, true));
    for status in [100, 103, 199, 304] {
        assert_eq!(body(status, sized, Answers::Other), (BodyLength::None, true), "{status}");
    }
    assert_eq!(body(204, "", Answers::Other), (BodyLength::None, true));
    assert_eq!(body(204, "Content-Length: 0\r\n", Answers::Other), (BodyLength::None, true));
    assert_eq!(body(200, "", Answers::Other), (BodyLength::UntilEnd, false));
    assert_eq!(
        body(200, "Connection: close\r\nContent-Length: 5\r\n", Answers::Other),
        (BodyLength::Bytes(5), false)
    );
    assert_eq!(body(200, "Transfer-Encoding: chunked\r\n", Answers::Other), (BodyLength::Chunked, true));
    assert_eq!(body(200, sized, Answers::Connect), (BodyLength::UntilEnd, false));
    assert_eq!(body(407, sized, Answers::Connect), (BodyLength::Bytes(5), true));
}

/// There is no body, whatever the fields say; but they may say what whoever wrote them, or passed them on, took for true.
#[test]
fn a_connection_whose_framing_is_contradictory_is_not_kept() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    let other = "Transfer-Encoding: gzip\r\n";
    for (status, fields, answers, is_kept) in [
        (204, "Content-Length: 5\r\n", Answers::Other, false),
        (204, chunked, Answers::Other, false),
        (204, other, Answers::Other, false),
        (204, "Content-Length: 5\r\n", Answers::Head, false),
        (304, both, Answers::Other, false),
        (304, other, Answers::Other, false),
        (304, chunked, Answers::Other, true),
        (200, both, Answers::Head, false),
        (200, other, Answers::Head, false),
        (200, chunked, Answers::Head, true),
        (200, "", Answers::Head, true),
    ] {
        let input = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
        let (head, _) = answer(&input, answers).expect("valid").expect("complete");
        assert_eq!((head.body_length(), head.keeps_alive()), (BodyLength::None, is_kept), "{input:?}");
    }
}

#[test]
fn malformed_responses_are_refused() {
    for input in [
        "HTTP/2.0 200 x\r\n\r\n",
        "HTTP/1.1 20 x\r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/1.1  200 x\r\n\r\n",
        "HTTP/1.1 200 x\n\r\n",
        "HTTP/1.1 200 x\r\nX: y\n\r\n",
        "HTTP/1.1 200 x\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 x\r\nX: y\r\n z\r\n\r\n",
        "HTTP/1.1 200 x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: gzip\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
    ] {
        assert!(answer(input, Answers::Other).is_err(), "{input:?}");
    }
}

/// Everything a body decoder finds in `pieces`, one after the other.
fn decode<'a>(
    length: BodyLength,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<(Vec<u8>, bool, Vec<u8>), HttpError> {
    let mut decoder = BodyDecoder::new(length);
    let mut body = Vec::new();
    let mut rest: Vec<u8> = Vec::new();
    let mut has_ended = false;
    for piece in pieces {
        rest.extend_from_slice(piece);
        loop {
            match decoder.decode(&rest)? {
                BodyStep::Data { skip, length } => {
                    body.extend_from_slice(&rest[skip..skip + length]);
                    rest.drain(..skip + length);
                }
                BodyStep::More { skip } => {
                    assert_eq!(skip, rest.len());
                    rest.clear();
                    break;
                }
                BodyStep::End { skip } => {
                    rest.drain(..skip);
                    has_ended = true;
                    break;
                }
            }
        }
    }
    Ok((body, has_ended, if has_ended { rest } else { Vec::new() }))
}

fn chunked(input: &str) -> Result<(String, bool, String), HttpError> {
    let (body, has_ended, rest) = decode(BodyLength::Chunked, std::iter::once(input.as_bytes()))?;
    Ok((String::from_utf8(body).expect("text"), has_ended, String::from_utf8(rest).expect("text")))
}

#[test]
fn chunks_are_joined() {
    let ok = |body: &str, rest: &str| Ok((body.to_owned(), true, rest.to_owned()));
    assert_eq!(chunked("5\r\nhello\r\n0\r\n\r\nGET"), ok("hello", "GET"));
    assert_eq!(chunked("0\r\n\r\n"), ok("", ""));
    assert_eq!(chunked("000A\r\n0123456789\r\n0\r\nX: y\r\n\r\n"), ok("0123456789", ""));
    assert_eq!(chunked("1;a\r\nx\r\n1;a=b;c=\"d;\\\"\r\";e\r\n"), Err(HttpError::Chunk));
    assert_eq!(chunked("1;a=b;c=\"d;\\\"e\" ; f = g \r\nx\r\n0;h\r\n\r\n"), ok("x", ""));
    assert_eq!(chunked("5\r\nhel"), Ok(("hel".to_owned(), false, String::new())));
}

#[test]
fn malformed_chunks_are_refused() {
    for input in [
        "\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "+5\r\n",
        "-1\r\n",
        "0x5\r\n",
        "1_0\r\n",
        "g\r\n",
        "5;\r\nhello\r\n",
        "5;\nhello",
        "5\nhello",
        "5\rhello",
        "5;\0ext\r\n",
        "5;a=\r\n",
        "5;a b\r\n",
        "5;a=\"b\r\n",
        "FFFFFFFFFFFFFFFF0\r\n",
        "5\r\nhelloX\r\n",
        "5\r\nhello\n",
        "5\r\nhello\rX",
        "0\r\n\rX",
    ] {
        assert!(chunked(input).is_err(), "{input:?}");
    }
    for trailer in
        ["X y\r\n", ": y\r\n", " X: y\r\n", "X: y\n", "X: \0\r\n", "Content-Length: 5\r\n", "hOST: a\r\n"]
    {
        assert!(chunked(&format!("0\r\n{trailer}\r\n")).is_err(), "{trailer:?}");
    }
    assert_eq!(chunked(&format!("{}5\r\nhello", "0".repeat(2000))), Err(HttpError::ChunkLineTooLong));
    assert_eq!(chunked(&"1;a=bcdefghijk\r\nx\r\n".repeat(5000)), Err(HttpError::ChunkLineTooLong));
    assert_eq!(chunked(&format!("0\r\n{}", "X: y\r\n".repeat(5000))), Err(HttpError::TrailersTooLarge));
}

#[test]
fn trailers_are_kept_as_they_came() {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let input = b"0\r\nX-Sum: abc\r\nY:\r\n\r\nmore";
    assert_eq!(decoder.decode(input), Ok(BodyStep::End { skip: input.len() - 4 }));
    assert_eq!(decoder.trailers(), b"X-Sum: abc\r\nY:\r\n");
    assert_eq!(decoder.decode(b"more"), Ok(BodyStep::End { skip: 0 }));
}

#[test]
fn heads_and_chunks_are_written() {
    let mut out = Vec::new();
    write_status_line(&mut out, 204, "No Content");
    assert!(write_field(&mut out, "X", b"y"));
    for (name, value) in [("X Y", &b"z"[..]), ("", b"z"), ("X", b"y\r\nZ: a"), ("X", b"\0")] {
        assert!(!write_field(&mut out, name, value));
    }
    write_content_length(&mut out, 0);
    write_content_length(&mut out, u64::MAX);
    write_chunk_size(&mut out, 1);
    write_chunk_size(&mut out, 0x1f0);
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "HTTP/1.1 204 No Content\r\nX: y\r\nContent-Length: 0\r\nContent-Length: 18446744073709551615\r\n1\r\n1f0\r\n"
    );
}

#[test]
fn request_lines_are_written() {
    let mut out = Vec::new();
    for (method, target) in [("GET", "/a?b=%"), ("OPTIONS", "*"), ("CONNECT", "a:80"), ("X-y", "http://a?b")]
    {
        out.clear();
        assert!(write_request_line(&mut out, method, target));
        assert_eq!(out, format!("{method} {target} HTTP/1.1\r\n").as_bytes());
        out.extend_from_slice(b"Host: a\r\n\r\n");
        let head = head(std::str::from_utf8(&out).expect("text"));
        assert_eq!((head.method(), head.target()), (method, target));
    }
    out.clear();
    for (method, target) in [
        ("", "/"),
        ("GET", ""),
        ("G T", "/"),
        ("GET", "/a b"),
        ("GET", "/ HTTP/1.1\r\nX: y"),
        ("GET", "/\n"),
        ("GET", "a"),
        ("GET", "*"),
        ("GET", "/\u{e9}"),
        ("CONNECT", "/"),
    ] {
        assert!(!write_request_line(&mut out, method, target), "{method} {target}");
    }
    assert!(out.is_empty());
}

/// Cuts `input` at these places, in any order and number.
fn cut<'a>(input: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place % (input.len() + 1)).collect();
    places.sort_unstable();
    let mut start = 0;
    let mut pieces: Vec<_> = places
        .into_iter()
        .map(|place| {
            let piece = &input[start..place];
            start = place;
            piece
        })
        .collect();
    pieces.push(&input[start..]);
    pieces
}

proptest! {
    /// However little of a head is there, it is not taken for a whole one, nor for a malformed one.
    #[test]
    fn no_beginning_of_a_head_is_a_head(
        target in "/[a-z0-9/?=]{0,30}(%[0-9a-f][1-9])?",
        fields in prop::collection::vec(("X-[A-Za-z0-9-]{1,12}", "[ -~]{0,30}"), 0..8),
    ) {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let input = format!("PUT {target} HTTP/1.1\r\nHost: example.org\r\n{fields}\r\n");
        for end in 0..input.len() {
            prop_assert_eq!(parse(&input[..end]).map(|found| found.is_some()), Ok(false), "{}", end);
        }
        let whole = head(&input);
        prop_assert_eq!(whole.target(), target);
        let written: String = whole
            .fields()
            .skip(1)
            .map(|(name, value)| format!("{name}: {}\r\n", String::from_utf8_lossy(value)))
            .collect();
        let expected: String = fields.lines().map(|line| format!("{}\r\n", line.trim_end())).collect();
        let expected = expected.replace(":\r\n", ": \r\n");
        let squeeze = |text: &str| text.replace(": ", ":").replace(' ', "");
        prop_assert_eq!(squeeze(&written), squeeze(&expected));
    }

    #[test]
    fn no_split_changes_a_chunked_body(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
        extension in prop::option::of("[a-z]{1,5}( ?= ?([a-z0-9]{1,5}|\"([ a-z\t]|\\\\\")*\"))?"),
        trailers in prop::collection::vec(("X-[A-Za-z0-9]{0,5}", "[!-~]{0,5}"), 0..4),
        places in prop::collection::vec(any::<usize>(), 0..20),
        rest in prop::collection::vec(any::<u8>(), 0..10),
    ) {
        let mut input = Vec::new();
        for chunk in &chunks {
            write_chunk_size(&mut input, chunk.len() as u64);
            if let Some(extension) = &extension {
                input.truncate(input.len() - 2);
                input.extend_from_slice(format!(";{extension}\r\n").as_bytes());
            }
            input.extend_from_slice(chunk);
            input.extend_from_slice(b"\r\n");
        }
        let start = input.len() + 3;
        input.extend_from_slice(b"0\r\n");
        for (name, value) in &trailers {
            prop_assert!(write_field(&mut input, name, value.as_bytes()));
        }
        let end = input.len();
        input.extend_from_slice(b"\r\n");
        let mut decoder = BodyDecoder::new(BodyLength::Chunked);
        let mut passed = 0;
        while let Ok(BodyStep::Data { skip, length }) = decoder.decode(&input[passed..]) {
            passed += skip + length;
        }
        prop_assert_eq!(decoder.trailers(), &input[start..end]);
        input.extend_from_slice(&rest);
        let (body, has_ended, left) = decode(BodyLength::Chunked, cut(&input, &places).into_iter()).expect("valid");
        prop_assert_eq!(body, chunks.concat());
        prop_assert!(has_ended);
        prop_assert_eq!(left, rest);
    }

    /// What is written is read again, and all of it is what was meant.
    #[test]
    fn a_head_that_is_written_is_read_as_it_was_meant(
        method in "[A-Z!#$%&'*+.^_`|~0-9a-z-]{1,64}",
        target in "/[a-z0-9/]{0,10}(\\?[!$-;=?-Z^-~]{0,10})?",
        fields in prop::collection::vec(("X-[A-Za-z0-9_.-]{0,12}", "([!-~\u{e9}]([ -~\t\u{e9}]{0,20}[!-~])?)?"), 0..8),
        length in 0..u64::MAX / 2,
    ) {
        prop_assume!(method != "CONNECT");
        let mut input = Vec::new();
        prop_assert!(write_request_line(&mut input, &method, &target));
        prop_assert!(write_field(&mut input, "Host", b"example.org"));
        for (name, value) in &fields {
            prop_assert!(write_field(&mut input, name, value.as_bytes()));
        }
        write_content_length(&mut input, length);
        input.extend_from_slice(b"\r\nmore");
        let mut head = RequestHead::new();
        prop_assert_eq!(head.parse(&input, &HeadLimits::default()), Ok(Some(input.len() - 4)));
        prop_assert_eq!((head.method(), head.target()), (&method[..], &target[..]));
        let expected = target.split_once('?').map_or((&target[..], None), |(path, query)| (path, Some(query)));
        prop_assert_eq!((head.path(), head.query()), expected);
        let found: Vec<_> = head.fields().skip(1).take(fields.len()).collect();
        let expected: Vec<_> = fields.iter().map(|(name, value)| (&name[..], value.as_bytes())).collect();
        prop_assert_eq!(found, expected);
        let expected = if length == 0 { BodyLength::None } else { BodyLength::Bytes(length) };
        prop_assert_eq!(head.body_length(), expected);
    }

    #[test]
    fn a_response_that_is_written_is_read_as_it_was_meant(
        status in 200..1000_u16,
        reason in "[ -~\t\u{e9}]{0,20}",
        fields in prop::collection::vec(("X-[A-Za-z0-9_.-]{0,12}", "([!-~]([ -~\t]{0,20}[!-~])?)?"), 0..8),
        length in 1..u64::MAX / 2,
    ) {
        let mut input = Vec::new();
        write_status_line(&mut input, status, &reason);
        for (name, value) in &fields {
            prop_assert!(write_field(&mut input, name, value.as_bytes()));
        }
        write_content_length(&mut input, length);
        input.extend_from_slice(b"\r\n");
        let mut head = ResponseHead::new();
        for end in 0..input.len() {
            prop_assert_eq!(head.parse(&input[..end], &HeadLimits::default(), Answers::Other), Ok(None), "{}", end);
        }
        prop_assert_eq!(head.parse(&input, &HeadLimits::default(), Answers::Other), Ok(Some(input.len())));
        prop_assert_eq!((head.status(), head.reason()), (status, reason.as_bytes()));
        let found: Vec<_> = head.fields().take(fields.len()).collect();
        let expected: Vec<_> = fields.iter().map(|(name, value)| (&name[..], value.as_bytes())).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(head.content_length(), Some(length));
        let has_body = !matches!(status, 204 | 304);
        prop_assert_eq!(head.body_length(), if has_body { BodyLength::Bytes(length) } else { BodyLength::None });
    }

    /// Whatever comes, in whatever pieces: the same result, and never a panic.
    #[test]
    fn no_split_changes_what_garbage_comes_to(
        input in prop::collection::vec(prop_oneof![
            4 => prop::sample::select(b"0123456789abcdef;=\"\r\n :X".to_vec()),
            1 => any::<u8>(),
        ], 0..60),
        places in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        let whole = decode(BodyLength::Chunked, std::iter::once(&input[..]));
        let pieces = decode(BodyLength::Chunked, cut(&input, &places).into_iter());
        prop_assert_eq!(whole, pieces);
        let mut head = RequestHead::new();
        let _ = head.parse(&input, &HeadLimits::default());
    }

    #[test]
    fn a_sized_body_is_so_many_bytes(
        body in prop::collection::vec(any::<u8>(), 1..100),
        rest in prop::collection::vec(any::<u8>(), 0..10),
        places in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        let input = [&body[..], &rest].concat();
        let length = BodyLength::Bytes(body.len() as u64);
        let (found, has_ended, left) = decode(length, cut(&input, &places).into_iter()).expect("cannot fail");
        prop_assert_eq!(found, body);
        prop_assert!(has_ended);
        prop_assert_eq!(left, rest);
    }
}
