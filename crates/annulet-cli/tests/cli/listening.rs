//! Addresses, and the start line that tells them.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;

use crate::client::{Client, converse};
use crate::drivers::{has_uring, on_each_driver};
use crate::process::{Finished, PATIENCE, Server, failed, free_port, run, serve};

/// A path for a socket of one test.
fn socket_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("annulet-test-{}-{name}.sock", std::process::id()))
}

#[track_caller]
fn converse_unix(path: &PathBuf) {
    let mut stream = UnixStream::connect(path).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(b"over a file").expect("sent");
    stream.shutdown(Shutdown::Write).expect("ended");
    let mut received = String::new();
    stream.read_to_string(&mut received).expect("the end");
    assert_eq!(received, "over a file");
}

#[test]
fn the_start_line_tells_addresses_driver_and_reactors() {
    let server = Server::start(&["echo", "--driver", "epoll"]);
    let port = server.address().port();
    assert_ne!(port, 0);
    let expected = format!("listening on 127.0.0.1:{port} - driver epoll, as asked - 2 reactors");
    assert_eq!(server.start_line, expected);
    let finished = server.stop();
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), ""));

    if has_uring() {
        let server = Server::start(&["echo"]);
        assert!(server.start_line.contains(" - driver io_uring ("), "{}", server.start_line);
        assert!(server.start_line.contains("), as it works here - 2 reactors"), "{}", server.start_line);
        server.stop_cleanly();
    }
}

#[test]
fn every_address_is_listened_at() {
    on_each_driver(|driver| {
        let path = socket_path(&format!("several-{driver}"));
        let unix = format!("unix:{}", path.display());
        let server = Server::start_on(
            driver,
            &["echo", "--listen", "127.0.0.1:0", "--listen", &unix, "--listen", "127.0.0.1:0"],
        );
        let addresses = server.addresses();
        assert_eq!((addresses.len(), addresses[1]), (3, unix.as_str()));
        for address in [addresses[0], addresses[2]] {
            converse(address.parse().expect("an address"), b"hello", b"hello");
        }
        converse_unix(&path);
        server.stop_cleanly();
        assert!(!path.exists(), "the socket file goes with its server");
    });
}

#[test]
fn a_port_alone_is_ipv4_and_ipv6() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["echo", "--listen", ":0"]);
        let port = server.address().port();
        converse(([127, 0, 0, 1], port).into(), b"four", b"four");
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            converse((Ipv6Addr::LOCALHOST, port).into(), b"six", b"six");
        } else {
            eprintln!("not tested over IPv6, which this machine does not have");
        }
        server.stop_cleanly();
    });
}

#[test]
fn a_second_server_on_the_address_is_told_so() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["echo"]);
        let address = server.address().to_string();
        let second = run(&["serve", "lines", "--listen", &address, "--driver", driver]);
        failed(&second, &["in use", &address, "--share-port"]);
        converse(server.address(), b"still there", b"still there");
        server.stop_cleanly();
    });
}

#[test]
fn two_servers_may_agree_to_share_a_port() {
    on_each_driver(|driver| {
        let address = format!("127.0.0.1:{}", free_port());
        let shared = ["echo", "--share-port", "--listen", &address];
        let first = Server::start_on(driver, &shared);
        let second = Server::start_on(driver, &shared);
        first.stop_cleanly();
        converse(second.address(), b"the other is here", b"the other is here");
        second.stop_cleanly();
    });
}

#[test]
fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
    on_each_driver(|driver| {
        let path = socket_path(&format!("stale-{driver}"));
        let unix = format!("unix:{}", path.display());
        // Closing a listener leaves its file behind.
        drop(UnixListener::bind(&path).expect("bound"));
        assert!(path.exists());
        let server = Server::start_on(driver, &["echo", "--listen", &unix]);
        converse_unix(&path);
        failed(&run(&["serve", "echo", "--listen", &unix, "--driver", driver]), &["in use", &unix]);
        converse_unix(&path);
        server.stop_cleanly();
    });
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let path = socket_path("file");
    fs::write(&path, "precious").expect("written");
    let unix = format!("unix:{}", path.display());
    failed(&run(&["serve", "echo", "--listen", &unix]), &[&unix]);
    assert_eq!(fs::read_to_string(&path).expect("read"), "precious");
    fs::remove_file(&path).expect("removed");
}

#[test]
fn an_address_that_cannot_be_had_is_one_line_with_a_way_out() {
    failed(&run(&["serve", "echo", "--listen", "192.0.2.1:0"]), &["192.0.2.1:0", "ip addr"]);
    let missing = "unix:/annulet-test-no-such-folder/a\nb";
    failed(&run(&["serve", "echo", "--listen", missing]), &["no-such-folder/a\\nb", "folder"]);
}

#[test]
fn a_driver_that_is_refused_is_one_line_with_the_reason() {
    if !has_uring() {
        failed(&run(&["serve", "echo", "--driver", "uring"]), &["io_uring cannot be used", "--driver"]);
    }
    // One descriptor more than stdin, stdout and stderr is too few for a ring and its self-test.
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 4; exec \"$@\"", "sh"]);
    let server = serve(&["echo", "--driver", "uring"]);
    shell.arg(server.get_program()).args(server.get_args());
    failed(&Finished::from(shell.output().expect("a shell")), &["io_uring cannot be used", "--driver auto"]);
}

#[test]
fn one_connection_more_than_allowed_is_closed_and_counted() {
    on_each_driver(|driver| {
        let mut server = Server::start_on(driver, &["echo", "--max-connections", "2"]);
        let mut clients: Vec<Client> = (0..2).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send("in");
            client.expect("in");
        }
        server.connect().expect_gone();
        assert_eq!(server.counter("refused_over_limit"), 1);
        drop(clients.pop());
        server.await_counter("connections_closed", 1);
        converse(server.address(), b"room again", b"room again");
        drop(clients);
        server.stop_cleanly();
    });
}
