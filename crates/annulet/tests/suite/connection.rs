//! Reading and writing, call by call: what each returns, and what its limits do.

use std::io::Write;
use std::net::Shutdown;

use annulet::net::TcpListener;
use annulet::{Connection, Error, Limits, Payload, Server, spawn_local};
use bytes::Bytes;

use crate::support::*;

/// A connection of ours and its peer, on a listener of its own.
async fn pair() -> (Connection, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let client = connect(listener.local_addr().expect("address"));
    let (stream, _) = listener.accept().await.expect("accept");
    (stream.into_connection(), client)
}

#[test]
fn reading_takes_exactly_what_it_says() {
    each_driver(|builder| {
        run(builder, async {
            let (mut connection, mut client) = pair().await;
            client.write_all(b"0123456789").expect("write");
            // Looking takes nothing.
            assert_eq!(connection.fill_buf().await, Ok(&b"0123456789"[..]));
            assert_eq!(connection.fill_buf().await, Ok(&b"0123456789"[..]));
            connection.consume(0);
            connection.consume(2);
            assert_eq!(connection.fill_buf().await, Ok(&b"23456789"[..]));
            let mut three = [0; 3];
            assert_eq!(connection.read(&mut three).await, Ok(3));
            assert_eq!(&three, b"234");
            assert_eq!(connection.read(&mut []).await, Ok(0));
            connection.read_exact(&mut three).await.expect("bytes");
            assert_eq!(&three, b"567");
            connection.read_exact(&mut []).await.expect("nothing");
            // What was looked at and not taken comes first.
            assert_eq!(&*connection.recv().await.expect("recv").expect("bytes"), b"89");
            client.write_all(b"ab").expect("write");
            client.shutdown(Shutdown::Write).expect("shutdown");
            assert_eq!(connection.read_exact(&mut three).await, Err(Error::UnexpectedEnd));
            assert_eq!(connection.fill_buf().await, Ok(&b""[..]));
            assert_eq!(connection.read(&mut three).await, Ok(0));
            assert!(connection.recv().await.expect("recv").is_none());
        });
    });
}

#[test]
#[should_panic(expected = "consume more than fill_buf showed")]
fn consuming_more_than_was_shown_is_a_bug() {
    run(annulet::Runtime::builder().reactors(1), async {
        let (mut connection, mut client) = pair().await;
        client.write_all(b"ab").expect("write");
        connection.fill_buf().await.expect("bytes");
        connection.consume(3);
    });
}

#[test]
fn every_kind_of_payload_leaves_in_order() {
    each_driver(|builder| {
        run(builder, async {
            let (mut connection, mut client) = pair().await;
            client.write_all(b"chunk ").expect("write");
            let chunk = connection.recv().await.expect("recv").expect("bytes");
            let shared = Bytes::from(vec![b'.'; 3]);
            connection.send(chunk).await.expect("send");
            connection.send("text ").await.expect("send");
            connection.send(b"array ").await.expect("send");
            connection.send(&b"slice "[..]).await.expect("send");
            connection.send(vec![b'v', b' ']).await.expect("send");
            connection.send(String::from("string ")).await.expect("send");
            connection.send(shared.clone()).await.expect("send");
            assert_eq!(connection.write(b" copied").await, Ok(7));
            assert_eq!(connection.write(b"").await, Ok(0));
            connection.send(Payload::from(shared)).await.expect("send");
            connection.send(Vec::new()).await.expect("nothing");
            connection.stage("").expect("nothing");
            connection.shutdown().await.expect("shutdown");
            thread(move || {
                assert_eq!(read_all(&mut client), b"chunk text array slice v string ... copied...");
            })
            .await;
        });
    });
}

/// All that one turn staged leaves in one send: a burst of answers is one segment, not one each.
#[test]
fn what_one_turn_stages_leaves_in_one_send() {
    each_driver(|builder| {
        run(builder, async {
            let (mut connection, mut client) = pair().await;
            for pieces in [1, 2, 10] {
                let sends = counter("sends");
                for piece in 0..pieces {
                    connection.send(vec![b'0' + piece as u8; 10]).await.expect("send");
                    connection.write_all(b"!").await.expect("write");
                }
                connection.flush().await.expect("flush");
                // Payloads and copies in between: more slices than one call takes may need two.
                let sends = counter("sends") - sends;
                assert!(sends <= 1 + pieces / 8, "{pieces} pieces left in {sends} sends");
                client = thread(move || {
                    read_exactly(&mut client, 11 * pieces as usize);
                    client
                })
                .await;
            }
        });
    });
}

/// With room for 1000 bytes: one payload over it when nothing else is staged, never two; `write` takes what fits.
#[test]
fn the_unsent_limit_is_kept_as_documented() {
    each_driver(|builder| {
        run(builder, async {
            let limits = Limits::default().unsent_max(1000);
            let server = Server::builder()
                .limits(limits)
                .listen("127.0.0.1:0", async |mut connection: Connection| {
                    connection.recv().await?;
                    // Within one turn nothing leaves, so the counts are exact.
                    assert_eq!(connection.write(&[b'a'; 600]).await, Ok(600));
                    assert_eq!(connection.write(&[b'b'; 600]).await, Ok(400));
                    // Full: each of these waits for room, and room comes.
                    assert_eq!(connection.write(b"c").await, Ok(1));
                    connection.flush().await?;
                    connection.send(vec![b'd'; 5000]).await?;
                    connection.send(vec![b'e'; 5000]).await?;
                    connection.reserve(999).await?;
                    connection.stage(vec![b'f'; 999])?;
                    connection.reserve(1_000_000).await?;
                    connection.stage(vec![b'g'; 10])?;
                    Ok(())
                })
                .start()
                .await
                .expect("a server");
            let address = address(&server);
            let bytes = thread(move || {
                let mut client = connect(address);
                client.write_all(b"x").expect("write");
                read_all(&mut client)
            })
            .await;
            let expected: Vec<u8> =
                [(b'a', 600), (b'b', 400), (b'c', 1), (b'd', 5000), (b'e', 5000), (b'f', 999), (b'g', 10)]
                    .into_iter()
                    .flat_map(|(byte, count)| vec![byte; count])
                    .collect();
            assert_eq!(bytes, expected);
            assert!(counter("writers_waited") >= 2);
            assert_eq!(counter("handlers_failed") + counter("handlers_panicked"), 0);
            stop(server).await;
        });
    });
}

/// Payloads have a number limit beside their bytes: the smallest ones cannot be piled up without end.
#[test]
fn a_pile_of_tiny_payloads_makes_its_writer_wait_and_arrives_in_order() {
    const PIECES: usize = 20_000;
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                connection.send(vec![b'x'; 16 << 20]).await?;
                for piece in 0..PIECES {
                    connection.send(vec![(piece % 251) as u8]).await?;
                }
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect_narrow(address, 8192);
                assert!(read_exactly(&mut client, 16 << 20).iter().all(|byte| *byte == b'x'));
                let pieces = read_all(&mut client);
                assert_eq!(pieces.len(), PIECES);
                assert!(pieces.iter().enumerate().all(|(index, byte)| *byte == (index % 251) as u8));
            })
            .await;
            stop(server).await;
        });
    });
}

/// More clients than an acceptor keeps, on a listener that is asked once: it stops accepting, and loses none of them.
#[test]
fn a_listener_that_is_not_asked_for_long_loses_nobody() {
    const CLIENTS: usize = 700;
    each_driver(|builder| {
        run(builder, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
            let address = listener.local_addr().expect("address");
            let asked = thread(move || connect(address)).await;
            let (first, _) = listener.accept().await.expect("accept");
            drop((asked, first));
            let clients = thread(move || {
                let client = |number: u32| {
                    let mut client = connect(address);
                    client.write_all(&number.to_be_bytes()).expect("write");
                    client
                };
                (0..CLIENTS as u32).map(client).collect::<Vec<_>>()
            })
            .await;
            // Let the reactor accept what it will.
            let accepted = || counter("accepted");
            until("some accepted", || accepted() >= 256).await;
            assert!(accepted() < CLIENTS as u64, "all were accepted though nobody asked");
            let mut handlers = Vec::new();
            for _ in 0..CLIENTS {
                let (stream, _) = listener.accept().await.expect("accept");
                handlers.push(spawn_local(echo(stream.into_connection())));
            }
            thread(move || {
                for (number, mut client) in (0..).zip(clients) {
                    let number: u32 = number;
                    assert_eq!(read_exactly(&mut client, 4), number.to_be_bytes());
                }
            })
            .await;
            for handler in handlers {
                handler.await.expect("no panic").expect("echo");
            }
        });
    });
}

/// `accept` takes a shared reference, so several tasks may wait on one listener.
#[test]
fn every_task_that_waits_on_a_listener_gets_its_client() {
    const TASKS: usize = 5;
    each_driver(|builder| {
        run(builder, async {
            let listener = std::rc::Rc::new(TcpListener::bind("127.0.0.1:0").await.expect("listener"));
            let address = listener.local_addr().expect("address");
            let acceptors: Vec<_> = (0..TASKS)
                .map(|_| {
                    let listener = listener.clone();
                    spawn_local(async move {
                        let (stream, _) = listener.accept().await.expect("accept");
                        echo(stream.into_connection()).await
                    })
                })
                .collect();
            // All of them wait before anybody comes, and one gives up.
            let given_up = spawn_local({
                let listener = listener.clone();
                async move { listener.accept().await.map(drop) }
            });
            for _ in 0..10 {
                annulet::yield_now().await;
            }
            given_up.abort();
            for _ in 0..TASKS {
                thread(move || exchange(&mut connect(address), b"hello")).await;
            }
            for acceptor in acceptors {
                acceptor.await.expect("no panic").expect("echo");
            }
        });
    });
}

/// A connection outlives the server's interest in it: closing a listener does not touch what it accepted.
#[test]
fn connections_live_on_when_their_listener_is_dropped() {
    each_driver(|builder| {
        run(builder, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
            let address = listener.local_addr().expect("address");
            let mut client = connect(address);
            let (stream, _) = listener.accept().await.expect("accept");
            let waiting = connect(address);
            drop(listener);
            let handler = spawn_local(echo(stream.into_connection()));
            thread(move || {
                exchange(&mut client, b"hello");
                // The one that nobody accepted is told.
                let mut waiting = waiting;
                end_of(&mut waiting);
            })
            .await;
            handler.await.expect("no panic").expect("echo");
        });
    });
}
