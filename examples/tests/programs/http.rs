//! The examples that speak HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use crate::program::{Program, on_each_driver, rest};

const ADDRESS: &str = "127.0.0.1:0";

/// What came back: the head's lines but for the date, and the body.
struct Answer {
    status: String,
    fields: Vec<String>,
    body: String,
}

/// A client with a connection of its own.
struct Client(BufReader<TcpStream>);

impl Client {
    fn of(server: &Program) -> Self {
        Self(BufReader::new(server.connect()))
    }

    fn send(&mut self, method: &str, target: &str, body: &str) {
        let length = body.len();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
        self.0.get_mut().write_all((head + body).as_bytes()).expect("sent");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// The head of a response.
    fn head(&mut self) -> Answer {
        let status = self.line();
        let fields = std::iter::from_fn(|| Some(self.line()).filter(|line| !line.is_empty()));
        let fields = fields.map(|field| field.to_ascii_lowercase()).collect();
        Answer { status, fields, body: String::new() }
    }

    /// A response with a length.
    fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        let length = answer.field("content-length").map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a body");
        answer.body = String::from_utf8(body).expect("text");
        answer
    }

    fn ask(&mut self, method: &str, target: &str, body: &str) -> Answer {
        self.send(method, target, body);
        self.answer()
    }

    /// The next chunk of a body.
    fn chunk(&mut self) -> String {
        let length = usize::from_str_radix(&self.line(), 16).expect("a length");
        let mut chunk = vec![0; length + 2];
        self.0.read_exact(&mut chunk).expect("a chunk");
        chunk.truncate(length);
        String::from_utf8(chunk).expect("text")
    }
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find_map(|field| field.strip_prefix(name)?.strip_prefix(": "))
    }
}

#[test]
fn hello_answers_pipelined_requests() {
    on_each_driver(|driver| {
        let server = Program::start("http_hello", driver, &[ADDRESS]);
        let mut client = Client::of(&server);
        client.send("GET", "/", "");
        client.send("GET", "/", "");
        for _ in 0..2 {
            let answer = client.answer();
            assert_eq!((&*answer.status, &*answer.body), ("HTTP/1.1 200 OK", "Hello, World!"));
        }
        client.0.get_ref().shutdown(Shutdown::Write).expect("ended");
        assert_eq!(rest(&mut client.0), "");
        server.stop();
    });
}

#[test]
fn router_keeps_notes() {
    on_each_driver(|driver| {
        let server = Program::start("http_router", driver, &[ADDRESS]);
        let mut client = Client::of(&server);
        assert_eq!(client.ask("POST", "/notes", "text=buy+milk%21").body, "note 1\n");
        assert_eq!(client.ask("GET", "/notes/1", "").body, "buy milk!\n");
        assert_eq!(client.ask("GET", "/notes", "").body, "[\"buy milk!\"]");
        for (method, target, status) in [
            ("GET", "/notes/2", "404 Not Found"),
            ("GET", "/else", "404 Not Found"),
            ("DELETE", "/notes", "405 Method Not Allowed"),
            ("POST", "/notes", "400 Bad Request"),
        ] {
            let answer = client.ask(method, target, "");
            assert_eq!(answer.status, format!("HTTP/1.1 {status}"), "{method} {target}");
        }
        server.stop();
    });
}

#[test]
fn streaming_moves_more_than_fits_anywhere() {
    on_each_driver(|driver| {
        let server = Program::start("http_streaming", driver, &[ADDRESS]);
        let mut client = Client::of(&server);
        let body = "x".repeat(3 << 20);
        assert_eq!(client.ask("PUT", "/upload", &body).body, format!("{} bytes\n", 3 << 20));
        assert_eq!(client.ask("GET", "/download/3", "").body, ".".repeat(3 << 20));

        // What comes goes, before the request is at its end.
        let head = "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.0.get_mut().write_all(head.as_bytes()).expect("sent");
        assert_eq!(client.head().field("transfer-encoding"), Some("chunked"));
        for text in ["one", "two"] {
            write!(client.0.get_mut(), "{:x}\r\n{text}\r\n", text.len()).expect("sent");
            assert_eq!(client.chunk(), text);
        }
        client.0.get_mut().write_all(b"0\r\n\r\n").expect("sent");
        assert_eq!(client.chunk(), "");
        server.stop();
    });
}

#[test]
fn long_polling_waits_for_news() {
    on_each_driver(|driver| {
        let server = Program::start("http_long_polling", driver, &[ADDRESS]);
        let (mut waiting, mut telling) = (Client::of(&server), Client::of(&server));
        waiting.send("GET", "/news?after=0", "");
        assert_eq!(telling.ask("POST", "/news", "it rains").status, "HTTP/1.1 204 No Content");
        assert_eq!(waiting.answer().body, "1: it rains\n");
        // Who still waits when the server ends is told to ask again.
        waiting.send("GET", "/news?after=1", "");
        // It has been read once a request behind it on another connection is answered; give it more than that.
        assert_eq!(telling.ask("GET", "/news?after=0", "").body, "1: it rains\n");
        let end = thread::spawn(move || {
            let answer = waiting.answer();
            (answer.status, rest(&mut waiting.0))
        });
        server.stop();
        let (status, rest) = end.join().expect("an answer");
        // Either it was being answered, or it had not been read.
        assert!(["HTTP/1.1 204 No Content", ""].contains(&&*status), "{status}");
        assert_eq!(rest, "");
    });
}

#[test]
fn events_tells_the_time() {
    on_each_driver(|driver| {
        let server = Program::start("http_events", driver, &[ADDRESS]);
        let mut client = Client::of(&server);
        assert!(client.ask("GET", "/", "").body.contains("EventSource"));
        client.send("GET", "/events", "");
        assert_eq!(client.head().field("content-type"), Some("text/event-stream"));
        for _ in 0..2 {
            let event = client.chunk();
            assert!(event.starts_with("data: ") && event.ends_with(" seconds\n\n"), "{event}");
        }
        let end = thread::spawn(move || while client.chunk() != "" {});
        server.stop();
        end.join().expect("the last chunk");
    });
}

#[test]
fn chat_lets_everybody_hear() {
    on_each_driver(|driver| {
        let server = Program::start("http_chat", driver, &[ADDRESS]);
        let mut hearers = [Client::of(&server), Client::of(&server)];
        for hearer in &mut hearers {
            hearer.send("GET", "/hear", "");
            hearer.head();
            assert_eq!(hearer.chunk(), "You are in.\n");
        }
        assert_eq!(Client::of(&server).ask("POST", "/say/ann", "hello").status, "HTTP/1.1 204 No Content");
        for hearer in &mut hearers {
            assert_eq!(hearer.chunk(), "ann: hello\n");
        }
        let end = thread::spawn(move || hearers.map(|mut hearer| hearer.chunk()));
        server.stop();
        assert_eq!(end.join().expect("the last chunks"), ["", ""]);
    });
}

#[test]
fn graceful_shutdown_answers_first() {
    on_each_driver(|driver| {
        let server = Program::start("http_graceful_shutdown", driver, &[ADDRESS]);
        let (mut idle, mut slow) = (Client::of(&server), Client::of(&server));
        assert_eq!(idle.ask("GET", "/", "").body, "Ask for /slow.\n");
        assert_eq!(slow.ask("GET", "/", "").body, "Ask for /slow.\n");
        slow.send("GET", "/slow", "");
        let end = thread::spawn(move || {
            let answer = slow.answer();
            (answer.body.clone(), answer.field("connection").map(String::from), rest(&mut slow.0))
        });
        server.stop();
        let answer = end.join().expect("an answer");
        assert_eq!(answer, ("Here you are.\n".into(), Some("close".into()), String::new()));
        assert_eq!(rest(&mut idle.0), "");
    });
}
