//! Ends by force: aborts, panics, handlers that fail, peers that reset. The neighbours do not notice.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::pin::pin;
use std::time::Duration;

use annulet::time::timeout;
use annulet::{Connection, Error, HandlerError, Server, spawn_local};
use socket2::SockRef;

use crate::support::*;
use crate::watched::watched;

/// Ends a client's connection by a reset.
fn reset(client: TcpStream) {
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    drop(client);
}

/// Someone else's conversation, which is to go on whatever happens beside it.
struct Neighbour(TcpStream);

impl Neighbour {
    fn of(address: SocketAddr) -> Self {
        let mut neighbour = Self(connect(address));
        neighbour.is_well();
        neighbour
    }

    fn is_well(&mut self) {
        exchange(&mut self.0, b"neighbour");
    }
}

#[test]
fn an_aborted_connection_is_reset_and_its_neighbours_are_well() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                while let Some(chunk) = connection.recv().await? {
                    if *chunk == *b"abort" {
                        connection.send(b"never sent").await?;
                        connection.abort();
                        return Ok(());
                    }
                    connection.send(chunk).await?;
                }
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut neighbour = Neighbour::of(address);
                let mut client = connect(address);
                client.write_all(b"abort").expect("write");
                assert_eq!(end_of(&mut client), (vec![], End::Reset));
                neighbour.is_well();
            })
            .await;
            assert_eq!(counter("resets_sent"), 1);
            assert_eq!(counter("connections_undelivered"), 1);
            assert_eq!(counter("bytes_undelivered"), 10);
            assert_eq!(counter("handlers_failed") + counter("handlers_panicked"), 0);
            stop(server).await;
        });
    });
}

#[test]
fn a_panicking_handler_resets_its_connection_and_its_neighbours_are_well() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                while let Some(chunk) = connection.recv().await? {
                    connection.send(chunk.to_vec()).await?;
                    assert!(*chunk != *b"panic", "as the client asked");
                }
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut neighbour = Neighbour::of(address);
                for _ in 0..3 {
                    let mut client = connect(address);
                    exchange(&mut client, b"hello");
                    client.write_all(b"panic").expect("write");
                    assert_eq!(end_of(&mut client).1, End::Reset);
                    neighbour.is_well();
                }
            })
            .await;
            assert_eq!(counter("handlers_panicked"), 3);
            assert_eq!(counter("resets_sent"), 3);
            assert_eq!(counter("handlers_failed"), 0);
            stop(server).await;
        });
    });
}

/// The peer must not take half an answer for a whole one, even when the other half of the connection lives on.
#[test]
fn a_panic_in_the_task_of_one_half_resets_the_connection() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |connection: Connection| {
                let (mut reading, mut writing) = connection.split();
                let writer = spawn_local(async move {
                    writing.send(b"half an ans").await?;
                    writing.flush().await?;
                    if writing.number() > 0 {
                        panic!("in the middle of the answer");
                    }
                    Ok::<_, Error>(())
                });
                assert!(writer.await.is_err_and(|error| error.is_panic()));
                assert_eq!(reading.recv().await.map(|chunk| chunk.is_some()), Err(Error::Aborted));
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || assert_eq!(end_of(&mut connect(address)).1, End::Reset)).await;
            until("the connection closed", || counter("connections_open") == 0).await;
            assert_eq!(counter("resets_sent"), 1);
            assert_eq!(counter("handlers_panicked") + counter("handlers_failed"), 0);
            stop(server).await;
        });
    });
}

#[test]
fn a_handler_that_fails_ends_in_order_and_is_counted() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                connection.recv().await?;
                connection.send(b"sorry").await?;
                Err(HandlerError::message("as expected"))
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                client.write_all(b"x").expect("write");
                assert_eq!(end_of(&mut client), (b"sorry".to_vec(), End::Finished));
            })
            .await;
            assert_eq!(counter("handlers_failed"), 1);
            assert_eq!(counter("resets_sent"), 0);
            stop(server).await;
        });
    });
}

/// How a handler is told to end while a narrow client reads nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leave {
    /// Gives up in the middle of a write and fails.
    HalfWritten,
    /// Gives up in the middle of a write and is content.
    Content,
    /// Fails when all is staged, of which the kernel took a part.
    Staged,
    /// Finishes after a wait, and fails then.
    Written,
}

/// The peer is not to take half a message for a whole one.
#[test]
fn a_handler_that_fails_in_the_middle_of_a_write_resets_and_any_other_ends_in_order() {
    const MESSAGE: usize = 16 << 20;
    each_driver(|builder| {
        for leave in [Leave::HalfWritten, Leave::Content, Leave::Staged, Leave::Written] {
            run(builder.clone(), async {
                let given_up = Gate::new();
                let server = serve({
                    let given_up = given_up.clone();
                    async move |mut connection: Connection| {
                        let message = Pattern::new(6).take(MESSAGE);
                        if leave == Leave::Staged {
                            connection.send(message).await?;
                            // The kernel has taken a part, and no more.
                            timeout(Duration::from_millis(50), connection.flush()).await.expect_err("narrow");
                        } else {
                            let mut writing = pin!(connection.write_all(&message));
                            timeout(Duration::from_millis(50), &mut writing).await.expect_err("narrow");
                            if leave == Leave::Written {
                                given_up.open();
                                writing.await?;
                            }
                        }
                        given_up.open();
                        if leave == Leave::Content {
                            return Ok(());
                        }
                        Err(HandlerError::message("as expected"))
                    }
                })
                .await;
                let address = address(&server);
                let client = thread(move || connect_narrow(address, 4096)).await;
                given_up.passed().await;
                if leave == Leave::HalfWritten {
                    // Else the client would take from the kernel what the server is about to throw away.
                    until("the connection closed", || counter("connections_open") == 0).await;
                }
                let (received, end) = thread(move || end_of(&mut { client })).await;
                Pattern::new(6).check(&received);
                let is_all = received.len() == MESSAGE;
                match leave {
                    Leave::HalfWritten => assert_eq!((is_all, end), (false, End::Reset)),
                    Leave::Content => assert_eq!((is_all, end), (false, End::Finished)),
                    Leave::Staged | Leave::Written => assert_eq!((is_all, end), (true, End::Finished)),
                }
                assert_eq!(counter("resets_sent"), u64::from(leave == Leave::HalfWritten));
                assert_eq!(counter("handlers_failed"), u64::from(leave != Leave::Content));
                stop(server).await;
            });
        }
    });
}

#[test]
fn a_handler_that_never_waits_ends_in_order() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                connection.stage(b"read this")?;
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                for _ in 0..20 {
                    let mut client = connect(address);
                    client.write_all(b"unread").expect("write");
                    client.shutdown(Shutdown::Write).expect("shutdown");
                    assert_eq!(end_of(&mut client), (b"read this".to_vec(), End::Finished));
                }
            })
            .await;
            assert_eq!(counter("handlers_failed"), 0);
            stop(server).await;
        });
    });
}

#[test]
fn a_reset_by_the_peer_reaches_a_handler_that_waits_for_input() {
    each_driver(|builder| {
        run(builder, async {
            let (server, outcome) = watched(Server::builder(), async |mut connection: Connection| {
                while let Some(chunk) = connection.recv().await? {
                    connection.send(chunk).await?;
                }
                Ok(())
            })
            .await;
            let address = address(&server);
            let mut neighbour = thread(move || {
                let mut neighbour = Neighbour::of(address);
                let mut client = connect(address);
                exchange(&mut client, b"hello");
                reset(client);
                neighbour.is_well();
                neighbour
            })
            .await;
            assert_eq!(outcome.get().await, Err(Error::Reset));
            assert_eq!(counter("resets_received"), 1);
            assert_eq!(counter("connections_undelivered"), 0);
            thread(move || neighbour.is_well()).await;
            stop(server).await;
        });
    });
}

#[test]
fn a_reset_by_the_peer_reaches_a_handler_that_waits_to_write_and_what_is_lost_is_counted() {
    each_driver(|builder| {
        run(builder, async {
            let (server, outcome) = watched(Server::builder(), async |mut connection: Connection| {
                connection.recv().await?;
                let error = loop {
                    if let Err(error) = connection.write_all(&[b'x'; 100_000]).await {
                        break error;
                    }
                };
                // Sticky: everything that follows says the same.
                assert_eq!(connection.write(b"x").await, Err(error));
                assert_eq!(connection.send(b"x").await, Err(error));
                assert_eq!(connection.stage(b"x"), Err(error));
                assert_eq!(connection.reserve(1).await, Err(error));
                assert_eq!(connection.flush().await, Err(error));
                assert_eq!(connection.shutdown().await, Err(error));
                assert_eq!(connection.recv().await.map(drop), Err(error));
                Err(error)
            })
            .await;
            let address = address(&server);
            let client = thread(move || {
                let mut client = connect_narrow(address, 4096);
                client.write_all(b"x").expect("write");
                client
            })
            .await;
            until("a writer that waits", || counter("writers_waited") > 0).await;
            reset(client);
            assert_eq!(outcome.get().await, Err(Error::Reset));
            assert_eq!(counter("resets_received"), 1);
            assert_eq!(counter("connections_undelivered"), 1);
            assert!(counter("bytes_undelivered") > 0);
            stop(server).await;
        });
    });
}

/// A server that floods clients which reset at some moment or other: nothing leaks, nobody else notices.
#[test]
fn peers_may_reset_at_any_point() {
    let rounds = scaled(60, 2_000);
    each_driver(|builder| {
        run(builder.reactors(2), async move {
            let server = serve(echo).await;
            let address = address(&server);
            thread(move || {
                let mut neighbour = Neighbour::of(address);
                for round in 0..rounds {
                    let mut client = connect(address);
                    let sent = round * 997 % 70_000;
                    let writer = client.try_clone().expect("clone");
                    let writing = std::thread::spawn(move || {
                        // Cut off somewhere by the reset.
                        let _ = (&writer).write_all(&vec![b'x'; sent]);
                    });
                    let mut read = vec![0; 1 + round * 613 % 50_000];
                    if sent > 0 {
                        let count = client.read(&mut read).expect("read");
                        assert!(count > 0);
                    }
                    SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
                    let _ = client.shutdown(Shutdown::Read);
                    writing.join().expect("writing");
                    drop(client);
                    if round % 16 == 0 {
                        neighbour.is_well();
                    }
                }
                neighbour.is_well();
            })
            .await;
            until("all but the neighbour closed", || counter("connections_open") == 0).await;
            assert_eq!(counter("handlers_panicked"), 0);
            stop(server).await;
        });
    });
}

/// Bytes that cannot be delivered are counted when the handler is gone and nobody is left to be told.
#[test]
fn a_reset_after_the_handler_left_is_counted() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                connection.recv().await?;
                connection.send(vec![b'x'; 16 << 20]).await?;
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect_narrow(address, 4096);
                client.write_all(b"x").expect("write");
                read_exactly(&mut client, 1);
                reset(client);
            })
            .await;
            until("the connection closed", || counter("connections_open") == 0).await;
            assert_eq!(counter("connections_undelivered"), 1);
            assert!(counter("bytes_undelivered") > 1 << 20);
            stop(server).await;
        });
    });
}
