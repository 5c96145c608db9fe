//! `annulet serve http`.

use crate::client::converse;
use crate::drivers::on_each_driver;
use crate::process::Server;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

#[test]
fn requests_are_answered_in_order_on_one_connection() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["http"]);
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.expect(HELLO);
        client.send(
            "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHo",
        );
        client.expect([HELLO, HELLO].concat());
        client.send("st: a\r\nConnection: close\r\n\r\n");
        client.expect(HELLO);
        client.expect_end();
        server.stop_cleanly();
    });
}

#[test]
fn a_head_over_the_limit_is_431_and_closed() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["http"]);
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\n");
        client.send([b'x'; 16 * 1024]);
        let answer = String::from_utf8(client.rest()).expect("text");
        assert!(answer.starts_with("HTTP/1.1 431 ") && answer.contains("Connection: close"), "{answer}");
        drop(client);
        converse(server.address(), b"GET / HTT", b"");
        server.stop_cleanly();
    });
}
