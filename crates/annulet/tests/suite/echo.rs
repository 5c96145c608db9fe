//! Bytes come back: all of them, in order, however they are cut and whatever the pace of the peer.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use annulet::proto::length_prefixed::LengthPrefixed;
use annulet::{Connection, HandlerResult};

use crate::support::*;

/// Sends `total` bytes of a pattern in writes of `chunk` bytes, then ends, while reading them back in reads of at most
/// `read` bytes up to the end.
fn stream(mut stream: TcpStream, seed: u64, total: usize, chunk: usize, read: usize) {
    let mut writer = stream.try_clone().expect("clone");
    let sending = std::thread::spawn(move || {
        let mut pattern = Pattern::new(seed);
        let mut bytes = vec![0; chunk];
        let mut left = total;
        while left > 0 {
            let count = left.min(chunk);
            pattern.fill(&mut bytes[..count]);
            writer.write_all(&bytes[..count]).expect("write");
            left -= count;
        }
        writer.shutdown(Shutdown::Write).expect("shutdown");
    });
    let mut pattern = Pattern::new(seed);
    let mut bytes = vec![0; read];
    loop {
        match stream.read(&mut bytes).expect("read") {
            0 => break,
            count => pattern.check(&bytes[..count]),
        }
    }
    assert_eq!(pattern.position(), total as u64);
    sending.join().expect("the sending side");
}

async fn stream_many(address: SocketAddr, connections: u64, total: usize, chunk: usize, read: usize) {
    let clients: Vec<_> = (0..connections)
        .map(|seed| thread(move || stream(connect(address), seed, total, chunk, read)))
        .collect();
    for client in clients {
        client.await;
    }
}

async fn echo_by_copy(mut connection: Connection) -> HandlerResult {
    let mut buffer = [0; 3000];
    loop {
        match connection.read(&mut buffer).await? {
            0 => return Ok(()),
            count => connection.write_all(&buffer[..count]).await?,
        }
    }
}

async fn echo_by_look(mut connection: Connection) -> HandlerResult {
    loop {
        let bytes = connection.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        // Never all of it, so that the rest is looked at again.
        let count = bytes.len().div_ceil(2);
        let bytes = bytes[..count].to_vec();
        connection.consume(count);
        connection.send(bytes).await?;
    }
}

async fn echo_by_reserve(mut connection: Connection) -> HandlerResult {
    while let Some(chunk) = connection.recv().await? {
        let bytes = chunk.into_bytes();
        connection.reserve(bytes.len()).await?;
        connection.stage(bytes)?;
    }
    connection.flush().await?;
    connection.shutdown().await?;
    Ok(())
}

async fn check_echo<H>(handler: H)
where
    H: AsyncFn(Connection) -> HandlerResult + Clone + Send + 'static,
{
    let server = serve(handler).await;
    for (chunk, total) in [(1, 2_000), (7, 10_000), (100, 50_000), (4_096, 300_000), (9_000, 300_000)] {
        stream_many(address(&server), 8, total, chunk, 5_000).await;
    }
    stream_many(address(&server), 8, 1_000_000, 200_000, 100_000).await;
    assert_eq!(counter("connections_undelivered"), 0);
    assert_eq!(counter("handlers_failed"), 0);
    stop(server).await;
}

#[test]
fn every_byte_comes_back_whatever_the_chunk_size_when_leases_are_forwarded() {
    each_driver(|builder| run(builder, check_echo(echo)));
}

#[test]
fn every_byte_comes_back_when_bytes_are_copied() {
    each_driver(|builder| run(builder, check_echo(echo_by_copy)));
}

#[test]
fn every_byte_comes_back_when_bytes_are_looked_at_first() {
    each_driver(|builder| run(builder, check_echo(echo_by_look)));
}

#[test]
fn every_byte_comes_back_when_room_is_reserved_first() {
    each_driver(|builder| run(builder, check_echo(echo_by_reserve)));
}

#[test]
fn every_byte_comes_back_from_every_reactor() {
    each_driver(|builder| run(builder.reactors(3), check_echo(echo)));
}

#[test]
fn frames_come_back_whatever_their_size() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |connection: Connection| {
                let mut framed = connection.framed(LengthPrefixed::new());
                while let Some(frame) = framed.recv().await? {
                    framed.send(frame).await?;
                }
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                let mut pattern = Pattern::new(1);
                for size in [0, 1, 3, 4, 5, 4_091, 4_092, 4_093, 20_000, 100_000, 1 << 20, 2] {
                    let frame = pattern.take(size);
                    let mut message = u32::to_be_bytes(size as u32).to_vec();
                    message.extend_from_slice(&frame);
                    let mut writer = client.try_clone().expect("clone");
                    let sent = message.clone();
                    let sending = std::thread::spawn(move || writer.write_all(&sent).expect("write"));
                    assert_eq!(read_exactly(&mut client, message.len()), message);
                    sending.join().expect("the sending side");
                }
            })
            .await;
            stop(server).await;
        });
    });
}

/// 1 GiB over 4 connections when it counts.
#[test]
fn a_long_stream_is_byte_exact_and_memory_stays_bounded() {
    each_driver_alone(|builder| {
        run(builder, async {
            let server = serve(echo).await;
            let total = scaled(16 << 20, 256 << 20);
            stream_many(address(&server), 4, 1 << 20, 60_000, 60_000).await;
            let before = Memory::now();
            let start = std::time::Instant::now();
            stream_many(address(&server), 4, total, 60_000, 60_000).await;
            let grown = before.grown();
            println!(
                "4 × {} MiB echoed in {:?}, memory grew by {} KiB",
                total >> 20,
                start.elapsed(),
                grown >> 10
            );
            assert!(grown < 16 << 20, "memory grew by {grown}");
            assert_eq!(counter("connections_undelivered"), 0);
            stop(server).await;
        });
    });
}

/// The peer's window is a few KiB: the server's sends are refused again and again.
#[test]
fn a_peer_that_reads_1_kib_at_a_time_gets_every_byte_and_memory_stays_bounded() {
    each_driver_alone(|builder| {
        run(builder, async {
            let server = serve(async |connection: Connection| {
                // Or the kernel would take megabytes on behalf of the peer.
                connection.set_send_buffer_size(16 * 1024)?;
                echo(connection).await
            })
            .await;
            let total = scaled(2 << 20, 256 << 20);
            let before = Memory::now();
            let start = std::time::Instant::now();
            let address = address(&server);
            let clients: Vec<_> = (0..4)
                .map(|seed| thread(move || stream(connect_narrow(address, 4096), seed, total, 60_000, 1024)))
                .collect();
            for client in clients {
                client.await;
            }
            let grown = before.grown();
            println!(
                "4 × {} MiB echoed in {:?}, memory grew by {} KiB",
                total >> 20,
                start.elapsed(),
                grown >> 10
            );
            assert!(grown < 16 << 20, "memory grew by {grown}");
            assert!(counter("writers_waited") > 0, "nobody was slow");
            assert_eq!(counter("connections_undelivered"), 0);
            assert_eq!(counter("resets_sent") + counter("resets_received"), 0);
            stop(server).await;
        });
    });
}
