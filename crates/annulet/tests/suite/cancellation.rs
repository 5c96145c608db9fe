//! Dropping a future loses nothing that arrived, and leaves nothing behind.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use annulet::net::TcpListener;
use annulet::proto::lines::Lines;
use annulet::time::{interval, sleep, timeout};
use annulet::{
    Chunk, Connection, Error, HandlerError, HandlerResult, Server, connect as connect_to, spawn_local,
};

use crate::support::*;

/// Whichever is ready first; the other is dropped.
enum Either<A, B> {
    Left(A),
    Right(B),
}

async fn select<A: Future, B: Future>(left: A, right: B) -> Either<A::Output, B::Output> {
    let mut left = pin!(left);
    let mut right = pin!(right);
    poll_fn(|cx| {
        if let Poll::Ready(output) = left.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(output));
        }
        right.as_mut().poll(cx).map(Either::Right)
    })
    .await
}

/// Sends in pieces with pauses between some, so that waits are cut short now and again, and expects all of it back.
fn uneven(address: std::net::SocketAddr, seed: u64) {
    let mut client = connect(address);
    let mut sent = Pattern::new(seed);
    let mut received = Pattern::new(seed);
    for round in 0..120_usize {
        let size = 1 + (round * 37 + seed as usize * 101) % 6_000;
        client.write_all(&sent.take(size)).expect("write");
        received.check(&read_exactly(&mut client, size));
        if round % 4 == 0 {
            std::thread::sleep(Duration::from_millis(3));
        }
    }
    client.shutdown(Shutdown::Write).expect("shutdown");
    assert_eq!(read_all(&mut client), b"");
}

async fn uneven_clients(server: Server) {
    let address = address(&server);
    let clients: Vec<_> = (0..8).map(|seed| thread(move || uneven(address, seed))).collect();
    for client in clients {
        client.await;
    }
    stop(server).await;
}

#[test]
fn a_timeout_around_recv_loses_no_byte() {
    each_driver(|builder| {
        run(builder, async {
            let elapsed = Arc::new(AtomicUsize::new(0));
            let server = serve({
                let elapsed = elapsed.clone();
                move |mut connection: Connection| {
                    let elapsed = elapsed.clone();
                    async move {
                        loop {
                            match timeout(Duration::from_millis(1), connection.recv()).await {
                                Ok(received) => match received? {
                                    Some(chunk) => connection.send(chunk).await?,
                                    None => return Ok(()),
                                },
                                Err(_) => drop(elapsed.fetch_add(1, Ordering::Relaxed)),
                            }
                        }
                    }
                }
            })
            .await;
            uneven_clients(server).await;
            assert!(elapsed.load(Ordering::Relaxed) > 50, "hardly any wait was cut short");
        });
    });
}

#[test]
fn a_race_of_recv_against_a_tick_loses_no_byte() {
    each_driver(|builder| {
        run(builder, async {
            let ticks = Arc::new(AtomicUsize::new(0));
            let server = serve({
                let ticks = ticks.clone();
                move |mut connection: Connection| {
                    let ticks = ticks.clone();
                    async move {
                        let mut ticking = interval(Duration::from_millis(1));
                        let mut buffer = [0; 700];
                        loop {
                            match select(ticking.tick(), connection.read(&mut buffer)).await {
                                Either::Left(_) => drop(ticks.fetch_add(1, Ordering::Relaxed)),
                                Either::Right(Ok(0)) => return Ok(()),
                                Either::Right(count) => connection.write_all(&buffer[..count?]).await?,
                            }
                        }
                    }
                }
            })
            .await;
            uneven_clients(server).await;
            assert!(ticks.load(Ordering::Relaxed) > 50, "hardly any read was dropped");
        });
    });
}

#[test]
fn a_timeout_around_a_framed_recv_loses_no_byte() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |connection: Connection| {
                let mut lines = connection.framed(Lines::new(10_000));
                loop {
                    if let Ok(line) = timeout(Duration::from_millis(1), lines.recv()).await {
                        match line? {
                            Some(line) => lines.send(line.bytes).await?,
                            None => return Ok(()),
                        }
                    }
                }
            })
            .await;
            let address = address(&server);
            let client = |seed: usize| {
                move || {
                    let mut client = connect(address);
                    for round in 0..60 {
                        let line = vec![b'a' + (round % 26) as u8; 1 + (round * 131 + seed * 7) % 9_000];
                        let (first, second) = line.split_at(line.len() / 2);
                        client.write_all(first).expect("write");
                        if round % 3 == 0 {
                            std::thread::sleep(Duration::from_millis(3));
                        }
                        client.write_all(second).expect("write");
                        client.write_all(b"\n").expect("write");
                        let answer = read_exactly(&mut client, line.len() + 1);
                        assert_eq!((&answer[..line.len()], answer[line.len()]), (&line[..], b'\n'));
                    }
                }
            };
            let clients: Vec<_> = (0..8).map(|seed| thread(client(seed))).collect();
            for client in clients {
                client.await;
            }
            stop(server).await;
        });
    });
}

/// What a dropped `write` did not take is written by the next: a slow peer gets every byte once.
#[test]
fn a_timeout_around_write_loses_and_doubles_no_byte() {
    const TOTAL: usize = 8 << 20;
    each_driver(|builder| {
        run(builder, async {
            let elapsed = Arc::new(AtomicUsize::new(0));
            let server = serve({
                let elapsed = elapsed.clone();
                move |mut connection: Connection| {
                    let elapsed = elapsed.clone();
                    async move {
                        let bytes = Pattern::new(5).take(TOTAL);
                        let mut left = &bytes[..];
                        while !left.is_empty() {
                            match timeout(Duration::from_micros(200), connection.write(left)).await {
                                Ok(count) => left = &left[count?..],
                                Err(_) => drop(elapsed.fetch_add(1, Ordering::Relaxed)),
                            }
                        }
                        Ok(())
                    }
                }
            })
            .await;
            let address = address(&server);
            let waited = elapsed.clone();
            thread(move || {
                let mut client = connect_narrow(address, 8192);
                while waited.load(Ordering::Relaxed) < 3 {
                    std::thread::yield_now();
                }
                let bytes = read_all(&mut client);
                assert_eq!(bytes.len(), TOTAL);
                Pattern::new(5).check(&bytes);
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn a_cancelled_accept_loses_no_client() {
    const CLIENTS: usize = 200;
    each_driver(|builder| {
        run(builder, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
            let address = listener.local_addr().expect("address");
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    thread(move || {
                        for round in 0..CLIENTS / 4 {
                            let mut client = connect(address);
                            exchange(&mut client, b"hello");
                            if round % 8 == 0 {
                                std::thread::sleep(Duration::from_millis(2));
                            }
                        }
                    })
                })
                .collect();
            let mut handlers = Vec::new();
            let mut cancelled = 0;
            while handlers.len() < CLIENTS {
                match timeout(Duration::from_micros(100), listener.accept()).await {
                    Ok(accepted) => {
                        let (stream, _) = accepted.expect("accept");
                        handlers.push(spawn_local(echo(stream.into_connection())));
                    }
                    Err(_) => cancelled += 1,
                }
                // Made, never polled, dropped.
                drop(listener.accept());
            }
            for client in clients {
                client.await;
            }
            for handler in handlers {
                handler.await.expect("a handler that does not panic").expect("echo");
            }
            assert!(cancelled > 0, "no accept was cancelled");
        });
    });
}

/// Counts the points at which a future had to wait, and strikes at one of them.
#[derive(Clone)]
struct Strike {
    waits: Rc<Cell<usize>>,
    at: usize,
}

impl Strike {
    fn at(at: usize) -> Self {
        Self { waits: Rc::default(), at }
    }

    fn has_struck(&self) -> bool {
        self.waits.get() > self.at
    }

    /// True when this wait is the one.
    fn strikes(&self) -> bool {
        let waits = self.waits.get();
        self.waits.set(waits + 1);
        waits == self.at
    }

    /// Runs an operation to its end. If the strike falls on one of its waits it is dropped there and begun again.
    async fn again<T>(&self, mut operation: impl AsyncFnMut() -> T) -> T {
        // Made and dropped without being polled: must do nothing.
        drop(operation());
        loop {
            if let Some(output) = self.once(operation()).await {
                return output;
            }
        }
    }

    /// Runs an operation, or drops it at the wait the strike falls on.
    async fn once<F: Future>(&self, operation: F) -> Option<F::Output> {
        let mut operation = pin!(operation);
        poll_fn(|cx| match operation.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.strikes() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

const LINES: usize = 4;
const BULK: usize = 300_000;

/// The server's half of a conversation that uses every waiting method of a connection.
async fn answer(connection: Connection, strike: &Strike) -> HandlerResult {
    // Lines through a codec, answered through it.
    let mut lines = connection.framed(Lines::new(100));
    for _ in 0..LINES {
        let line = strike.again(async || lines.recv().await).await?;
        let Some(line) = line else { return Err(HandlerError::message("nobody there")) };
        strike.again(async || lines.send(&line.bytes).await).await?;
    }
    let (mut connection, _, rest) = lines.into_parts();
    assert!(rest.is_empty(), "the peer waits for answers");
    // Bulk in both directions, larger than every limit, by each way to read and to write.
    let mut pattern = Pattern::new(6);
    let mut received = 0;
    let mut buffer = [0; 5_000];
    while received < BULK {
        let count = match received % 3 {
            0 => {
                let chunk = strike.again(async || connection.recv().await).await?.expect("bytes");
                pattern.check(&chunk);
                chunk.len()
            }
            1 => {
                let count = strike.again(async || connection.read(&mut buffer).await).await?;
                pattern.check(&buffer[..count]);
                count
            }
            _ => {
                let bytes = strike.again(async || connection.fill_buf().await.map(<[u8]>::to_vec)).await?;
                let count = bytes.len().min(1_000);
                pattern.check(&bytes[..count]);
                connection.consume(count);
                count
            }
        };
        received += count;
    }
    assert_eq!(received, BULK);
    let bulk = Pattern::new(7).take(BULK);
    let mut sent = 0;
    while sent < BULK {
        let piece = &bulk[sent..BULK.min(sent + 7_000)];
        match (sent / 7_000) % 3 {
            0 => sent += strike.again(async || connection.write(piece).await).await?,
            1 => {
                strike.again(async || connection.send(piece.to_vec()).await).await?;
                sent += piece.len();
            }
            _ => {
                strike.again(async || connection.reserve(piece.len()).await).await?;
                connection.stage(piece.to_vec())?;
                sent += piece.len();
            }
        }
    }
    strike.again(async || connection.flush().await).await?;
    // Two tasks, each with a half.
    let (mut reading, mut writing) = connection.split();
    let theirs = strike.clone();
    let mut reader = spawn_local(async move {
        let bytes =
            theirs.again(async || reading.recv().await.map(|chunk| chunk.expect("bytes").to_vec())).await;
        assert_eq!(bytes.expect("bytes"), b"half?");
        reading
    });
    let reading = strike.again(async || (&mut reader).await).await.expect("a half");
    strike.again(async || writing.send(b"half!").await).await?;
    let mut connection = reading.reunite(writing).expect("halves of one connection");
    // Its end, the peer's end.
    strike.again(async || connection.shutdown().await).await?;
    let end = strike.again(async || connection.recv().await.map(|chunk| chunk.is_none())).await?;
    assert!(end, "the peer has ended");
    Ok(())
}

/// Bytes, or the news that the other side has ended too early.
fn some(received: Result<Option<Chunk>, Error>) -> Result<Chunk, HandlerError> {
    received?.ok_or_else(|| HandlerError::message("the conversation was broken off"))
}

/// The client's half, on an Annulet connection too.
async fn ask(address: String, strike: &Strike) -> HandlerResult {
    let mut connection = strike.again(async || connect_to(&address).await).await?;
    for line in 0..LINES {
        let line = format!("line {line} of {LINES}\n");
        let (first, second) = line.split_at(4);
        connection.write_all(first.as_bytes()).await?;
        strike.again(async || sleep(Duration::from_millis(1)).await).await;
        connection.write_all(second.as_bytes()).await?;
        let mut answer = Vec::new();
        while answer.len() < line.len() {
            answer.extend_from_slice(&some(strike.again(async || connection.recv().await).await)?);
        }
        assert_eq!(answer, line.as_bytes());
    }
    let bulk = Pattern::new(6).take(BULK);
    let mut left = &bulk[..];
    while !left.is_empty() {
        let count = strike.again(async || connection.write(left).await).await?;
        left = &left[count..];
    }
    let mut pattern = Pattern::new(7);
    while pattern.position() < BULK as u64 {
        pattern.check(&some(strike.again(async || connection.recv().await).await)?);
    }
    let mut ticking = interval(Duration::from_millis(1));
    for _ in 0..2 {
        strike.again(async || ticking.tick().await).await;
    }
    connection.send(b"half?").await?;
    let mut half = Vec::new();
    while half.len() < 5 {
        half.extend_from_slice(&some(connection.recv().await)?);
    }
    assert_eq!(half, b"half!");
    assert!(strike.again(async || connection.recv().await).await?.is_none());
    strike.again(async || connection.shutdown().await).await?;
    Ok(())
}

/// A conversation from listening to the end of both sides.
async fn converse(strike: &Strike) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let address = listener.local_addr().expect("address").to_string();
    let theirs = strike.clone();
    let client = spawn_local(async move { ask(address, &theirs).await });
    loop {
        let (stream, _) = strike.again(async || listener.accept().await).await.expect("accept");
        match answer(stream.into_connection(), strike).await {
            Ok(()) => break,
            // A connect that was dropped may have come as far as the accept queue.
            Err(_) if strike.has_struck() => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    client.await.expect("a client that does not panic").expect("a client that gets every answer");
}

/// Goal: every future of the API can be dropped at every point where it waits. Method: run the conversation again and
/// again, each time dropping the operation that waits at the next point, until the conversation ends before that point.
#[test]
fn every_future_may_be_dropped_at_every_wait() {
    each_driver(|builder| {
        let points = (0..)
            .find(|at| {
                let strike = Strike::at(*at);
                run(builder.clone(), converse(&strike));
                !strike.has_struck()
            })
            .expect("the conversation ends");
        println!("dropped at each of {points} waits");
        assert!(points > 20, "the conversation hardly ever waits");
    });
}

/// The same, but it is the runtime that ends there, with everything the conversation holds.
#[test]
fn a_runtime_may_end_at_every_wait_and_leaves_nothing_behind() {
    each_driver(|builder| {
        let points = (0..)
            .find(|at| {
                let end = Strike::at(*at);
                let ended = run(builder.clone(), async {
                    let never = Strike::at(usize::MAX);
                    let counted = Strike { waits: end.waits.clone(), at: usize::MAX };
                    let talk = spawn_local(async move {
                        converse(&counted).await;
                        drop(never);
                    });
                    let mut talk = pin!(talk);
                    poll_fn(|cx| {
                        if end.has_struck() {
                            return Poll::Ready(true);
                        }
                        // The waits are counted in other tasks: look again after every turn.
                        cx.waker().wake_by_ref();
                        talk.as_mut().poll(cx).map(|result| {
                            result.expect("a conversation that does not panic");
                            false
                        })
                    })
                    .await
                });
                !ended
            })
            .expect("the conversation ends");
        println!("ended at each of {points} waits");
        assert!(points > 20, "the conversation hardly ever waits");
    });
}

/// The same, but the task of one side is aborted there: the other side sees an end, an error at worst.
#[test]
fn a_task_may_be_aborted_at_every_wait() {
    each_driver(|builder| {
        let points = (0..)
            .find(|at| {
                let strike = Strike::at(*at);
                run(builder.clone(), async {
                    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
                    let address = listener.local_addr().expect("address").to_string();
                    let silent = Strike::at(usize::MAX);
                    let client = spawn_local(async move { ask(address, &silent).await });
                    let (stream, _) = listener.accept().await.expect("accept");
                    let counted = Strike { waits: strike.waits.clone(), at: usize::MAX };
                    let mut handler =
                        spawn_local(async move { answer(stream.into_connection(), &counted).await });
                    let aborted = poll_fn(|cx| {
                        if strike.has_struck() {
                            return Poll::Ready(true);
                        }
                        cx.waker().wake_by_ref();
                        pin!(&mut handler).poll(cx).map(|result| {
                            result.expect("no panic").expect("an orderly conversation");
                            false
                        })
                    })
                    .await;
                    if aborted {
                        handler.abort();
                        let result = handler.await;
                        assert!(result.is_err_and(|error| error.is_cancelled()));
                        // An error, or an orderly end if all had been said: anything but a hang.
                        drop(client.await.expect("a client that does not panic"));
                    } else {
                        client.await.expect("a client that does not panic").expect("every answer");
                    }
                });
                !strike.has_struck()
            })
            .expect("the conversation ends");
        assert!(points > 10, "the conversation hardly ever waits");
    });
}
