//! Memory follows the bytes in flight and never exceeds its limits, however slow a handler or a peer is.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use annulet::Connection;

use crate::support::*;

/// The default limit on unread bytes, what one kernel pass may add to it, and a buffer.
const UNREAD_MAX: u64 = (64 + 128 + 4) * 1024;

/// Writes until the kernel takes no more for a while; returns how much it took.
fn write_until_blocked(stream: &mut TcpStream, pattern: &mut Pattern) -> usize {
    stream.set_nonblocking(true).expect("non-blocking");
    let mut written = 0;
    let mut refused = 0;
    let mut bytes = pattern.clone().take(32 * 1024);
    while refused < 100 {
        match stream.write(&bytes) {
            Ok(count) => {
                refused = 0;
                written += count;
                pattern.take(count);
                bytes = pattern.clone().take(32 * 1024);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refused += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => panic!("write: {error}"),
        }
    }
    stream.set_nonblocking(false).expect("blocking");
    written
}

#[test]
fn bytes_that_come_one_per_segment_stay_within_the_unread_limit() {
    each_driver_alone(|builder| {
        run(builder, async {
            let sent = Gate::new();
            let server = serve({
                let sent = sent.clone();
                move |mut connection: Connection| {
                    let sent = sent.clone();
                    async move {
                        connection.write_all(b"!").await?;
                        sent.passed().await;
                        let mut pattern = Pattern::new(1);
                        while let Some(chunk) = connection.recv().await? {
                            pattern.check(&chunk);
                        }
                        connection.write_all(&pattern.position().to_be_bytes()).await?;
                        Ok(())
                    }
                }
            })
            .await;
            let address = address(&server);
            let before = Memory::now();
            let mut client = thread(move || {
                let mut client = connect(address);
                read_exactly(&mut client, 1);
                let mut pattern = Pattern::new(1);
                for _ in 0..64 * 1024 {
                    client.write_all(&pattern.take(1)).expect("write");
                }
                client
            })
            .await;
            until("64 KiB received, or receiving paused", || {
                counter("bytes_received") == 64 * 1024 || counter("receive_paused") > 0
            })
            .await;
            let pinned = counter("buffers_leased") * 4096;
            assert!(pinned <= UNREAD_MAX, "{pinned} bytes are pinned by 64 KiB");
            let grown = before.grown();
            println!(
                "64 KiB in one-byte segments: {pinned} bytes pinned, memory grew by {} KiB",
                grown >> 10
            );
            assert!(grown < 4 << 20, "memory grew by {grown}");
            sent.open();
            thread(move || {
                client.shutdown(Shutdown::Write).expect("shutdown");
                assert_eq!(read_all(&mut client), u64::to_be_bytes(64 * 1024));
            })
            .await;
            stop(server).await;
        });
    });
}

/// Goal: what is copied to the heap because buffers are short counts with all the memory it takes, not by its bytes.
/// Method: one connection takes every lease, so that each of the others' bytes arrives in a box of its own.
#[test]
fn bytes_that_come_one_per_segment_stay_within_the_unread_limit_when_buffers_are_short() {
    const CONNECTIONS: usize = 50;
    const BYTES: usize = 8_000;
    each_driver_alone(|builder| {
        let options = annulet::DriverOptions::default().buffers(8).buffers_max(8);
        run(builder.driver_options(options), async {
            let sent = Gate::new();
            let server = serve({
                let sent = sent.clone();
                move |mut connection: Connection| {
                    let sent = sent.clone();
                    async move {
                        let first = connection.recv().await?.expect("bytes");
                        connection.write_all(b"!").await?;
                        if first[0] == b'h' {
                            let mut hoard = vec![first];
                            while let Some(chunk) = connection.recv().await? {
                                hoard.push(chunk);
                            }
                            return Ok(());
                        }
                        sent.passed().await;
                        let mut count = 0;
                        while let Some(chunk) = connection.recv().await? {
                            count += chunk.len() as u64;
                        }
                        connection.write_all(&count.to_be_bytes()).await?;
                        Ok(())
                    }
                }
            })
            .await;
            let address = address(&server);
            let hoarder = thread(move || {
                let mut client = connect(address);
                client.write_all(&[b'h'; 100_000]).expect("write");
                read_exactly(&mut client, 1);
                client
            })
            .await;
            until("a hoard", || counter("pressure_copies") > 0 && counter("buffers_leased") == 6).await;
            let before = Memory::now();
            let streams = thread(move || {
                let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| connect(address)).collect();
                for client in &mut clients {
                    client.write_all(b"t").expect("write");
                    read_exactly(client, 1);
                }
                // In turn, so that each byte is received before the next of its connection comes.
                for _ in 0..BYTES {
                    clients.iter_mut().for_each(|client| client.write_all(b"t").expect("write"));
                }
                clients.iter().for_each(|client| client.shutdown(Shutdown::Write).expect("shutdown"));
                clients
            })
            .await;
            let grown = before.grown();
            println!(
                "{CONNECTIONS} × {BYTES} bytes one by one, no buffer free: memory grew by {} KiB",
                grown >> 10
            );
            // Each may hold 64 KiB, whatever the allocator makes of it.
            assert!(grown < CONNECTIONS * 2 * 64 * 1024 + (1 << 20), "memory grew by {grown}");
            sent.open();
            thread(move || {
                for mut stream in streams {
                    assert_eq!(read_all(&mut stream), (BYTES as u64).to_be_bytes());
                }
                drop(hoarder);
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn a_slow_handler_slows_its_peer_through_tcp() {
    each_driver_alone(|builder| {
        run(builder, async {
            let go = Gate::new();
            let server = serve({
                let go = go.clone();
                move |mut connection: Connection| {
                    let go = go.clone();
                    async move {
                        // Something is asked for, so that receiving has begun, but not all of it is taken.
                        let mut pattern = Pattern::new(9);
                        pattern.check(&connection.recv().await?.expect("bytes"));
                        go.passed().await;
                        while let Some(chunk) = connection.recv().await? {
                            pattern.check(&chunk);
                        }
                        connection.write_all(&pattern.position().to_be_bytes()).await?;
                        Ok(())
                    }
                }
            })
            .await;
            let address = address(&server);
            let before = Memory::now();
            let (mut client, mut pattern, first) = thread(move || {
                let mut client = connect(address);
                let mut pattern = Pattern::new(9);
                let written = write_until_blocked(&mut client, &mut pattern);
                (client, pattern, written)
            })
            .await;
            assert!(counter("receive_paused") > 0, "receiving goes on");
            let received = counter("bytes_received");
            let pinned = counter("buffers_leased") * 4096;
            let grown = before.grown();
            println!(
                "{first} bytes taken by the kernels, {received} of them received, {pinned} bytes pinned"
            );
            assert!(
                received <= UNREAD_MAX + 4096,
                "{received} bytes were received for a handler that does not read"
            );
            assert!(pinned <= UNREAD_MAX, "{pinned} bytes are pinned");
            assert!(grown < 4 << 20, "memory grew by {grown}");
            go.open();
            thread(move || {
                let more = 1 << 20;
                client.write_all(&pattern.take(more)).expect("write");
                client.shutdown(Shutdown::Write).expect("shutdown");
                assert_eq!(read_all(&mut client), (first as u64 + more as u64).to_be_bytes());
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn writers_wait_for_a_slow_reader_and_what_is_unsent_stays_bounded() {
    const TOTAL: usize = 32 << 20;
    each_driver_alone(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                let mut pattern = Pattern::new(3);
                for size in [100_000, 10, 4096, 60_000].into_iter().cycle() {
                    let size = size.min(TOTAL - pattern.position() as usize);
                    if size == 0 {
                        break;
                    }
                    let bytes = pattern.take(size);
                    if size % 3 == 0 {
                        connection.send(bytes).await?
                    } else {
                        connection.write_all(&bytes).await?
                    }
                }
                Ok(())
            })
            .await;
            let address = address(&server);
            let before = Memory::now();
            let mut client = thread(move || connect_narrow(address, 4096)).await;
            until("a writer that waits", || counter("writers_waited") > 0).await;
            let grown = before.grown();
            assert!(grown < 4 << 20, "memory grew by {grown} though nothing was read");
            thread(move || {
                let mut pattern = Pattern::new(3);
                let mut bytes = vec![0; 64 * 1024];
                loop {
                    match client.read(&mut bytes).expect("read") {
                        0 => break,
                        count => pattern.check(&bytes[..count]),
                    }
                }
                assert_eq!(pattern.position(), TOTAL as u64);
            })
            .await;
            assert_eq!(counter("connections_undelivered"), 0);
            stop(server).await;
        });
    });
}

/// Goal: staging must not grow with what was ever written, only with what is unsent. Method: the reader is always behind,
/// so the staging queue is never empty while much more than the limit goes through it.
#[test]
fn a_stream_that_is_never_quite_drained_holds_no_more_than_the_unsent_limit() {
    let total = scaled(64_000_000, 1_000_000_000);
    each_driver_alone(|builder| {
        run(builder, async {
            let server = serve(move |mut connection: Connection| async move {
                // The kernel takes a part of the staged bytes at a time, never all of them.
                connection.set_send_buffer_size(8 * 1024)?;
                let mut pattern = Pattern::new(4);
                let mut bytes = [0; 1000];
                while (pattern.position() as usize) < total {
                    pattern.fill(&mut bytes);
                    connection.write_all(&bytes).await?;
                }
                Ok(())
            })
            .await;
            let address = address(&server);
            let before = Memory::now();
            let peak = thread(move || {
                let mut client = connect_narrow(address, 16 * 1024);
                let mut pattern = Pattern::new(4);
                let mut bytes = vec![0; 8 * 1024];
                let mut peak = 0;
                while (pattern.position() as usize) < total {
                    let count = client.read(&mut bytes).expect("read");
                    pattern.check(&bytes[..count]);
                    if pattern.position() % (1 << 20) < 8 * 1024 {
                        peak = peak.max(before.grown());
                    }
                }
                assert_eq!(client.read(&mut bytes).expect("the end"), 0);
                peak
            })
            .await;
            let grown = peak;
            println!("{total} bytes written to a slow reader: memory grew by {} KiB", grown >> 10);
            assert!(counter("writers_waited") > 100, "the reader was not slow");
            assert!(grown < 4 << 20, "memory grew by {grown}");
            stop(server).await;
        });
    });
}

/// A forwarded lease gets one attempt to be sent. What is staged while the peer takes nothing gets none, and must not keep
/// its buffer either.
#[test]
fn a_peer_that_does_not_read_pins_no_pool_buffer() {
    each_driver(|builder| {
        run(builder, async {
            const FORWARDED: usize = 16 * 1024;
            let blocked = Gate::new();
            let staged = Gate::new();
            let server = serve({
                let (blocked, staged) = (blocked.clone(), staged.clone());
                move |mut connection: Connection| {
                    let (blocked, staged) = (blocked.clone(), staged.clone());
                    async move {
                        // More than any socket buffer takes.
                        connection.send(vec![b'x'; 16 << 20]).await?;
                        let mut forwarded = 0;
                        while forwarded < FORWARDED {
                            let chunk = connection.recv().await?.expect("bytes");
                            forwarded += chunk.len();
                            connection.stage(chunk)?;
                            blocked.open();
                        }
                        staged.open();
                        connection.flush().await?;
                        Ok(())
                    }
                }
            })
            .await;
            let address = address(&server);
            let client = thread(move || {
                let mut client = connect_narrow(address, 4096);
                client.write_all(&[b'y'; 1]).expect("write");
                blocked.block();
                client.write_all(&[b'y'; FORWARDED - 1]).expect("write");
                client
            });
            let mut client = client.await;
            staged.passed().await;
            until("no buffer is leased", || counter("buffers_leased") == 0).await;
            thread(move || {
                client.shutdown(Shutdown::Write).expect("shutdown");
                let bytes = read_all(&mut client);
                assert_eq!(bytes.len(), (16 << 20) + FORWARDED);
                assert!(bytes.ends_with(&[b'y'; FORWARDED]));
            })
            .await;
            stop(server).await;
        });
    });
}
