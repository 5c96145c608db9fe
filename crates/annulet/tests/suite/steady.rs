//! Many connections, for a long time or for a short one: what one takes it gives back, what is idle costs next to nothing.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use annulet::time::sleep;
use annulet::{Clocks, Connection, HandlerResult, Server};
use socket2::{Domain, Socket, Type};

use crate::support::helper::{Helper, hear, say, told};
use crate::support::*;

/// A connection from one of many loopback addresses: one of them alone has too few ports for those in TIME_WAIT.
fn connect_from(number: usize, address: SocketAddr) -> TcpStream {
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 1 + (number / 200 % 200) as u8, 1 + (number % 200) as u8));
    let socket = Socket::new(Domain::IPV4, Type::STREAM.cloexec(), None).expect("socket");
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    socket.bind(&SocketAddr::new(source, 0).into()).expect("bind");
    loop {
        match socket.connect(&address.into()) {
            Ok(()) => break,
            // The accept queue overflows for a moment.
            Err(error)
                if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::AddrNotAvailable) =>
            {
                std::thread::yield_now();
            }
            Err(error) => panic!("connect: {error}"),
        }
    }
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).expect("read timeout");
    stream
}

/// Waits for input or the drain, whichever comes first, and echoes.
async fn echo_until_drained(mut connection: Connection) -> HandlerResult {
    loop {
        let received = {
            let mut draining = pin!(connection.draining());
            std::future::poll_fn(|cx| Poll::Ready(draining.as_mut().poll(cx).is_ready())).await
        };
        if received {
            return Ok(());
        }
        match connection.recv().await? {
            Some(chunk) => connection.send(chunk).await?,
            None => return Ok(()),
        }
    }
}

/// 200,000 connections when it counts.
#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    const CLIENTS: usize = 4;
    let connections: usize = scaled(2_000, 200_000);
    each_driver_alone(|builder| {
        run(builder, async {
            let server = serve(echo_until_drained).await;
            let address = address(&server);
            let churn = move |connections: usize| async move {
                static NUMBER: AtomicUsize = AtomicUsize::new(0);
                let client = move || {
                    for round in 0..connections / CLIENTS {
                        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                        let mut client = connect_from(number, address);
                        exchange(&mut client, &[b'x'; 200][..1 + round % 200]);
                    }
                };
                let clients: Vec<_> = (0..CLIENTS).map(|_| thread(client)).collect();
                for client in clients {
                    client.await;
                }
                until("every connection closed", || counter("connections_open") == 0).await;
            };
            churn(connections / 2).await;
            let figures = || {
                (descriptors(), counter("buffers_total"), counter("buffers_leased"), counter("tasks_live"))
            };
            let (before, memory) = (figures(), Memory::now());
            let start = Instant::now();
            churn(connections).await;
            let grown = memory.grown();
            println!(
                "{connections} connections in {:?}: memory grew by {} KiB",
                start.elapsed(),
                grown >> 10
            );
            assert_eq!(figures(), before, "descriptors, buffers, leases, tasks");
            assert!(grown < 256 << 10, "memory grew by {grown}");
            assert_eq!(
                counter("connections_opened"),
                (connections / 2 / CLIENTS + connections / CLIENTS) as u64 * CLIENTS as u64
            );
            stop(server).await;
        });
    });
}

/// What a helper does: as many connections as it is told, a message on each, and another one when the test says so.
fn idle_clients(told: &str) {
    let (address, count) = told.split_once(' ').expect("address and count");
    let (address, count): (SocketAddr, usize) =
        (address.parse().expect("address"), count.parse().expect("count"));
    let mut clients = Vec::new();
    for number in 0..count {
        let mut client = connect_from(number, address);
        exchange(&mut client, b"hello");
        clients.push(client);
    }
    say("connected");
    while let Some(word) = hear() {
        clients.iter_mut().for_each(|client| client.write_all(word.as_bytes()).expect("write"));
        for client in &mut clients {
            assert_eq!(read_exactly(client, word.len()), word.as_bytes());
        }
        say("answered");
    }
}

async fn in_helper(mut helper: Helper, step: impl FnOnce(&mut Helper) + Send + 'static) -> Helper {
    thread(move || {
        step(&mut helper);
        helper
    })
    .await
}

/// Bytes of resident memory an idle connection may take, the pool included: the specification's figure in a release build.
fn idle_bytes_max() -> usize {
    if cfg!(debug_assertions) { 4_000 } else { 600 }
}

/// 10,000 connections and ten seconds when it counts.
#[test]
fn idle_connections_cost_little_memory_and_no_system_call() {
    let connections: usize = scaled(1_000, 10_000);
    let idle = scaled(Duration::from_secs(2), Duration::from_secs(10));
    each_driver_alone(|builder| {
        if let Some(told) = told() {
            return idle_clients(&told);
        }
        run(builder, async {
            // Of the clocks only this one would look at connections that have said something.
            let clocks = Clocks::default().setup(None);
            let server = Server::builder().clocks(clocks).listen("127.0.0.1:0", echo).start().await;
            let server = server.expect("a server");
            let address = address(&server);
            // One connection first, so that what is set up once is not counted.
            thread(move || exchange(&mut connect(address), b"hello")).await;
            until("it closed", || counter("connections_open") == 0).await;
            let before = Memory::now();
            let helpers = (connections / 5_000).max(1);
            let mut waiting = Vec::new();
            for _ in 0..helpers {
                let helper = Helper::start(&format!("{address} {}", connections / helpers));
                waiting.push(in_helper(helper, |helper| helper.wait_for("connected")).await);
            }
            assert_eq!(counter("connections_open"), connections as u64);
            if full() {
                sleep(Duration::from_secs(30)).await;
            }
            let each = before.grown() / connections;
            println!("{connections} idle connections: {each} bytes of resident memory each");
            assert!(each <= idle_bytes_max(), "{each} bytes for each idle connection");
            assert_eq!(counter("buffers_leased"), 0);
            // The test's own sleep is one turn and one enter; nobody else causes any.
            let (turns, enters) = (counter("turns"), counter("enters"));
            sleep(idle).await;
            let (turns, enters) = (counter("turns") - turns, counter("enters") - enters);
            println!("{turns} turns and {enters} enters in {idle:?}");
            assert!(turns <= 2, "{turns} turns while idle");
            assert!(enters <= 2, "{enters} enters while idle");
            let mut helpers = Vec::new();
            for helper in waiting {
                let again = |helper: &mut Helper| {
                    helper.tell("again");
                    helper.wait_for("answered");
                };
                helpers.push(in_helper(helper, again).await);
            }
            thread(move || helpers.into_iter().for_each(Helper::finish)).await;
            until("every connection closed", || counter("connections_open") == 0).await;
            stop(server).await;
        });
    });
}
