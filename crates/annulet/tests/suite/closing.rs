//! Ends: of one side, of both, in order and by force. What was said before the end arrives.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annulet::net::TcpListener;
use annulet::time::timeout;
use annulet::{Clocks, Connection, Error, HandlerError, Limits, Server, spawn_local};
use socket2::SockRef;

use crate::support::*;

/// Ends a client's connection by a reset.
fn reset(client: TcpStream) {
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    drop(client);
}

/// The error the last handler ended with.
#[derive(Clone, Default)]
struct Outcome(Arc<Mutex<Option<Result<(), Error>>>>);

impl Outcome {
    fn note(&self, result: &Result<(), Error>) {
        *self.0.lock().expect("outcome") = Some(*result);
    }

    async fn get(&self) -> Result<(), Error> {
        until("a handler that ends", || self.0.lock().expect("outcome").is_some()).await;
        self.0.lock().expect("outcome").take().expect("just seen")
    }
}

/// A server whose handler's error is kept.
async fn watched<H>(builder: annulet::net::ServerBuilder, handler: H) -> (Server, Outcome)
where
    H: AsyncFn(Connection) -> Result<(), Error> + Clone + Send + 'static,
{
    let outcome = Outcome::default();
    let noted = outcome.clone();
    let handler = move |connection: Connection| {
        let (noted, handler) = (noted.clone(), handler.clone());
        async move {
            let result = handler(connection).await;
            noted.note(&result);
            Ok(result?)
        }
    };
    let server = builder.listen("127.0.0.1:0", handler).start().await.expect("a server");
    (server, outcome)
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

/// The client writes and ends on the reactor's own thread, so all of it lies in the kernel before the server looks.
#[test]
fn a_byte_and_the_end_that_came_before_the_server_looked_arrive_in_order() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                assert_eq!(&*connection.recv().await?.expect("a byte"), b"x");
                assert!(connection.recv().await?.is_none());
                assert!(connection.recv().await?.is_none(), "the end stays the end");
                connection.send(b"seen").await?;
                Ok(())
            })
            .await;
            let mut clients: Vec<_> = (0..50).map(|_| connect(address(&server))).collect();
            for client in &mut clients {
                client.write_all(b"x").expect("write");
                client.shutdown(Shutdown::Write).expect("shutdown");
            }
            thread(move || clients.iter_mut().for_each(|client| assert_eq!(read_all(client), b"seen"))).await;
            stop(server).await;
        });
    });
}

/// The same where the connection itself waits in the accept queue until all is said.
#[test]
fn a_byte_and_the_end_that_came_before_the_accept_arrive_in_order() {
    each_driver(|builder| {
        run(builder, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
            let mut client = connect(listener.local_addr().expect("address"));
            client.write_all(b"x").expect("write");
            client.shutdown(Shutdown::Write).expect("shutdown");
            let (mut stream, peer) = listener.accept().await.expect("accept");
            assert_eq!(peer, client.local_addr().expect("address"));
            assert_eq!(&*stream.recv().await.expect("a byte").expect("a byte"), b"x");
            assert!(stream.recv().await.expect("the end").is_none());
        });
    });
}

#[test]
fn a_response_is_sent_in_full_to_a_peer_that_ended_its_side() {
    const RESPONSE: usize = 8 << 20;
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                while connection.recv().await?.is_some() {}
                connection.send(Pattern::new(1).take(RESPONSE)).await?;
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                client.write_all(b"request").expect("write");
                client.shutdown(Shutdown::Write).expect("shutdown");
                let response = read_all(&mut client);
                assert_eq!(response.len(), RESPONSE);
                Pattern::new(1).check(&response);
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn a_side_that_was_shut_down_still_receives() {
    const UPLOAD: usize = 4 << 20;
    each_driver(|builder| {
        run(builder, async {
            let (server, outcome) = watched(Server::builder(), async |mut connection: Connection| {
                connection.send(b"bye").await?;
                connection.shutdown().await?;
                assert_eq!(connection.write(b"more").await, Err(Error::BrokenPipe));
                assert_eq!(connection.send(b"more").await, Err(Error::BrokenPipe));
                connection.shutdown().await?;
                let mut pattern = Pattern::new(2);
                while let Some(chunk) = connection.recv().await? {
                    pattern.check(&chunk);
                }
                assert_eq!(pattern.position(), UPLOAD as u64);
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                assert_eq!(read_all(&mut client), b"bye");
                client.write_all(&Pattern::new(2).take(UPLOAD)).expect("write");
            })
            .await;
            assert_eq!(outcome.get().await, Ok(()));
            stop(server).await;
        });
    });
}

#[test]
fn halves_work_in_two_tasks_and_make_a_whole_again() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |connection: Connection| {
                let number = connection.number();
                let (mut reading, mut writing) = connection.split();
                // One task waits for input all the while the other one writes.
                let reader = spawn_local(async move {
                    let mut bytes = vec![0; 1 << 20];
                    reading.read_exact(&mut bytes).await?;
                    Pattern::new(3).check(&bytes);
                    Ok::<_, Error>(reading)
                });
                let writer = spawn_local(async move {
                    writing.write_all(&Pattern::new(4).take(1 << 20)).await?;
                    Ok::<_, Error>(writing)
                });
                let (reading, writing) = (reader.await??, writer.await??);
                let mut whole = reading.reunite(writing).expect("halves of one connection");
                assert_eq!(whole.number(), number);
                assert_eq!(&*whole.recv().await?.expect("bytes"), b"whole?");
                whole.send(b"whole!").await?;
                assert!(whole.recv().await?.is_none());
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                let mut writer = client.try_clone().expect("clone");
                let writing = std::thread::spawn(move || {
                    writer.write_all(&Pattern::new(3).take(1 << 20)).expect("write");
                });
                Pattern::new(4).check(&read_exactly(&mut client, 1 << 20));
                writing.join().expect("writing");
                client.write_all(b"whole?").expect("write");
                assert_eq!(read_exactly(&mut client, 6), b"whole!");
                client.shutdown(Shutdown::Write).expect("shutdown");
                assert_eq!(read_all(&mut client), []);
            })
            .await;
            assert_eq!(counter("handlers_failed") + counter("handlers_panicked"), 0);
            stop(server).await;
        });
    });
}

#[test]
fn a_dropped_write_half_ends_its_side_and_a_dropped_read_half_does_not() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                let which = connection.recv().await?.expect("bytes");
                let (mut reading, mut writing) = connection.split();
                if *which == *b"w" {
                    writing.send(b"last").await?;
                    drop(writing);
                    assert_eq!(&*reading.recv().await?.expect("bytes"), b"still heard");
                } else {
                    drop(reading);
                    writing.send(b"still said").await?;
                }
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                client.write_all(b"w").expect("write");
                assert_eq!(read_all(&mut client), b"last");
                client.write_all(b"still heard").expect("write");
                drop(client);
                let mut client = connect(address);
                client.write_all(b"r").expect("write");
                assert_eq!(read_all(&mut client), b"still said");
            })
            .await;
            assert_eq!(counter("handlers_failed") + counter("handlers_panicked"), 0);
            stop(server).await;
        });
    });
}

#[test]
fn halves_of_two_connections_do_not_make_a_whole() {
    each_driver(|builder| {
        run(builder, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
            let address = listener.local_addr().expect("address");
            let clients = [connect(address), connect(address)];
            let (first, _) = listener.accept().await.expect("accept");
            let (second, _) = listener.accept().await.expect("accept");
            let (reading, _) = first.into_connection().split();
            let (_, writing) = second.into_connection().split();
            let (reading, writing) = reading.reunite(writing).expect_err("two connections");
            assert_ne!(reading.number(), writing.number());
            drop(clients);
        });
    });
}

/// A client that is still sending must be able to read the answer: closing with unread input would reset it.
#[test]
fn the_last_response_is_not_eaten_by_a_reset_while_the_client_still_sends() {
    each_driver(|builder| {
        run(builder, async {
            let limits = Limits::default().unread_max(4096);
            let builder = Server::builder().limits(limits);
            let (server, outcome) = watched(builder, async |mut connection: Connection| {
                connection.recv().await?;
                connection.send(b"too long").await
            })
            .await;
            let address = address(&server);
            // On this thread: all of it is there before the server looks, more than it takes in.
            let mut clients: Vec<_> = (0..20).map(|_| connect(address)).collect();
            clients.iter_mut().for_each(|client| client.write_all(&[b'x'; 40_000]).expect("write"));
            thread(move || {
                for client in &mut clients {
                    client.write_all(&[b'x'; 10_000]).expect("more");
                    assert_eq!(end_of(client), (b"too long".to_vec(), End::Finished));
                }
            })
            .await;
            assert_eq!(outcome.get().await, Ok(()));
            until("every linger ends with the client's end", || counter("connections_open") == 0).await;
            assert_eq!(counter("timeouts_linger"), 0, "a client's end was overlooked");
            assert_eq!(counter("linger_overruns") + counter("resets_sent"), 0);
            stop(server).await;
        });
    });
}

/// Many a client reads nothing before it has sent everything.
#[test]
fn a_response_reaches_a_peer_that_first_sends_everything_though_the_handler_has_left() {
    const SENT: usize = 24 << 20;
    const RESPONSE: usize = 16 << 20;
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                connection.recv().await?;
                connection.send(vec![b'r'; RESPONSE]).await?;
                // Long enough for receiving to stop.
                until("a full house", || counter("receive_paused") > 0).await;
                Ok(())
            })
            .await;
            let address = address(&server);
            let all_taken = Gate::new();
            let taken = all_taken.clone();
            let client = thread(move || {
                let mut client = connect(address);
                client.write_all(&vec![b'x'; SENT]).expect("write");
                client.shutdown(Shutdown::Write).expect("shutdown");
                // What is under way after the server's own end would count towards the linger's 64 KiB.
                taken.block();
                assert_eq!(read_all(&mut client).len(), RESPONSE);
            });
            until("everything taken", || counter("bytes_received") == SENT as u64).await;
            all_taken.open();
            client.await;
            assert_eq!(counter("timeouts_write"), 0);
            stop(server).await;
        });
    });
}

#[test]
fn a_linger_ends_after_64_kib_of_what_nobody_wants() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                connection.recv().await?;
                connection.send(b"enough").await?;
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                client.write_all(b"x").expect("write");
                assert_eq!(read_all(&mut client), b"enough");
                let error = loop {
                    if let Err(error) = client.write_all(&[b'x'; 10_000]) {
                        break error;
                    }
                };
                assert!(
                    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
                    "{error}"
                );
            })
            .await;
            until("the connection closed", || counter("connections_open") == 0).await;
            assert_eq!(counter("linger_overruns"), 1);
            assert_eq!(counter("timeouts_linger"), 0);
            stop(server).await;
        });
    });
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

/// With `linger` off the connection closes at once; the figure is that of the option's documentation.
#[test]
fn without_a_linger_clock_the_connection_closes_at_once() {
    each_driver(|builder| {
        run(builder, async {
            let clocks = Clocks::default().linger(None);
            let builder = Server::builder().clocks(clocks);
            let (server, outcome) = watched(builder, async |mut connection: Connection| {
                connection.recv().await?;
                connection.send(b"bye").await
            })
            .await;
            let address = address(&server);
            let client = thread(move || {
                let mut client = connect(address);
                client.write_all(b"x").expect("write");
                assert_eq!(read_all(&mut client), b"bye");
                client
            })
            .await;
            assert_eq!(outcome.get().await, Ok(()));
            until("the connection closed", || counter("connections_open") == 0).await;
            drop(client);
            stop(server).await;
        });
    });
}
