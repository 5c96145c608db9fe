//! What each path of the demonstration answers.

use crate::client::Client;
use crate::drivers::on_each_driver;
use crate::process::Server;

/// The answer to one request on a connection of its own: its head, in which `Date` is checked and left out, and its body.
#[track_caller]
fn answer(server: &Server, request: &str, fields: &str, body: &str) -> (String, String) {
    let mut client = server.connect();
    client.send(format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n{body}"));
    split(&client.rest())
}

#[track_caller]
fn split(answer: &[u8]) -> (String, String) {
    let answer = str::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect(answer);
    let (dates, head): (Vec<_>, Vec<_>) = head.lines().partition(|line| line.starts_with("Date: "));
    assert_eq!(dates.len(), 1, "{answer}");
    (head.join("\n"), body.to_owned())
}

/// The next answer of a connection that stays open, whose body has `length` bytes.
fn next_answer(client: &mut Client, length: usize) -> (String, String) {
    let mut answer = client.until("\r\n\r\n");
    answer.extend(client.take(length));
    split(&answer)
}

const HELLO: &str = "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\nContent-Length: 13";

#[test]
fn requests_are_answered_in_order_on_one_connection() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["http"]);
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(next_answer(&mut client, 13), (HELLO.to_owned(), "Hello, World!".to_owned()));
        let echo = |text: &str| {
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{text}", text.len())
        };
        client.send(format!("{}{}GET / HTTP/1.1\r\nHo", echo("one"), echo("three")));
        assert_eq!(next_answer(&mut client, 3).1, "one");
        assert_eq!(next_answer(&mut client, 5).1, "three");
        client.send("st: a\r\nConnection: close\r\n\r\n");
        let (head, body) = next_answer(&mut client, 13);
        assert_eq!((head, body), (format!("{HELLO}\nConnection: close"), "Hello, World!".to_owned()));
        client.expect_end();
        server.stop_cleanly();
    });
}

#[test]
fn every_path_answers_as_it_says() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["http"]);
        let status = |request, fields, body| {
            let (head, body) = answer(&server, request, fields, body);
            (head.lines().next().expect("a line")[9..].to_owned(), head, body)
        };

        let (code, head, body) = status("HEAD /", "", "");
        assert_eq!((code.as_str(), body.as_str()), ("200 OK", ""));
        assert!(head.contains("\nContent-Length: 13"), "{head}");

        let (code, head, body) = status("OPTIONS /", "", "");
        assert_eq!((code.as_str(), body.as_str()), ("204 No Content", ""));
        assert!(head.contains("\nallow: GET, POST, HEAD, OPTIONS\n"), "{head}");
        assert_eq!(status("OPTIONS *", "", "").0, "204 No Content");

        let (code, head, _) = status("DELETE /", "", "");
        assert_eq!(code, "405 Method Not Allowed");
        assert!(head.contains("\nallow: GET, POST, HEAD, OPTIONS\n"), "{head}");

        let lines = "Host: a\nConnection: close\nx-one: 1\nX-Two: 2\n";
        assert_eq!(status("GET /echo", "x-one: 1\r\nX-Two:  2 \r\n", "").2, lines);
        assert_eq!(status("GET /cookie", "Cookie: a=1; b=\r\nCookie: c=3=3\r\n", "").2, "a=1\nb=\nc=3=3\n");
        assert_eq!(status("GET /delay/1", "", "").2, "waited\n");
        assert_eq!(status("GET /delay/soon", "", "").0, "400 Bad Request");
        assert_eq!(status("GET /delay/60001", "", "").0, "400 Bad Request");
        assert_eq!(status("PUT /upload/some/name", "Content-Length: 5\r\n", "hello").2, "5 bytes\n");
        assert_eq!(status("GET /json", "", "").2, r#"{"message":"Hello, World!","path":"/json"}"#);
        assert_eq!(status("GET /nowhere", "", "").0, "404 Not Found");
        let (_, head, body) = status("GET /stream/200000", "", "");
        assert_eq!(body, ".".repeat(200_000));
        assert!(head.contains("\nContent-Length: 200000"), "{head}");
        server.stop_cleanly();
    });
}

#[test]
fn limits_of_head_and_body_are_those_of_the_command_line() {
    on_each_driver(|driver| {
        let limits = ["--max-head", "1KiB", "--max-body", "1000", "--max-requests", "2"];
        let mut server = Server::start_on(driver, &[&["http"][..], &limits].concat());
        let chunk = |size: usize| format!("{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size));
        let refused = |request, fields: &str, body: &str| {
            let (head, _) = answer(&server, request, fields, body);
            assert!(head.ends_with("\nConnection: close"), "{head}");
            head.lines().next().expect("a line")[9..12].to_owned()
        };
        assert_eq!(refused("GET /", &format!("X: {}\r\n", "x".repeat(1000)), ""), "431");
        assert_eq!(refused("POST /", "Content-Length: 1000\r\n", &"x".repeat(1000)), "200");
        assert_eq!(refused("POST /", "Content-Length: 1001\r\n", ""), "400");
        assert_eq!(refused("POST /", "Transfer-Encoding: chunked\r\n", &chunk(1000)), "200");
        assert_eq!(refused("POST /", "Transfer-Encoding: chunked\r\n", &chunk(1001)), "413");
        assert_eq!(refused("POST /upload", "Transfer-Encoding: chunked\r\n", &chunk(100_000)), "200");
        assert_eq!(server.counter("http_bodies_too_large"), 2);

        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3));
        let answers = String::from_utf8(client.rest()).expect("text");
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
        assert_eq!(answers.matches("Connection: close").count(), 1, "{answers}");
        drop(client);
        server.stop_cleanly();
    });
}

#[test]
fn requests_are_logged_when_asked_for() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["http", "--access-log"]);
        answer(&server, "GET /echo?a=%1b[31m", "", "");
        answer(&server, "DELETE /", "", "");
        // What was answered, not what the handler said.
        answer(&server, "GET /", "Transfer-Encoding: chunked\r\n", "x\r\n");
        let log = server.stop().stderr;
        let requests: Vec<_> = log.lines().filter(|line| line.contains("INFO request ")).collect();
        let [first, second, third] = requests[..] else { panic!("{log}") };
        assert!(first.contains("/echo?a=%1b[31m") && first.contains("status=200"), "{first}");
        assert!(second.contains("DELETE") && second.contains("status=405"), "{second}");
        assert!(third.contains("status=400"), "{third}");

        let server = Server::start_on(driver, &["http"]);
        answer(&server, "GET /echo", "", "");
        let log = server.stop().stderr;
        assert!(!log.contains("/echo"), "{log}");
    });
}
