//! A buffer pool that is far too small closes nobody and loses nothing.

use std::io::Write;
use std::net::Shutdown;

use annulet::proto::length_prefixed::LengthPrefixed;
use annulet::{Builder, Chunk, Connection, DriverOptions, ListenOptions, Server};

use crate::support::*;

fn of_8_buffers(builder: Builder) -> Builder {
    builder.driver_options(DriverOptions::default().buffers(8).buffers_max(8))
}

fn nobody_was_closed() {
    assert_eq!(counter("connections_undelivered"), 0);
    assert_eq!(counter("handlers_failed") + counter("handlers_panicked"), 0);
    assert_eq!(counter("resets_sent") + counter("resets_received"), 0);
    assert_eq!(counter("buffers_total"), 8);
}

#[test]
fn a_hundred_connections_half_way_through_a_frame_all_finish_on_8_buffers() {
    const CONNECTIONS: usize = 100;
    const FRAME: usize = 10_000;
    each_driver(|builder| {
        run(of_8_buffers(builder), async {
            let server = serve(async |connection: Connection| {
                let mut framed = connection.framed(LengthPrefixed::new());
                while let Some(frame) = framed.recv().await? {
                    framed.send(frame).await?;
                }
                Ok(())
            })
            .await;
            let address = address(&server);
            let mut clients = thread(move || {
                let half_sent = |seed| {
                    let mut client = connect(address);
                    let mut message = u32::to_be_bytes(FRAME as u32).to_vec();
                    message.extend(Pattern::new(seed).take(FRAME));
                    client.write_all(&message[..FRAME / 2]).expect("write");
                    (client, message)
                };
                (0..CONNECTIONS as u64).map(half_sent).collect::<Vec<_>>()
            })
            .await;
            let halves = (CONNECTIONS * FRAME / 2) as u64;
            until("every half received", || counter("bytes_received") == halves).await;
            // The gauge is of the latest turn's beginning: handlers may just have been at work.
            until("no frame that waits for its rest holds a buffer", || counter("buffers_leased") == 0).await;
            thread(move || {
                for (client, message) in &mut clients {
                    client.write_all(&message[FRAME / 2..]).expect("write");
                }
                for (client, message) in &mut clients {
                    assert_eq!(read_exactly(client, message.len()), *message);
                }
            })
            .await;
            stop(server).await;
            nobody_was_closed();
        });
    });
}

/// All bursts lie in the kernel before the server looks: they are written on the reactor's own thread.
#[test]
fn bursts_of_many_connections_all_come_back_on_8_buffers() {
    const BURST: usize = 9_000;
    let connections = scaled(200, 2_000);
    each_driver(|builder| {
        run(of_8_buffers(builder), async {
            let options = ListenOptions::parse("127.0.0.1:0").expect("address").backlog(4096);
            let server = Server::builder().listen_with(options, echo).start().await.expect("server");
            let address = address(&server);
            let mut clients: Vec<_> = (0..connections).map(|_| connect(address)).collect();
            for (seed, client) in (0..).zip(&mut clients) {
                client.write_all(&Pattern::new(seed).take(BURST)).expect("write");
            }
            thread(move || {
                for (seed, mut client) in (0..).zip(clients) {
                    client.shutdown(Shutdown::Write).expect("shutdown");
                    let bytes = read_all(&mut client);
                    assert_eq!(bytes.len(), BURST);
                    Pattern::new(seed).check(&bytes);
                }
            })
            .await;
            let (copies, starved) = (counter("pressure_copies"), counter("starved_receives"));
            println!("{connections} bursts: {copies} copies under pressure, {starved} starved receives");
            assert!(copies + starved > 0, "the pool was never short");
            stop(server).await;
            nobody_was_closed();
        });
    });
}

#[test]
fn handlers_that_keep_every_chunk_starve_nobody_on_8_buffers() {
    const CONNECTIONS: u64 = 20;
    const KEPT: usize = 200_000;
    each_driver(|builder| {
        run(of_8_buffers(builder), async {
            let server = serve(async |mut connection: Connection| {
                let mut kept: Vec<Chunk> = Vec::new();
                while let Some(chunk) = connection.recv().await? {
                    kept.push(chunk);
                }
                for chunk in kept {
                    connection.send(chunk).await?;
                }
                Ok(())
            })
            .await;
            let address = address(&server);
            let client = |seed| {
                move || {
                    let mut client = connect(address);
                    client.write_all(&Pattern::new(seed).take(KEPT)).expect("write");
                    client.shutdown(Shutdown::Write).expect("shutdown");
                    let bytes = read_all(&mut client);
                    assert_eq!(bytes.len(), KEPT);
                    Pattern::new(seed).check(&bytes);
                }
            };
            let clients: Vec<_> = (0..CONNECTIONS).map(|seed| thread(client(seed))).collect();
            for client in clients {
                client.await;
            }
            assert!(counter("pressure_copies") > 0, "the pool was never short");
            stop(server).await;
            nobody_was_closed();
        });
    });
}

/// A connection that floods takes no more than its share: another one is answered meanwhile.
#[test]
fn a_flood_into_a_handler_that_does_not_read_leaves_buffers_to_others() {
    each_driver(|builder| {
        run(of_8_buffers(builder), async {
            let done = Gate::new();
            let server = serve({
                let done = done.clone();
                move |mut connection: Connection| {
                    let done = done.clone();
                    async move {
                        let first = connection.recv().await?.expect("bytes");
                        if first[0] == b'f' {
                            done.passed().await;
                            while connection.recv().await?.is_some() {}
                            return Ok(());
                        }
                        connection.send(first).await?;
                        echo(connection).await
                    }
                }
            })
            .await;
            let address = address(&server);
            let floods: Vec<_> = (0..8)
                .map(|_| {
                    thread(move || {
                        let mut client = connect(address);
                        client.write_all(&vec![b'f'; 1 << 20]).expect("write");
                        client.shutdown(Shutdown::Write).expect("shutdown");
                        assert_eq!(read_all(&mut client), b"");
                    })
                })
                .collect();
            until("floods that are held back", || counter("receive_paused") >= 8).await;
            thread(move || {
                let mut client = connect(address);
                for round in 0..20 {
                    exchange(&mut client, &[b'e'; 3000][..100 * (round + 1)]);
                }
            })
            .await;
            done.open();
            for flood in floods {
                flood.await;
            }
            stop(server).await;
            nobody_was_closed();
        });
    });
}
