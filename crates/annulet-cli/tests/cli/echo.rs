//! `annulet serve echo`.

use std::thread;

use crate::client::{Client, converse};
use crate::drivers::on_each_driver;
use crate::process::Server;

/// Bytes in which every position can be told from its neighbours.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0]).collect()
}

#[test]
fn what_arrives_goes_back() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["echo"]);
        let mut client = server.connect();
        for message in ["one", "two\n", "\0\u{7f}\r", "Zürich"] {
            client.send(message);
            client.expect(message);
        }
        client.end();
        client.expect_end();
        converse(server.address(), b"", b"");
        server.stop_cleanly();
    });
}

#[test]
fn one_byte_and_the_end_are_the_byte_and_the_end() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["echo"]);
        for _ in 0..50 {
            converse(server.address(), b"x", b"x");
        }
        server.stop_cleanly();
    });
}

#[test]
fn much_more_than_fits_any_buffer_comes_back_whole() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["echo", "--max-unsent", "4KiB", "--max-unread", "4KiB"]);
        let mut client = server.connect();
        let sent = pattern(8 << 20);
        let mut sender = Client(client.0.try_clone().expect("a clone"));
        let sending = thread::spawn(move || {
            sender.send(&sent);
            sender.end();
            sent
        });
        let received = client.rest();
        assert!(sending.join().expect("sent") == received, "{} bytes came back", received.len());
        server.stop_cleanly();
    });
}

#[test]
fn many_connections_share_eight_buffers() {
    on_each_driver(|driver| {
        let server =
            Server::start_on(driver, &["echo", "--buffers", "8", "--buffers-max", "8", "--reactors", "1"]);
        let message = pattern(9 << 10);
        let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| client.send(&message));
        for client in &mut clients {
            client.end();
            assert!(client.rest() == message);
        }
        server.stop_cleanly();
    });
}

#[test]
fn a_banner_comes_before_anything_else() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["echo", "--banner", "Welcome to the echo server!"]);
        let mut client = server.connect();
        client.expect("Welcome to the echo server!\n");
        client.send("hello");
        client.expect("hello");
        converse(server.address(), b"early", b"Welcome to the echo server!\nearly");
        drop(client);
        server.stop_cleanly();
    });
}
