//! `annulet serve command`.

use crate::client::converse;
use crate::drivers::on_each_driver;
use crate::process::Server;

/// A server on each driver, and what it answers to what, after READY.
#[track_caller]
fn answers(arguments: &[&str], conversations: &[(&[u8], &[u8])]) {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &[&["command"], arguments].concat());
        for (sent, answer) in conversations {
            converse(server.address(), sent, &[b"READY\n", *answer].concat());
        }
        server.stop_cleanly();
    });
}

#[test]
fn a_conversation() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["command"]);
        let mut client = server.connect();
        client.expect("READY\n");
        client.send("PING\n");
        client.expect("PONG\n");
        client.send("ECHO hello, world\n");
        client.expect("OK hello, world\n");
        client.send("HELP\n");
        client.expect("ERR unknown command\n");
        client.send("QUIT\n");
        client.expect("BYE\n");
        client.expect_end();
        drop(client);
        server.stop_cleanly();
    });
}

#[test]
fn commands_are_exact() {
    const UNKNOWN: &[u8] = b"ERR unknown command\n";
    answers(
        &[],
        &[
            (b"ping\n", UNKNOWN),
            (b"PING \n", UNKNOWN),
            (b" PING\n", UNKNOWN),
            (b"\n", UNKNOWN),
            (b"ECHO\n", UNKNOWN),
            (b"ECHOx\n", UNKNOWN),
            (b"echo x\n", UNKNOWN),
            (b"QUIT now\n", UNKNOWN),
            (b"ECHO \n", b"OK \n"),
            (b"ECHO  two  spaces \n", b"OK  two  spaces \n"),
            (b"ECHO \xff\x00\x1b\n", b"OK \xff\x00\x1b\n"),
        ],
    );
}

#[test]
fn trailing_carriage_returns_are_ignored() {
    answers(
        &[],
        &[
            (b"PING\r\nECHO a\rb\r\n", b"PONG\nOK a\rb\n"),
            (b"QUIT\r\r\n", b"BYE\n"),
            (b"ECHO \r\n", b"OK \n"),
        ],
    );
}

#[test]
fn a_last_line_without_its_end_is_answered() {
    answers(
        &[],
        &[
            (b"PING", b"PONG\n"),
            (b"PING\nECHO x", b"PONG\nOK x\n"),
            (b"PIN", b"ERR unknown command\n"),
            (b"", b""),
        ],
    );
}

#[test]
fn nothing_is_answered_after_quit() {
    answers(&[], &[(b"QUIT\nPING\n", b"BYE\n"), (b"PING\nQUIT\nECHO x", b"PONG\nBYE\n")]);
}

#[test]
fn many_commands_at_once_are_answered_in_order() {
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    for number in 0..10_000 {
        sent.extend_from_slice(format!("ECHO {number}\nPING\n").as_bytes());
        expected.extend_from_slice(format!("OK {number}\nPONG\n").as_bytes());
    }
    answers(&[], &[(&sent, &expected)]);
}

#[test]
fn a_command_may_arrive_byte_by_byte() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["command"]);
        let mut client = server.connect();
        client.expect("READY\n");
        for byte in b"ECHO abc\r\nPING\n" {
            client.send([*byte]);
        }
        client.expect("OK abc\nPONG\n");
        drop(client);
        server.stop_cleanly();
    });
}

#[test]
fn a_line_over_the_limit_is_told_and_closed() {
    let echo = |text: usize| [b"ECHO ".to_vec(), vec![b'a'; text], b"\n".to_vec()].concat();
    let answer = [b"OK ".to_vec(), vec![b'a'; 1019], b"\n".to_vec()].concat();
    answers(
        &[],
        &[
            (&echo(1019), &answer),
            (&echo(1020), b"ERR line too long\n"),
            (&[b'a'; 1025], b"ERR line too long\n"),
        ],
    );
    answers(&["--max-line", "4"], &[(b"PING\nPING?\nPING\n", b"PONG\nERR line too long\n")]);
}

#[test]
fn a_stranger_who_only_sends_does_not_disturb_others() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["command", "--reactors", "1"]);
        let mut stranger = server.connect();
        // Answers pile up until the server stops reading, and then so do lines.
        stranger.send_until_stuck(b"ECHO why should I read?\n");
        converse(server.address(), b"PING\n", b"READY\nPONG\n");
        drop(stranger);
        server.stop_cleanly();
    });
}
