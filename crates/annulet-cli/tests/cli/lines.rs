//! `annulet serve lines`.

use crate::client::converse;
use crate::drivers::on_each_driver;
use crate::process::Server;

const GREETING: &[u8] = b"Hello! Each line comes back in upper case.\n";

/// A server on each driver, whose greeting is `hi`, and what it answers to what.
#[track_caller]
fn answers(arguments: &[&str], conversations: &[(&[u8], &[u8])]) {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &[&["lines", "--greeting", "hi"], arguments].concat());
        for (sent, answer) in conversations {
            converse(server.address(), sent, &[b"hi\n", *answer].concat());
        }
        server.stop_cleanly();
    });
}

#[test]
fn a_greeting_then_each_line_in_upper_case() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["lines"]);
        let mut client = server.connect();
        client.expect(GREETING);
        client.send("hello\n");
        client.expect("HELLO\n");
        client.send("a");
        client.send("b\nc\n");
        client.expect("AB\nC\n");
        client.end();
        client.expect_end();
        server.stop_cleanly();
    });
}

#[test]
fn only_ascii_letters_change() {
    answers(
        &[],
        &[
            (b"abc xyz 019 ~!\n", b"ABC XYZ 019 ~!\n"),
            ("straße, zürich\n".as_bytes(), "STRAßE, ZüRICH\n".as_bytes()),
            (b"\xff\xfe\x00\x1b[0mz\n", b"\xff\xfe\x00\x1b[0MZ\n"),
            (b"\n\n", b"\n\n"),
            // A carriage return is a byte like any other.
            (b"a\r\n", b"A\r\n"),
        ],
    );
}

#[test]
fn a_last_line_without_its_end_gets_no_answer() {
    answers(&[], &[(b"", b""), (b"abc", b""), (b"one\ntwo", b"ONE\n")]);
}

#[test]
fn a_line_over_the_limit_is_told_and_closed() {
    let at_limit = [vec![b'a'; 4096], b"\n".to_vec()].concat();
    let upper = at_limit.to_ascii_uppercase();
    let over = [vec![b'a'; 4097], b"\nnext\n".to_vec()].concat();
    answers(
        &[],
        &[
            (&at_limit, &upper),
            (&over, b"ERR line too long\n"),
            (&[b'a'; 4097], b"ERR line too long\n"),
            (&[b'a'; 4096], b""),
        ],
    );
    answers(
        &["--max-line", "3"],
        &[
            (b"abc\nabcd\n", b"ABC\nERR line too long\n"),
            // The carriage return counts here.
            (b"ab\r\nabc\r\n", b"AB\r\nERR line too long\n"),
        ],
    );
}

#[test]
fn a_flood_without_a_line_end_is_answered_before_it_ends() {
    on_each_driver(|driver| {
        let mut server = Server::start_on(driver, &["lines", "--greeting", "hi", "--max-line", "16"]);
        let mut client = server.connect();
        client.expect("hi\n");
        client.send([b'x'; 17]);
        client.expect("ERR line too long\n");
        client.expect_end();
        assert_eq!(server.counter("messages_refused"), 1);
        drop(client);
        server.stop_cleanly();
    });
}
