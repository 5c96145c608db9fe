//! Much at a time: what it may cost, and whom it may hold up.

use std::cell::Cell;
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use annulet::http::{HandlerError, Request, Response, Router, Settings, router};

use crate::support::http_peer::*;
use crate::support::*;

static PIECE: [u8; 64 * 1024] = [b'.'; 64 * 1024];

/// 10 GiB each way when it counts.
#[test]
fn uploads_and_downloads_of_any_size_take_the_same_memory() {
    let size: u64 = scaled(256 << 20, 10 << 30);
    each_driver_alone(|builder| {
        run(builder, async {
            let server = serve_http(
                router(move |_| {
                    Router::new()
                        .post("/", async |mut request: Request| {
                            let mut bytes = 0;
                            while let Some(chunk) = request.body().recv().await? {
                                bytes += chunk.len() as u64;
                            }
                            Ok::<_, HandlerError>(bytes.to_string())
                        })
                        .get("/", async move |_| {
                            Response::stream_sized(size, async move |mut body| {
                                for _ in 0..size / PIECE.len() as u64 {
                                    body.send(&PIECE[..]).await?;
                                }
                                Ok(())
                            })
                        })
                })
                .settings(Settings::default().body_max(u64::MAX)),
            )
            .await;
            let address = address(&server);
            // Once around, so that what is kept is there.
            thread(move || assert_eq!(Peer::connect(address).ask(post("/", "body")).text(), "4")).await;
            let ways: [(_, Way); 3] = [("up", upload), ("up in chunks", upload_chunks), ("down", download)];
            for (name, way) in ways {
                let before = Memory::now();
                let start = Instant::now();
                let peak = thread(move || way(address, size, before)).await;
                println!("{size} bytes {name} in {:?}: memory grew by {} KiB", start.elapsed(), peak >> 10);
                assert!(peak < 4 << 20, "{name}: memory grew by {peak}");
            }
            stop(server).await;
        });
    });
}

/// Sends or takes so many bytes; the most that memory has grown by meanwhile.
type Way = fn(SocketAddr, u64, Memory) -> usize;

fn upload(address: SocketAddr, size: u64, before: Memory) -> usize {
    let mut peer = Peer::connect(address);
    peer.send(request("POST", "/", &format!("Content-Length: {size}\r\n"), ""));
    let peak = for_each_piece(size, before, || peer.send(PIECE));
    assert_eq!(peer.answer().text(), size.to_string());
    peak
}

fn upload_chunks(address: SocketAddr, size: u64, before: Memory) -> usize {
    let mut peer = Peer::connect(address);
    peer.send(request("POST", "/", "Transfer-Encoding: chunked\r\n", ""));
    let chunk = [b"10000\r\n", &PIECE[..], b"\r\n"].concat();
    let peak = for_each_piece(size, before, || peer.send(&chunk));
    peer.send("0\r\n\r\n");
    assert_eq!(peer.answer().text(), size.to_string());
    peak
}

fn download(address: SocketAddr, size: u64, before: Memory) -> usize {
    let mut peer = Peer::connect(address);
    peer.send(get("/"));
    assert_eq!(peer.answer_to_head().field("content-length"), Some(size.to_string().as_str()));
    let peak = for_each_piece(size, before, || assert!(peer.take(PIECE.len()) == PIECE));
    assert_eq!(peer.ask(post("/", "then")).text(), "4");
    peak
}

fn for_each_piece(size: u64, before: Memory, mut each: impl FnMut()) -> usize {
    let mut peak = 0;
    for number in 0..size / PIECE.len() as u64 {
        each();
        if number % 64 == 0 {
            peak = peak.max(before.grown());
        }
    }
    peak
}

/// Goal: who sends much at a time gets its share of the reactor, not all of it. Method: the requests of both clients are there
/// before the reactor looks; it notes how many were answered before the neighbour's.
#[test]
fn ten_thousand_pipelined_requests_do_not_starve_a_neighbour() {
    const REQUESTS: usize = 10_000;
    each_driver(|builder| {
        run(builder, async {
            let before_neighbour = Arc::new(AtomicU64::new(u64::MAX));
            let noted = before_neighbour.clone();
            let server = serve_http(router(move |_| {
                let noted = noted.clone();
                let count = Rc::new(Cell::new(0));
                let counted = count.clone();
                Router::new()
                    .get("/", async move |_| {
                        counted.set(counted.get() + 1);
                        "x"
                    })
                    .get("/neighbour", async move |_| {
                        noted.fetch_min(count.get(), Ordering::Relaxed);
                        "y"
                    })
            }))
            .await;
            let address = address(&server);
            let (mut many, mut neighbour) = thread(move || {
                let (mut many, mut neighbour) = (Peer::connect(address), Peer::connect(address));
                socket2::SockRef::from(&many.stream).set_send_buffer_size(2 << 20).expect("SO_SNDBUF");
                assert_eq!(many.ask(get("/")).text(), "x");
                assert_eq!(neighbour.ask(get("/")).text(), "x");
                (many, neighbour)
            })
            .await;
            // On the reactor's own thread. The many come first.
            many.stream.write_all(get("/").repeat(REQUESTS).as_bytes()).expect("room in the send buffer");
            neighbour.send(get("/neighbour"));
            thread(move || {
                assert_eq!(neighbour.answer().text(), "y");
                for _ in 0..REQUESTS {
                    assert_eq!(many.answer().text(), "x");
                }
            })
            .await;
            let before = before_neighbour.load(Ordering::Relaxed);
            println!("{before} of {REQUESTS} answered before the neighbour's request");
            assert!(before < REQUESTS as u64 / 10, "{before} of {REQUESTS} were answered first");
            stop(server).await;
        });
    });
}

#[test]
fn a_client_that_asks_on_and_on_and_reads_nothing_is_slowed_down_and_costs_bounded_memory() {
    each_driver_alone(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| Router::new().get("/", async |_| &PIECE[..1000]))).await;
            let address = address(&server);
            let before = Memory::now();
            let (mut peer, sent) = thread(move || {
                let mut peer = Peer::connect_narrow(address);
                peer.stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a time-out");
                socket2::SockRef::from(&peer.stream).set_send_buffer_size(64 << 10).expect("SO_SNDBUF");
                let requests = get("/").repeat(1000);
                let mut sent = 0;
                while sent < 64 << 20 {
                    match peer.stream.write(&requests.as_bytes()[sent % requests.len()..]) {
                        Ok(count) => sent += count,
                        Err(_) => break,
                    }
                }
                (peer, sent)
            })
            .await;
            assert!(sent < 64 << 20, "the client was never stuck");
            let (answered, grown) = (counter("http_requests"), before.grown());
            println!("stuck after {answered} answers: memory grew by {} KiB", grown >> 10);
            assert!(grown < 8 << 20, "memory grew by {grown}");
            // Every whole request is answered once it reads.
            thread(move || {
                let requests = sent / get("/").len();
                peer.finish();
                (0..requests).for_each(|_| assert_eq!(peer.answer().body.len(), 1000));
                peer.expect_end();
            })
            .await;
            stop(server).await;
        });
    });
}
