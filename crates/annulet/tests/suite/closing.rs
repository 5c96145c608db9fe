//! Ends in order: of one side, of both. What was said before the end arrives.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;

use annulet::net::TcpListener;
use annulet::{Clocks, Connection, Error, Limits, Server, spawn_local};

use crate::support::*;
use crate::watched::watched;

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
                assert_eq!(read_all(&mut client), b"");
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
