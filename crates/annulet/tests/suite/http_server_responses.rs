//! Bodies of responses: how they are made, and how they end when they cannot be finished.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use annulet::Clocks;
use annulet::http::{
    BodyWriter, HandlerError, HandlerResult, HeaderMap, HeaderValue, Request, Response, Router, WriteError,
    router, service,
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::support::http_peer::*;
use crate::support::*;

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("x-sum".parse().expect("a name"), HeaderValue::from_static("6"))])
}

async fn one_two(mut body: BodyWriter) -> HandlerResult {
    body.write("one").await?;
    body.send("two").await?;
    body.write("").await?;
    body.set_trailers(trailers());
    Ok(())
}

#[test]
fn a_streamed_body_is_chunks_and_trailers_or_so_many_bytes() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| {
                Router::new()
                    .get("/chunks", async |_| Response::stream(one_two))
                    .get("/sized", async |_| Response::stream_sized(6, one_two))
                    .get("/empty", async |_| Response::stream(async |_| Ok(())))
                    .get("/sized-empty", async |_| Response::stream_sized(0, async |_| Ok(())))
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                for _ in 0..2 {
                    let answer = peer.ask(get("/chunks"));
                    assert_eq!(answer.field("content-length"), None);
                    assert_eq!((answer.text(), answer.trailers.as_str()), ("onetwo", "x-sum: 6\r\n"));
                    let answer = peer.ask(get("/sized"));
                    assert_eq!((answer.field("content-length"), answer.text()), (Some("6"), "onetwo"));
                    assert_eq!(answer.field("transfer-encoding"), None);
                    let answer = peer.ask(get("/empty"));
                    assert_eq!((answer.field("transfer-encoding"), answer.text()), (Some("chunked"), ""));
                    assert_eq!(peer.ask(get("/sized-empty")).field("content-length"), Some("0"));
                }
            })
            .await;
            stop(server).await;
        });
    });
}

/// An event must not wait for the next one.
#[test]
fn what_is_written_leaves_while_the_writer_waits() {
    each_driver(|builder| {
        run(builder, async {
            let seen = Gate::new();
            let is_seen = seen.clone();
            let server = serve_http(service(async move |_| {
                let is_seen = is_seen.clone();
                Response::stream(async move |mut body| {
                    body.write("first").await?;
                    is_seen.passed().await;
                    Ok(body.write("second").await?)
                })
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                peer.send(get("/"));
                peer.answer_to_head();
                assert_eq!(peer.chunk().as_deref(), Some(&b"first"[..]));
                seen.open();
                assert_eq!(peer.chunk().as_deref(), Some(&b"second"[..]));
                assert_eq!(peer.chunk(), None);
            })
            .await;
            stop(server).await;
        });
    });
}

/// Handlers that do not finish what they began.
fn broken() -> annulet::http::Service {
    async fn fails(mut body: BodyWriter) -> HandlerResult {
        body.write("part").await?;
        Err(HandlerError::message("as the test asked"))
    }
    async fn panics(mut body: BodyWriter) -> HandlerResult {
        body.write("part").await?;
        panic!("as the test asked")
    }
    router(|_| {
        Router::new()
            .get("/fails", async |_| Response::stream(fails))
            .get("/fails-sized", async |_| Response::stream_sized(5, fails))
            .get("/panics", async |_| Response::stream(panics))
            .get("/panics-sized", async |_| Response::stream_sized(5, panics))
            .get("/panics-at-once", async |_| {
                Response::stream_sized(5, |_| -> std::future::Ready<HandlerResult> {
                    panic!("as the test asked")
                })
            })
            .get("/short", async |_| {
                Response::stream_sized(5, async |mut body| Ok(body.write("part").await?))
            })
            .get("/body", async |_| from_frames(None, [Ok(Frame::data("part")), Err("as the test asked")]))
            .get("/body-short", async |_| from_frames(Some(5), [Ok(Frame::data("part"))]))
    })
}

/// RFC 9112 §6.3: what is cut off must not look as if it had ended.
#[test]
fn a_body_that_is_not_finished_is_cut_off_and_never_ends_in_order() {
    let paths = [
        "/fails",
        "/fails-sized",
        "/panics",
        "/panics-sized",
        "/panics-at-once",
        "/short",
        "/body",
        "/body-short",
    ];
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(broken()).await;
            let address = address(&server);
            thread(move || {
                for path in paths {
                    for version in ["1.0", "1.1"] {
                        let mut peer = Peer::connect(address);
                        peer.send(format!(
                            "GET {path} HTTP/{version}\r\nHost: a\r\n\r\nGET /fails HTTP/1.1\r\n"
                        ));
                        let (rest, end) = peer.rest();
                        assert_eq!(end, End::Reset, "{path} {version}");
                        let rest = String::from_utf8(rest).expect("text");
                        // A reset may overtake what was sent before it.
                        assert!(!rest.contains("\r\n0\r\n"), "{path} {version}: {rest}");
                    }
                }
            })
            .await;
            assert_eq!(counter("http_responses_cut"), 2 * paths.len() as u64);
            stop(server).await;
        });
    });
}

#[test]
fn more_bytes_than_were_announced_are_an_error_and_not_sent() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service(async |_| {
                Response::stream_sized(5, async |mut body| {
                    body.write("hell").await?;
                    assert_eq!(body.write("oh").await, Err(WriteError::TooMany));
                    assert_eq!(body.send("oh").await, Err(WriteError::TooMany));
                    body.write("o").await?;
                    assert_eq!(body.write("!").await, Err(WriteError::TooMany));
                    Ok(())
                })
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                for _ in 0..2 {
                    assert_eq!(peer.ask(get("/")).text(), "hello");
                }
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn a_writer_kept_beyond_its_response_writes_nothing() {
    each_driver(|builder| {
        run(builder, async {
            let kept = Arc::new(Mutex::new(Vec::new()));
            let results = kept.clone();
            let server = serve_http(service(async move |_| {
                let results = results.clone();
                Response::stream(async move |mut body| {
                    body.write("hello").await?;
                    drop(annulet::spawn_local(async move {
                        annulet::time::sleep(Duration::from_millis(1)).await;
                        let result = [body.write("more").await, body.send("more").await, body.flush().await];
                        results.lock().expect("results").push(result);
                    }));
                    Ok(())
                })
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                for _ in 0..3 {
                    assert_eq!(peer.ask(get("/")).text(), "hello");
                }
            })
            .await;
            until("three results", || kept.lock().expect("kept").len() == 3).await;
            let expected = [Err(WriteError::Ended), Err(WriteError::Ended), Err(WriteError::Ended)];
            assert!(kept.lock().expect("kept").iter().all(|results| *results == expected));
            stop(server).await;
        });
    });
}

#[test]
fn a_slow_reader_holds_up_its_own_response_and_costs_bounded_memory() {
    const TOTAL: usize = 64 << 20;
    each_driver_alone(|builder| {
        run(builder, async {
            let server = serve_http(service(async |request: Request| {
                let fill = async |mut body: BodyWriter| {
                    let mut pattern = Pattern::new(5);
                    while pattern.position() < TOTAL as u64 {
                        body.write(pattern.take(64 * 1024)).await?;
                    }
                    Ok(())
                };
                match request.path() {
                    "/sized" => Response::stream_sized(TOTAL as u64, fill),
                    _ => Response::stream(fill),
                }
            }))
            .await;
            let address = address(&server);
            for path in ["/sized", "/chunks"] {
                let before = Memory::now();
                let waited = counter("writers_waited");
                let mut peer = thread(move || {
                    let mut peer = Peer::connect_narrow(address);
                    peer.send(get(path));
                    peer.answer_to_head();
                    peer
                })
                .await;
                until("a writer that waits", || counter("writers_waited") > waited).await;
                let grown = before.grown();
                assert!(grown < 4 << 20, "memory grew by {grown} though nothing was read");
                thread(move || {
                    let mut pattern = Pattern::new(5);
                    if path == "/chunks" {
                        while let Some(chunk) = peer.chunk() {
                            pattern.check(&chunk);
                        }
                    }
                    while pattern.position() < TOTAL as u64 {
                        let left = TOTAL as u64 - pattern.position();
                        pattern.check(&peer.take(left.min(64 * 1024) as usize));
                    }
                    if path == "/chunks" {
                        assert_eq!(peer.take(2), b"\r\n", "the end of the trailers");
                    }
                    assert_eq!(peer.ask(request("HEAD", "/sized", "", "")).status, 200);
                })
                .await;
            }
            stop(server).await;
        });
    });
}

/// Goal: a body that is at hand is sent from where it lies. Method: many clients that do not read are answered with the same
/// large bytes; copies would show in memory.
#[test]
fn bodies_at_hand_are_not_copied() {
    const SIZE: usize = 32 << 20;
    const CLIENTS: usize = 8;
    each_driver_alone(|builder| {
        run(builder, async {
            let bytes = Bytes::from(vec![b'x'; SIZE]);
            let fixed: &'static [u8] = vec![b'y'; SIZE].leak();
            let server = serve_http(service(async move |request: Request| match request.path() {
                "/bytes" => Response::bytes(bytes.clone()),
                _ => Response::bytes(fixed),
            }))
            .await;
            let address = address(&server);
            let before = Memory::now();
            let mut peers = thread(move || {
                let ask = |number: usize| {
                    let mut peer = Peer::connect_narrow(address);
                    peer.send(get(["/bytes", "/static"][number % 2]));
                    assert_eq!(
                        peer.answer_to_head().field("content-length"),
                        Some(SIZE.to_string().as_str())
                    );
                    peer
                };
                (0..CLIENTS).map(ask).collect::<Vec<_>>()
            })
            .await;
            let grown = before.grown();
            println!("{CLIENTS} bodies of {SIZE} bytes under way: memory grew by {} KiB", grown >> 10);
            assert!(grown < SIZE, "memory grew by {grown}");
            thread(move || {
                for (number, peer) in peers.iter_mut().enumerate() {
                    let expected = [b'x', b'y'][number % 2];
                    assert!(peer.take(1 << 20).iter().all(|byte| *byte == expected));
                }
            })
            .await;
            stop(server).await;
        });
    });
}

/// A body of the `http-body` crate.
struct Frames {
    length: Option<u64>,
    frames: VecDeque<Result<Frame<&'static str>, &'static str>>,
}

fn from_frames(
    length: Option<u64>,
    frames: impl IntoIterator<Item = Result<Frame<&'static str>, &'static str>>,
) -> annulet::http::Response {
    Response::from_http(::http::Response::new(Frames { length, frames: frames.into_iter().collect() }))
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = HandlerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HandlerError>>> {
        Poll::Ready(self.frames.pop_front().map(|frame| {
            frame
                .map(|frame| frame.map_data(|data| Bytes::from_static(data.as_bytes())))
                .map_err(HandlerError::message)
        }))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[test]
fn responses_of_the_http_crate_are_sent_with_their_bodies() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| {
                let text = || [Ok(Frame::data("one")), Ok(Frame::data("")), Ok(Frame::data("two"))];
                let with_trailers = || [Ok(Frame::data("one")), Ok(Frame::trailers(trailers()))];
                Router::new()
                    .get("/sized", async move |_| from_frames(Some(6), text()))
                    .get("/chunks", async move |_| from_frames(None, text()))
                    .get("/trailers", async move |_| from_frames(None, with_trailers()))
                    .get("/echo", async |request: Request| {
                        let (parts, body) = request.into_http().into_parts();
                        let mut response = ::http::Response::new(body);
                        *response.status_mut() = ::http::StatusCode::ACCEPTED;
                        response.headers_mut().insert("x-host", parts.headers["host"].clone());
                        response
                            .headers_mut()
                            .insert("x-target", parts.uri.to_string().parse().expect("a value"));
                        response
                    })
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                let answer = peer.ask(get("/sized"));
                assert_eq!((answer.field("content-length"), answer.text()), (Some("6"), "onetwo"));
                let answer = peer.ask(get("/chunks"));
                assert_eq!((answer.field("transfer-encoding"), answer.text()), (Some("chunked"), "onetwo"));
                let answer = peer.ask(get("/trailers"));
                assert_eq!((answer.text(), answer.trailers.as_str()), ("one", "x-sum: 6\r\n"));
                let chunks = "4\r\nbody\r\n0\r\nX-Sum: 7\r\n\r\n";
                let answer = peer.ask(request("GET", "/echo?a=b", "Transfer-Encoding: chunked\r\n", chunks));
                assert_eq!((answer.status, answer.text()), (202, "body"));
                assert_eq!(
                    (answer.field("x-host"), answer.field("x-target")),
                    (Some("test"), Some("/echo?a=b"))
                );
                assert_eq!(answer.trailers, "x-sum: 7\r\n");
                // Nothing to send is known to be nothing.
                assert_eq!(peer.ask(get("/echo")).field("content-length"), Some("0"));
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn a_client_that_goes_during_a_response_ends_it_with_an_error() {
    each_driver(|builder| {
        run(builder, async {
            let errors = Arc::new(Mutex::new(Vec::new()));
            let noted = errors.clone();
            let server = serve_http(service(async move |_| {
                let noted = noted.clone();
                Response::stream(async move |mut body| {
                    loop {
                        if let Err(error) = body.write([b'x'; 1000]).await {
                            noted.lock().expect("errors").push(error);
                            return Err(error.into());
                        }
                    }
                })
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect_narrow(address);
                peer.send(get("/"));
                peer.answer_to_head();
                // Unread bytes are in its buffer: the kernel resets.
            })
            .await;
            until("an error", || !errors.lock().expect("errors").is_empty()).await;
            assert!(matches!(errors.lock().expect("errors")[..], [WriteError::Connection(_)]));
            until("a cut response", || counter("http_responses_cut") == 1).await;
            stop(server).await;
        });
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut_off_by_the_write_clock() {
    each_driver(|builder| {
        run(builder, async {
            let clocks = Clocks::default().write(Some(Duration::from_secs(1)));
            let server = serve_http_with(
                router(|_| {
                    Router::new().get("/whole", async |_| vec![b'x'; 64 << 20]).get("/stream", async |_| {
                        Response::stream(async |mut body| {
                            loop {
                                body.write([b'x'; 10_000]).await?;
                            }
                        })
                    })
                }),
                clocks,
            )
            .await;
            let address = address(&server);
            for (number, path) in ["/whole", "/stream"].into_iter().enumerate() {
                let mut peer = thread(move || {
                    let mut peer = Peer::connect_narrow(address);
                    peer.send(get(path));
                    peer.answer_to_head();
                    peer
                })
                .await;
                until("the clock", || counter("timeouts_write") == number as u64 + 1).await;
                thread(move || assert_eq!(peer.rest().1, End::Reset)).await;
            }
            stop(server).await;
        });
    });
}
