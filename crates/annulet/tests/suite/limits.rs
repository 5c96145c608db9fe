//! What is refused, what is paused, and how both recover.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use annulet::proto::lines::{LineError, Lines};
use annulet::{Connection, FramedError, Server};

use crate::support::*;

/// True when the server closes the connection instead of answering.
fn is_refused(address: SocketAddr) -> bool {
    let mut client = connect(address);
    let _ = client.write_all(b"hello");
    let mut bytes = [0; 5];
    !matches!(client.read(&mut bytes), Ok(5))
}

#[test]
fn connections_over_the_limit_are_closed_at_once_and_those_within_are_served() {
    const LIMIT: usize = 10;
    each_driver(|builder| {
        run(builder.reactors(2), async {
            // The limit is one for all listeners and reactors.
            let server = Server::builder()
                .connections_max(LIMIT)
                .listen("127.0.0.1:0", echo)
                .listen("127.0.0.1:0", echo)
                .start()
                .await
                .expect("a server");
            let addresses: Vec<_> = server.addresses().iter().map(|a| a.as_tcp().expect("TCP")).collect();
            let mut clients = thread({
                let addresses = addresses.clone();
                move || {
                    let mut clients: Vec<_> = (0..LIMIT).map(|n| connect(addresses[n % 2])).collect();
                    clients.iter_mut().for_each(|client| exchange(client, b"hello"));
                    for n in 0..LIMIT {
                        assert!(is_refused(addresses[n % 2]), "connection {} was served", LIMIT + n + 1);
                    }
                    clients.iter_mut().for_each(|client| exchange(client, b"still here"));
                    clients
                }
            })
            .await;
            assert_eq!(counter("refused_over_limit"), LIMIT as u64);
            assert_eq!(counter("connections_open"), LIMIT as u64);
            // Three go, three may come.
            clients.truncate(LIMIT - 3);
            until("room for three", || counter("connections_open") == LIMIT as u64 - 3).await;
            thread(move || {
                let mut more: Vec<_> = (0..3).map(|n| connect(addresses[n % 2])).collect();
                more.iter_mut().for_each(|client| exchange(client, b"hello"));
                assert!(is_refused(addresses[0]));
                clients.iter_mut().for_each(|client| exchange(client, b"still here"));
            })
            .await;
            stop(server).await;
            assert_eq!(counter("connections_open"), 0);
        });
    });
}

async fn lines_until_too_long(connection: Connection) -> annulet::HandlerResult {
    let mut lines = connection.framed(Lines::new(10));
    loop {
        match lines.recv().await {
            Ok(Some(line)) => lines.send(line.bytes).await?,
            Ok(None) => return Ok(()),
            Err(FramedError::Codec(LineError::TooLong { .. })) => {
                return Ok(lines.send("ERR line too long").await?);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[test]
fn an_over_long_line_gets_an_error_line_and_a_close() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(lines_until_too_long).await;
            let address = address(&server);
            thread(move || {
                let mut neighbour = connect(address);
                exchange(&mut neighbour, b"short\n");
                for sent in
                    [&b"short\n0123456789\n01234567890\nmore\n"[..], b"short\n0123456789\n01234567890"]
                {
                    let mut client = connect(address);
                    client.write_all(sent).expect("write");
                    assert_eq!(read_all(&mut client), b"short\n0123456789\nERR line too long\n");
                }
                // Binary garbage without any line end is no different, however much of it.
                let mut client = connect(address);
                client.write_all(&[0xff; 30_000]).expect("write");
                client.shutdown(Shutdown::Write).expect("shutdown");
                assert_eq!(read_all(&mut client), b"ERR line too long\n");
                exchange(&mut neighbour, b"well\n");
            })
            .await;
            assert_eq!(counter("messages_refused"), 3);
            assert_eq!(counter("handlers_failed") + counter("handlers_panicked"), 0);
            stop(server).await;
        });
    });
}

/// Takes every descriptor there is, but for `spare` of them.
fn take_descriptors(spare: usize) -> Vec<File> {
    let mut taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    taken.truncate(taken.len() - spare);
    taken
}

/// Goal: without descriptors the server neither spins nor ends; it takes up the waiting client when one is free again,
/// whoever freed it. Method: under a low limit all descriptors are taken but one, and a client takes that.
#[test]
fn without_descriptors_accepting_pauses_and_resumes_and_everybody_else_is_served() {
    isolated_under("ulimit -n 100", || {
        each_driver(|builder| {
            run(builder, async {
                // Accepting must fail for want of a descriptor, not be refused by the connection limit.
                let server = Server::builder()
                    .connections_max(1000)
                    .listen("127.0.0.1:0", echo)
                    .start()
                    .await
                    .expect("a server");
                let address = address(&server);
                let mut served: Vec<TcpStream> = thread(move || {
                    let mut served: Vec<_> = (0..5).map(|_| connect(address)).collect();
                    served.iter_mut().for_each(|client| exchange(client, b"hello"));
                    served
                })
                .await;
                for freed_by_us in [false, true] {
                    let mut taken = take_descriptors(1);
                    let waiting = thread(move || connect(address)).await;
                    let paused = counter("accept_paused");
                    until("a pause", || counter("accept_paused") > paused).await;
                    // One tenth of a second between two attempts; each takes a turn or two.
                    let (turns, enters) = (counter("turns"), counter("enters"));
                    served = thread(move || {
                        std::thread::sleep(std::time::Duration::from_millis(500));
                        served.iter_mut().for_each(|client| exchange(client, b"still here"));
                        served
                    })
                    .await;
                    let (turns, enters) = (counter("turns") - turns, counter("enters") - enters);
                    println!("{turns} turns and {enters} enters in half a second without descriptors");
                    assert!(turns < 100, "{turns} turns: it spins");
                    if freed_by_us {
                        // The client's end, then the server's.
                        drop(served.pop());
                    } else {
                        taken.pop();
                    }
                    let mut waiting = waiting;
                    let waiting = thread(move || {
                        exchange(&mut waiting, b"at last");
                        waiting
                    })
                    .await;
                    served.push(waiting);
                    drop(taken);
                    served = thread(move || {
                        served.push(connect(address));
                        served.iter_mut().for_each(|client| exchange(client, b"still here"));
                        served
                    })
                    .await;
                }
                drop(served);
                stop(server).await;
            });
        });
    });
}

/// Descriptors run out with clients waiting, and then the server is told to stop: the drain must come to its end.
#[test]
fn a_server_without_descriptors_can_be_stopped() {
    isolated_under("ulimit -n 100", || {
        each_driver(|builder| {
            run(builder, async {
                let server =
                    Server::builder().connections_max(1000).listen("127.0.0.1:0", echo).start().await;
                let server = server.expect("a server");
                let address = address(&server);
                let mut served = thread(move || {
                    let mut served = connect(address);
                    exchange(&mut served, b"hello");
                    served
                })
                .await;
                let taken = take_descriptors(1);
                let waiting = thread(move || connect(address)).await;
                until("a pause", || counter("accept_paused") > 0).await;
                let ended = thread(move || {
                    served.shutdown(Shutdown::Write).expect("shutdown");
                    read_all(&mut served)
                });
                assert!(server.stop().await.is_clean());
                assert_eq!(ended.await, b"");
                drop((taken, waiting));
            });
        });
    });
}

/// Clients wait in the accept queue for want of descriptors when the stop comes: each connection that ends makes room for
/// the next, and every one of them is served.
#[test]
fn a_stop_without_descriptors_serves_the_accept_queue_as_connections_end() {
    const SERVED: usize = 3;
    const WAITING: usize = 12;
    isolated_under("ulimit -n 100", || {
        each_driver(|builder| {
            run(builder, async {
                let server = Server::builder().connections_max(1000).listen("127.0.0.1:0", echo);
                let server = server.start().await.expect("a server");
                let address = address(&server);
                let served = thread(move || {
                    let mut served: Vec<_> = (0..SERVED).map(|_| connect(address)).collect();
                    served.iter_mut().for_each(|client| exchange(client, b"hello"));
                    served
                })
                .await;
                let taken = take_descriptors(WAITING);
                // On the reactor's own thread: it accepts none of them meanwhile, and then it cannot.
                let mut waiting: Vec<_> = (0..WAITING).map(|_| connect(address)).collect();
                waiting.iter_mut().for_each(|client| client.write_all(b"in the queue").expect("write"));
                until("a pause", || counter("accept_paused") > 0).await;
                let ends = thread(move || {
                    for mut client in served {
                        assert_eq!(end_of(&mut client), (vec![], End::Finished));
                    }
                    for mut client in waiting {
                        assert_eq!(end_of(&mut client), (b"in the queue".to_vec(), End::Finished));
                    }
                });
                let report = server.stop().await;
                assert_eq!((report.connections, report.cut), ((SERVED + WAITING) as u64, 0));
                ends.await;
                assert_eq!(counter("resets_sent") + counter("connections_cut"), 0);
                drop(taken);
            });
        });
    });
}

/// Until the deadline. Who could not be accepted by then is reset and counted, with the descriptors of those cut before.
#[test]
fn a_stop_without_descriptors_ends_at_its_deadline_and_counts_whom_it_left_out() {
    isolated_under("ulimit -n 100", || {
        each_driver(|builder| {
            run(builder, async {
                let deaf = async |mut connection: Connection| {
                    connection.recv().await?;
                    std::future::pending().await
                };
                let server = Server::builder()
                    .connections_max(1000)
                    .drain_timeout(Duration::from_millis(300))
                    .listen("127.0.0.1:0", deaf)
                    .start()
                    .await
                    .expect("a server");
                let mut clients = vec![connect(address(&server))];
                until("a connection", || counter("connections_open") == 1).await;
                let taken = take_descriptors(4);
                clients.extend((0..4).map(|_| connect(address(&server))));
                until("a pause", || counter("accept_paused") > 0).await;
                clients.iter_mut().for_each(|client| client.write_all(b"x").expect("write"));
                let report = server.stop().await;
                assert_eq!((report.connections, report.cut), (5, 5));
                assert_eq!(counter("connections_cut"), 5);
                assert_eq!(counter("resets_sent"), 5);
                thread(move || {
                    clients.iter_mut().for_each(|client| assert_eq!(end_of(client).1, End::Reset))
                })
                .await;
                drop(taken);
            });
        });
    });
}

/// Where nobody waits, a descriptor is not missed.
#[test]
fn a_stop_without_descriptors_and_clients_is_at_once() {
    isolated_under("ulimit -n 100", || {
        each_driver(|builder| {
            run(builder, async {
                let server = Server::builder().drain_timeout(Duration::MAX).listen("127.0.0.1:0", echo);
                let server = server.start().await.expect("a server");
                let taken = take_descriptors(0);
                let report = server.stop().await;
                assert_eq!((report.connections, report.cut), (0, 0));
                drop(taken);
            });
        });
    });
}
