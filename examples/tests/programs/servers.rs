//! The examples that serve until they are told to stop.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;

use crate::program::{PATIENCE, Program, ask, connect, echo_once, on_each_driver, rest};

/// A port of the kernel's choice.
const ADDRESS: &str = "127.0.0.1:0";

/// What a server says when.
#[derive(Default)]
struct Manners {
    greeting: &'static str,
    request: &'static str,
    answer: &'static str,
    /// To a client that is there when the server is told to stop.
    farewell: &'static str,
}

impl Manners {
    /// One client asks and leaves, another one asks and stays until the server is told to stop: each sees an orderly end.
    #[track_caller]
    fn check(&self, name: &str) {
        on_each_driver(|driver| {
            let server = Program::start(name, driver, &[ADDRESS]);
            let mut clients = [server.connect(), server.connect()];
            for client in &mut clients {
                ask(client, "", self.greeting);
                ask(client, self.request, self.answer);
            }
            let [mut leaving, mut staying] = clients;
            leaving.shutdown(Shutdown::Write).expect("ended");
            assert_eq!(rest(&mut leaving), "", "{name}");
            drop(leaving);
            let farewell = self.farewell;
            let end = std::thread::spawn(move || assert_eq!(rest(&mut staying), farewell));
            server.stop();
            end.join().expect("a farewell");
        });
    }
}

#[test]
fn echo_sends_back_what_arrives() {
    Manners { request: "hello", answer: "hello", ..Default::default() }.check("echo");
}

#[test]
fn lines_answers_each_line_in_upper_case() {
    Manners {
        greeting: "Hello! Each line comes back in upper case.\n",
        request: "one\ntwo\n",
        answer: "ONE\nTWO\n",
        ..Default::default()
    }
    .check("lines");
}

#[test]
fn command_answers_as_its_first_lines_say() {
    Manners {
        greeting: "READY\n",
        request: "PING\nECHO hello\n",
        answer: "PONG\nOK hello\n",
        ..Default::default()
    }
    .check("command");
    on_each_driver(|driver| {
        let server = Program::start("command", driver, &[ADDRESS]);
        let mut client = server.connect();
        client.write_all(b"QUIT\n").expect("sent");
        assert_eq!(rest(&mut client), "READY\nBYE\n");
        drop(client);
        server.stop();
    });
}

#[test]
fn spawn_blocking_counts_primes() {
    Manners { request: "100\nmany\n10\n", answer: "25\nThat is no number.\n4\n", ..Default::default() }
        .check("spawn_blocking");
}

#[test]
fn tokio_io_counts_words() {
    Manners { request: "a small ring\n\n", answer: "3\n0\n", ..Default::default() }.check("tokio_io");
}

#[test]
fn timeouts_reminds_and_goes_on() {
    const REMINDER: &str = "Still there?\n";
    on_each_driver(|driver| {
        let server = Program::start("timeouts", driver, &[ADDRESS]);
        let mut client = BufReader::new(server.connect());
        let mut line = String::new();
        client.read_line(&mut line).expect("a reminder");
        assert_eq!(line, REMINDER);
        client.get_mut().write_all(b"here\n").expect("sent");
        // Another reminder may be on its way already.
        while line == REMINDER {
            line.clear();
            client.read_line(&mut line).expect("an answer");
        }
        assert_eq!(line, "here\n");
        let end = std::thread::spawn(move || rest(&mut client));
        server.stop();
        let reminders = end.join().expect("an orderly end");
        assert!(reminders.lines().all(|line| line == REMINDER.trim_end()), "{reminders}");
    });
}

#[test]
fn graceful_shutdown_says_farewell() {
    Manners {
        request: "hello",
        answer: "hello",
        farewell: "The server stops. Come back soon.\n",
        ..Default::default()
    }
    .check("graceful_shutdown");
    on_each_driver(|driver| {
        let server = Program::start("graceful_shutdown", driver, &[ADDRESS]);
        drop(server.connect());
        let address = server.line();
        assert!(address.starts_with("echo on 127.0.0.1:"), "{address}");
        let said = server.stop();
        assert_eq!(said[0], "SIGTERM: no new connections");
        assert!(said[1].starts_with("drained ") && said[1].ends_with(", cut 0"), "{said:?}");
    });
}

#[test]
fn per_reactor_state_counts_visitors_on_each_reactor() {
    on_each_driver(|driver| {
        let server = Program::start("per_reactor_state", driver, &[ADDRESS]);
        let mut visitors: Vec<String> = (0..20).map(|_| rest(&mut server.connect())).collect();
        visitors.sort();
        visitors.dedup();
        assert_eq!(visitors.len(), 20, "nobody is counted twice");
        assert!(visitors[0].starts_with("You are visitor 1 of reactor "), "{visitors:?}");
        let said = server.stop();
        assert!(said[0].starts_with("visitors are counted on 127.0.0.1:"), "{said:?}");
    });
}

#[test]
fn several_listeners_has_three_doors() {
    on_each_driver(|driver| {
        let path = std::env::temp_dir().join(format!("annulet-example-{}-{driver}.sock", std::process::id()));
        let unix = format!("unix:{}", path.display());
        let server = Program::start("several_listeners", driver, &[ADDRESS, ":0", &unix]);
        // Once for each: all of its reactors listen.
        server.ports(2);
        let lines: Vec<String> = (0..3).map(|_| server.line()).collect();
        let port = |line: &String| line.rsplit(':').next().expect("a port").parse::<u16>().expect("a number");
        let mut first = connect(SocketAddr::from(([127, 0, 0, 1], port(&lines[0]))));
        ask(&mut first, "hello", "door 0\nhello");
        let everywhere = port(&lines[1]);
        let mut second = if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            connect(SocketAddr::from((Ipv6Addr::LOCALHOST, everywhere)))
        } else {
            connect(SocketAddr::from(([127, 0, 0, 1], everywhere)))
        };
        ask(&mut second, "hello", "door 1\nhello");
        let mut third = UnixStream::connect(&path).expect("connected");
        third.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let counters = rest(&mut third);
        assert!(counters.starts_with('{') && counters.contains("\"connections_opened\":3"), "{counters}");
        drop((first, second, third));
        server.stop();
        assert!(!path.exists(), "the file goes with its server");
    });
}

#[test]
fn proxy_passes_both_directions_and_their_ends_on() {
    on_each_driver(|driver| {
        let (target, serving) = echo_once();
        let proxy = Program::start("proxy", driver, &[ADDRESS, &target.to_string()]);
        let mut client = proxy.connect();
        ask(&mut client, "there and back", "there and back");
        client.write_all(b"again").expect("sent");
        client.shutdown(Shutdown::Write).expect("ended");
        assert_eq!(rest(&mut client), "again");
        serving.join().expect("the target saw an orderly end");
        drop(client);
        proxy.stop();
    });
}

#[test]
fn proxy_makes_a_reset_of_a_reset() {
    on_each_driver(|driver| {
        let listener = TcpListener::bind(ADDRESS).expect("an address");
        let target = listener.local_addr().expect("bound");
        let proxy = Program::start("proxy", driver, &[ADDRESS, &target.to_string()]);
        let mut client = proxy.connect();
        client.write_all(b"x").expect("sent");
        // Closed with a byte unread: a reset.
        let (upstream, _) = listener.accept().expect("a connection");
        upstream.peek(&mut [0]).expect("a byte");
        drop(upstream);
        let error = client.read(&mut [0]).expect_err("no orderly end");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        drop(listener);
        let mut refused = proxy.connect();
        let error = refused.read(&mut [0]).expect_err("no orderly end");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        proxy.stop();
    });
}
