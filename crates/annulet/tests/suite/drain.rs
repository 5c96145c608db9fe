//! The end of a server: whom it still serves, whom it tells, whom it cuts.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use annulet::proto::lines::Lines;
use annulet::time::{now, sleep, timeout};
use annulet::{Clocks, Connection, HandlerResult, ListenOptions, Server, spawn_local};

use crate::support::*;

async fn answer_lines(connection: Connection) -> HandlerResult {
    let mut lines = connection.framed(Lines::new(1000));
    while let Some(line) = lines.recv().await? {
        lines.send(line.bytes).await?;
    }
    Ok(())
}

/// Requests that came before the stop are answered, then comes an orderly end.
fn is_answered(client: &mut TcpStream, request: &[u8]) {
    assert_eq!(end_of(client), (request.to_vec(), End::Finished));
}

#[test]
fn clients_in_the_accept_queue_are_served_when_the_stop_comes() {
    const CLIENTS: usize = 100;
    each_driver(|builder| {
        for reactors in [1, 2] {
            run(builder.clone().reactors(reactors), async {
                let server = serve(answer_lines).await;
                let address = address(&server);
                // On the reactor's own thread: it accepts none of them before it hears of the stop.
                let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect(address)).collect();
                clients.iter_mut().for_each(|client| client.write_all(b"in the queue\n").expect("write"));
                let answered = thread(move || {
                    clients.iter_mut().for_each(|client| is_answered(client, b"in the queue\n"));
                });
                let report = server.stop().await;
                assert_eq!((report.connections, report.cut), (CLIENTS as u64, 0));
                answered.await;
                assert_eq!(counter("resets_sent") + counter("connections_undelivered"), 0);
                assert_eq!(counter("connections_open"), 0);
            });
        }
    });
}

#[test]
fn what_was_received_before_the_stop_is_answered_and_the_idle_see_an_end() {
    each_driver(|builder| {
        run(builder.reactors(2), async {
            let server = serve(answer_lines).await;
            let address = address(&server);
            let (mut busy, mut idle) = thread(move || {
                let mut clients: Vec<_> = (0..40).map(|_| connect(address)).collect();
                clients.iter_mut().for_each(|client| exchange(client, b"hello\n"));
                let idle = clients.split_off(20);
                (clients, idle)
            })
            .await;
            busy.iter_mut().for_each(|client| client.write_all(b"one\ntwo\nthree\n").expect("write"));
            let ends = thread(move || {
                busy.iter_mut().for_each(|client| is_answered(client, b"one\ntwo\nthree\n"));
                idle.iter_mut().for_each(|client| is_answered(client, b""));
            });
            let report = server.stop().await;
            assert_eq!((report.connections, report.cut), (40, 0));
            ends.await;
            assert_eq!(counter("resets_sent") + counter("connections_undelivered"), 0);
        });
    });
}

/// The drain is not the peer's end: half a message is not to be taken for a whole one.
#[test]
fn half_a_message_is_not_answered_when_the_drain_cuts_it_short() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(answer_lines).await;
            let address = address(&server);
            let mut client = thread(move || {
                let mut client = connect(address);
                client.write_all(b"whole\nha").expect("write");
                assert_eq!(read_exactly(&mut client, 6), b"whole\n");
                client
            })
            .await;
            let end = thread(move || is_answered(&mut client, b""));
            assert!(server.stop().await.is_clean());
            end.await;
        });
    });
}

/// But the peer's own end is one, also during the drain.
#[test]
fn a_last_line_without_its_end_is_answered_when_it_is_the_peer_that_ended() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(answer_lines).await;
            let mut client = connect(address(&server));
            client.write_all(b"whole\nlast").expect("write");
            client.shutdown(Shutdown::Write).expect("shutdown");
            let end = thread(move || is_answered(&mut client, b"whole\nlast\n"));
            assert!(server.stop().await.is_clean());
            end.await;
        });
    });
}

#[test]
fn a_handler_is_told_of_the_drain_and_may_say_farewell() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                connection.send(b"hello").await?;
                connection.draining().await;
                assert!(connection.is_draining());
                connection.draining().await;
                connection.send(b"farewell").await?;
                Ok(())
            })
            .await;
            let address = address(&server);
            let mut client = thread(move || {
                let mut client = connect(address);
                assert_eq!(read_exactly(&mut client, 5), b"hello");
                client
            })
            .await;
            let end = thread(move || is_answered(&mut client, b"farewell"));
            let report = server.stop().await;
            assert_eq!((report.connections, report.cut), (1, 0));
            end.await;
        });
    });
}

/// As a protocol would do it: whichever comes first, with the wait for the drain made anew each time.
#[test]
fn waiting_for_the_drain_beside_input_works_as_often_as_it_is_done() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                loop {
                    let is_draining = {
                        let mut draining = pin!(connection.draining());
                        std::future::poll_fn(|cx| Poll::Ready(draining.as_mut().poll(cx).is_ready())).await
                    };
                    if is_draining {
                        connection.send(b"farewell").await?;
                        return Ok(());
                    }
                    if let Ok(chunk) = timeout(Duration::from_millis(5), connection.recv()).await {
                        match chunk? {
                            Some(chunk) => connection.send(chunk).await?,
                            None if connection.is_draining() => {}
                            None => return Ok(()),
                        }
                    }
                }
            })
            .await;
            let address = address(&server);
            let mut client = thread(move || {
                let mut client = connect(address);
                (0..100).for_each(|_| exchange(&mut client, b"hello"));
                client
            })
            .await;
            let end = thread(move || is_answered(&mut client, b"farewell"));
            assert!(server.stop().await.is_clean());
            end.await;
        });
    });
}

#[test]
fn handlers_that_ignore_the_drain_are_cut_at_the_deadline_and_reported() {
    // The polite client must have ended by then, however busy the machine is.
    const DEADLINE: Duration = Duration::from_secs(3);
    each_driver(|builder| {
        run(builder.reactors(2), async {
            let server = Server::builder()
                .drain_timeout(DEADLINE)
                .listen("127.0.0.1:0", async |mut connection: Connection| {
                    match &*connection.recv().await?.expect("bytes") {
                        b"deaf" => sleep(Duration::MAX).await,
                        // Waits for a peer that reads nothing.
                        b"flood" => loop {
                            connection.write_all(&[b'x'; 100_000]).await?;
                        },
                        _ => echo(connection).await?,
                    }
                    Ok(())
                })
                .start()
                .await
                .expect("a server");
            let address = address(&server);
            let mut clients = thread(move || {
                let said = |words: &[u8]| {
                    let mut client = connect_narrow(address, 4096);
                    client.write_all(words).expect("write");
                    client
                };
                vec![said(b"deaf"), said(b"deaf"), said(b"flood"), said(b"polite")]
            })
            .await;
            until("a flood", || counter("writers_waited") > 0 && counter("connections_open") == 4).await;
            let mut polite = clients.pop().expect("four");
            let end = thread(move || is_answered(&mut polite, b""));
            // The reactor's clock: it stands still within a turn, and this one may have been long.
            let start = now();
            let report = server.stop().await;
            let took = now() - start;
            assert!(took >= DEADLINE && took < DEADLINE * 10, "{took:?}");
            assert_eq!((report.connections, report.cut), (4, 3));
            assert_eq!(counter("connections_cut"), 3);
            assert_eq!(counter("connections_open"), 0);
            assert_eq!(counter("resets_sent"), 3);
            end.await;
            thread(move || clients.iter_mut().for_each(|client| assert_eq!(end_of(client).1, End::Reset)))
                .await;
        });
    });
}

/// All was said and the handlers are gone; only the clients' ends are waited for. Nothing is cut by not waiting longer, and
/// a reset could cost a client the last bytes.
#[test]
fn connections_that_linger_at_the_deadline_close_in_order_and_are_not_cut() {
    each_driver(|builder| {
        run(builder.reactors(2), async {
            let server = Server::builder()
                .clocks(Clocks::default().linger(Some(Duration::MAX)))
                .drain_timeout(Duration::from_millis(200))
                .listen("127.0.0.1:0", async |mut connection: Connection| {
                    if *connection.recv().await?.expect("bytes") == *b"deaf" {
                        sleep(Duration::MAX).await;
                    }
                    connection.send(b"goodbye").await?;
                    Ok(())
                })
                .start()
                .await
                .expect("a server");
            let address = address(&server);
            let (mut lingering, mut deaf) = thread(move || {
                let said = |words: &[u8]| {
                    let mut client = connect(address);
                    client.write_all(words).expect("write");
                    client
                };
                let mut lingering: Vec<_> = (0..10).map(|_| said(b"hello")).collect();
                // Half of them read up to the server's FIN, the others nothing yet.
                lingering.iter_mut().take(5).for_each(|client| assert_eq!(read_all(client), b"goodbye"));
                (lingering, said(b"deaf"))
            })
            .await;
            until("all said", || counter("bytes_sent") == 70).await;
            let report = server.stop().await;
            assert_eq!((report.connections, report.cut), (11, 1));
            assert_eq!(counter("connections_cut"), 1);
            assert_eq!(counter("resets_sent"), 1);
            assert_eq!(counter("timeouts_linger"), 0);
            thread(move || {
                lingering
                    .drain(..5)
                    .for_each(|mut client| assert_eq!(end_of(&mut client), (vec![], End::Finished)));
                for mut client in lingering {
                    assert_eq!(end_of(&mut client), (b"goodbye".to_vec(), End::Finished));
                }
                assert_eq!(end_of(&mut deaf).1, End::Reset);
            })
            .await;
        });
    });
}

#[test]
fn a_drain_may_be_cut_short() {
    each_driver(|builder| {
        run(builder, async {
            let told = Gate::new();
            let server = serve({
                let told = told.clone();
                move |connection: Connection| {
                    let told = told.clone();
                    async move {
                        connection.draining().await;
                        told.open();
                        sleep(Duration::MAX).await;
                        Ok(())
                    }
                }
            })
            .await;
            let address = address(&server);
            let mut client = thread(move || connect(address)).await;
            until("a connection", || counter("connections_open") == 1).await;
            let cutter = server.cutter();
            let stopping = spawn_local(server.stop());
            told.passed().await;
            assert!(!stopping.is_finished());
            cutter.cut();
            let report = stopping.await.expect("no panic");
            assert_eq!((report.connections, report.cut), (1, 1));
            thread(move || assert_eq!(end_of(&mut client).1, End::Reset)).await;
        });
    });
}

#[test]
fn a_server_that_is_aborted_or_dropped_resets_its_connections() {
    each_driver(|builder| {
        for how in ["abort", "drop", "drop while stopping"] {
            run(builder.clone().reactors(2), async {
                let server = serve(async |mut connection: Connection| {
                    connection.recv().await?;
                    sleep(Duration::MAX).await;
                    Ok(())
                })
                .await;
                let address = address(&server);
                let mut client = thread(move || {
                    let mut client = connect(address);
                    client.write_all(b"x").expect("write");
                    client
                })
                .await;
                until("a connection", || counter("connections_open") == 1).await;
                match how {
                    "abort" => assert_eq!(server.abort().await.cut, 1),
                    "drop" => drop(server),
                    _ => drop(
                        timeout(Duration::from_millis(20), server.stop()).await.expect_err("nobody leaves"),
                    ),
                }
                thread(move || assert_eq!(end_of(&mut client).1, End::Reset)).await;
                until("no connection", || counter("connections_open") == 0).await;
                // On the other reactor, too, a moment later.
                let refused = |error: std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
                until("nobody listens", || TcpStream::connect(address).is_err_and(refused)).await;
            });
        }
    });
}

#[test]
fn a_server_starts_again_at_its_address_after_a_stop() {
    each_driver(|builder| {
        run(builder.reactors(2), async {
            let first = serve(echo).await;
            let address = address(&first);
            for round in 0..5 {
                let server = if round == 0 {
                    None
                } else {
                    let options = ListenOptions::new(address);
                    Some(Server::builder().listen_with(options, echo).start().await.expect("again"))
                };
                let mut client = thread(move || {
                    let mut client = connect(address);
                    exchange(&mut client, b"hello");
                    client
                })
                .await;
                // The server ends first: its side of the connection is left in TIME_WAIT.
                let end = thread(move || is_answered(&mut client, b""));
                match server {
                    Some(server) => stop(server).await,
                    None => continue_with(&first).await,
                }
                end.await;
            }
        });
    });
}

/// Drains a server that is still needed by its name.
async fn continue_with(server: &Server) {
    server.start_drain();
    until("it is drained", || counter("connections_open") == 0).await;
}

/// Clients that talk all the while: each request that was sent in whole is answered, or the connection ends in order
/// before it was.
#[test]
fn a_stop_under_load_resets_nobody() {
    const CLIENTS: usize = 16;
    each_driver(|builder| {
        run(builder.reactors(2), async {
            let server = serve(answer_lines).await;
            let address = address(&server);
            let answered = Arc::new(AtomicU64::new(0));
            let clients = thread(move || (0..CLIENTS).map(|_| connect(address)).collect::<Vec<_>>()).await;
            let clients: Vec<_> = clients
                .into_iter()
                .map(|mut client| {
                    let answered = answered.clone();
                    thread(move || {
                        let line = b"a line of some length, as requests are\n";
                        loop {
                            // Our own end may be known already; then there is nobody to write to.
                            if client.write_all(line).is_err() {
                                return;
                            }
                            let mut answer = vec![0; line.len()];
                            match client.read_exact(&mut answer) {
                                Ok(()) => assert_eq!(answer, line),
                                Err(error) => {
                                    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
                                    return;
                                }
                            }
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            until("some load", || {
                answered.load(Ordering::Relaxed) > 500 && counter("connections_open") == CLIENTS as u64
            })
            .await;
            let report = server.stop().await;
            assert_eq!((report.connections, report.cut), (CLIENTS as u64, 0));
            for client in clients {
                client.await;
            }
            assert_eq!(counter("connections_undelivered"), 0);
            assert_eq!(counter("resets_sent"), 0);
        });
    });
}

/// A peer that never stops sending does not hold up the end, and the drain is bounded by its deadline.
#[test]
fn a_peer_that_never_stops_sending_does_not_hold_up_the_drain() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                while connection.recv().await?.is_some() {}
                Ok(())
            })
            .await;
            let address = address(&server);
            let flooding = thread(move || {
                let mut client = connect(address);
                while client.write_all(&[b'x'; 10_000]).is_ok() {}
            });
            until("a flood", || counter("bytes_received") > 1 << 20).await;
            let report = timeout(PATIENCE / 2, server.stop()).await.expect("a drain that ends");
            assert_eq!((report.connections, report.cut), (1, 0));
            flooding.await;
        });
    });
}
