//! The end of a server: SIGTERM, SIGINT, and what happens to connections.

use crate::client::Client;
use crate::drivers::on_each_driver;
use crate::process::{Finished, Server};

/// The line of the log that tells how it went.
#[track_caller]
fn reported(finished: &Finished, connections: u64, cut: u64) {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let report = format!("drained connections={connections} cut={cut}");
    assert!(finished.stderr.contains(&report), "{report}: {}", finished.stderr);
}

/// A client that sends and does not read, until nothing moves: its connection cannot end by itself.
fn stuck(server: &Server) -> Client {
    let mut client = server.connect();
    client.send_until_stuck(b"x");
    client
}

#[test]
fn a_server_without_connections_ends_at_once() {
    for signal in ["TERM", "INT"] {
        on_each_driver(|driver| {
            let server = Server::start_on(driver, &["echo"]);
            server.signal(signal);
            reported(&server.wait(), 0, 0);
        });
    }
}

#[test]
fn idle_connections_see_an_orderly_end() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["echo"]);
        let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send("hello");
            client.expect("hello");
        }
        server.signal("TERM");
        clients.iter_mut().for_each(Client::expect_end);
        drop(clients);
        reported(&server.wait(), 20, 0);
    });
}

#[test]
fn what_arrived_before_is_answered() {
    on_each_driver(|driver| {
        let mut server = Server::start_on(driver, &["command"]);
        let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
        let count = 100;
        for client in &mut clients {
            client.expect("READY\n");
            client.send("PING\n".repeat(count));
        }
        server.await_counter("bytes_received", 20 * 5 * count as u64);
        // Complete lines on their way while the server is told to end: each is answered, or nothing of them is.
        for client in &mut clients {
            client.send("ECHO x\nPI");
        }
        server.signal("TERM");
        for client in &mut clients {
            let answers = String::from_utf8(client.rest()).expect("text");
            let rest =
                answers.strip_prefix("PONG\n".repeat(count).as_str()).expect("every line that had arrived");
            assert!(rest.is_empty() || rest == "OK x\n", "{rest:?}");
        }
        drop(clients);
        reported(&server.wait(), 20, 0);
    });
}

#[test]
fn connections_that_wait_to_be_accepted_are_served() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["command"]);
        let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
        server.signal("TERM");
        for client in &mut clients {
            assert_eq!(client.rest(), b"READY\n");
        }
        drop(clients);
        reported(&server.wait(), 100, 0);
    });
}

#[test]
fn who_does_not_end_is_cut_at_the_deadline() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["echo", "--drain-timeout", "300ms"]);
        let client = stuck(&server);
        server.signal("TERM");
        reported(&server.wait(), 1, 1);
        drop(client);
    });
}

#[test]
fn a_second_signal_stops_at_once() {
    on_each_driver(|driver| {
        let mut server = Server::start_on(driver, &["echo", "--drain-timeout", "0", "--write-timeout", "0"]);
        let client = stuck(&server);
        server.signal("TERM");
        // The first signal has been taken in once new connections are refused; SIGUSR1 is answered all the while.
        while std::net::TcpStream::connect(server.address()).is_ok() {
            server.counters();
        }
        server.signal("INT");
        let finished = server.wait();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(finished.stderr.contains(" cut=1\n"), "{}", finished.stderr);
        drop(client);
    });
}
