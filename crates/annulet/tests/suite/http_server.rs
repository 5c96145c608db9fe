//! Requests and their answers on a connection: one each, in order, however the bytes come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use annulet::http::{HandlerError, Request, Response, Router, StatusCode, header, router, service};
use annulet::time::sleep;

use crate::support::http_peer::*;
use crate::support::*;

/// What most of these requests are for.
fn paths() -> annulet::http::Service {
    router(|_| {
        Router::new()
            .get("/hello", async |_| "hello")
            .get("/slow", async |_| {
                sleep(std::time::Duration::from_millis(20)).await;
                "slow"
            })
            .post("/echo", echo_body)
            .post("/ignore", async |_| "ignored")
            .get("/stream", async |_| {
                Response::stream(async |mut body| {
                    body.write("one").await?;
                    body.write("two").await?;
                    Ok(())
                })
            })
            .get("/nothing", async |_| StatusCode::NO_CONTENT)
    })
}

async fn echo_body(mut request: Request) -> Result<Response, HandlerError> {
    Ok(Response::bytes(request.bytes().await?))
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(paths()).await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                for _ in 0..50 {
                    let answer = peer.ask(get("/hello"));
                    assert_eq!((answer.status, answer.text()), (200, "hello"));
                    assert_eq!(answer.field("connection"), None);
                    assert_eq!(peer.ask(post("/echo", "some text")).text(), "some text");
                }
                peer.finish();
                peer.expect_end();
            })
            .await;
            assert_eq!((counter("connections_opened"), counter("http_requests")), (1, 100));
            stop(server).await;
        });
    });
}

#[test]
fn pipelined_requests_are_answered_in_order_whoever_is_slower() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(paths()).await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                let wanted = ["/slow", "/hello", "/stream", "/slow", "/nothing", "/hello"];
                peer.send(wanted.map(get).concat());
                peer.send(post("/echo", "last"));
                for expected in ["slow", "hello", "onetwo", "slow", "", "hello", "last"] {
                    assert_eq!(peer.answer().text(), expected);
                }
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn the_answers_to_pipelined_requests_leave_in_one_send() {
    const REQUESTS: usize = 16;
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(paths()).await;
            let address = address(&server);
            let counters = Counters::here();
            thread(move || {
                let mut peer = Peer::connect(address);
                peer.ask(get("/hello"));
                for _ in 0..10 {
                    let before = counters.get("sends");
                    peer.send(get("/hello").repeat(REQUESTS));
                    for _ in 0..REQUESTS {
                        assert_eq!(peer.answer().text(), "hello");
                    }
                    assert_eq!(counters.get("sends") - before, 1);
                }
            })
            .await;
            stop(server).await;
        });
    });
}

/// One of everything that has a say in where the next request begins.
fn corpus() -> (String, Vec<&'static str>) {
    let requests = [
        get("/hello"),
        post("/echo", "text"),
        post_chunks("/echo", &["ab", "c"]),
        request("POST", "/echo", "Transfer-Encoding: chunked\r\n", "1;x=\"y\"\r\nd\r\n0\r\nX-A: b\r\n\r\n"),
        post("/ignore", "unread"),
        post_chunks("/ignore", &["unread"]),
        request("HEAD", "/hello", "", ""),
        get("/stream"),
        get("/missing"),
        request("GET", "/hello", "Connection: close\r\n", ""),
    ];
    let answers = vec!["hello", "text", "abc", "d", "ignored", "ignored", "", "onetwo", "Not Found", "hello"];
    (requests.concat(), answers)
}

#[track_caller]
fn corpus_is_answered(peer: &mut Peer, answers: &[&str]) {
    for (number, expected) in answers.iter().enumerate() {
        let answer = if number == 6 { peer.answer_to_head() } else { peer.answer() };
        assert_eq!(answer.text(), *expected, "answer {number}: {}", answer.head);
    }
    peer.expect_end();
}

/// Goal: where the kernel cuts the stream decides nothing. Method: two pieces for every place there is, the second sent when
/// the first has been taken.
#[test]
fn requests_split_anywhere_are_answered_alike() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(paths()).await;
            let address = address(&server);
            let counters = Counters::here();
            thread(move || {
                let (sent, answers) = corpus();
                for place in 1..sent.len() {
                    let (first, second) = sent.split_at(place);
                    let before = counters.get("bytes_received");
                    let mut peer = Peer::connect(address);
                    peer.send(first);
                    counters.wait_for("bytes_received", before + place as u64);
                    peer.send(second);
                    corpus_is_answered(&mut peer, &answers);
                }
            })
            .await;
            assert_eq!(counter("http_refused"), 0);
            stop(server).await;
        });
    });
}

#[test]
fn requests_that_come_byte_by_byte_are_answered_alike() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(paths()).await;
            let address = address(&server);
            let counters = Counters::here();
            thread(move || {
                let (sent, answers) = corpus();
                let mut peer = Peer::connect(address);
                for (count, byte) in sent.bytes().enumerate() {
                    peer.send([byte]);
                    counters.wait_for("bytes_received", count as u64 + 1);
                }
                corpus_is_answered(&mut peer, &answers);
            })
            .await;
            stop(server).await;
        });
    });
}

/// Goal: who is cut off can ask again without anything being done twice. Method: two requests on a connection that ends, in
/// order or by a reset, behind every byte; each counts what it does when it has its whole body.
#[test]
fn a_connection_that_breaks_anywhere_executes_nothing_twice_and_answers_nothing_twice() {
    each_driver(|builder| {
        run(builder, async {
            let done = Arc::new([const { AtomicU64::new(0) }; 2]);
            let doing = done.clone();
            let server = serve_http(service(async move |mut request: Request| {
                let number = usize::from(request.path() == "/1");
                request.bytes().await?;
                doing[number].fetch_add(1, Ordering::Relaxed);
                Ok::<_, HandlerError>(format!("done {number}"))
            }))
            .await;
            let address = address(&server);
            let counters = Counters::here();
            let seen = done.clone();
            thread(move || {
                let (first, second) = (post("/0", "body"), post_chunks("/1", &["bo", "dy"]));
                let sent = format!("{first}{second}");
                let counts = || [0, 1].map(|number| seen[number].load(Ordering::Relaxed));
                for place in 0..=sent.len() {
                    let whole = [u64::from(place >= first.len()), u64::from(place == sent.len())];
                    for resets in [false, true] {
                        let (before, received) = (counts(), counters.get("bytes_received"));
                        let closed = counters.get("connections_closed");
                        let mut peer = Peer::connect(address);
                        peer.send(&sent[..place]);
                        if resets {
                            counters.wait_for("bytes_received", received + place as u64);
                            socket2::SockRef::from(&peer.stream)
                                .set_linger(Some(std::time::Duration::ZERO))
                                .expect("linger");
                        } else {
                            peer.finish();
                            let (rest, _) = peer.rest();
                            let rest = String::from_utf8(rest).expect("text");
                            let answered =
                                [0, 1].map(|number| rest.matches(&format!("done {number}")).count() as u64);
                            assert_eq!(answered, whole, "cut off at {place}: {rest}");
                            let refused = u64::from(rest.matches("HTTP/1.1 400 ").count() as u64 == 1);
                            assert_eq!(
                                rest.matches("HTTP/1.1 ").count() as u64,
                                whole[0] + whole[1] + refused,
                                "{rest}"
                            );
                        }
                        drop(peer);
                        counters.wait_for("connections_closed", closed + 1);
                        let after = counts();
                        assert_eq!([after[0] - before[0], after[1] - before[1]], whole, "cut off at {place}");
                    }
                }
            })
            .await;
            assert_eq!(counter("http_handlers_panicked"), 0);
            stop(server).await;
        });
    });
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| {
                Router::new()
                    .get("/text", async |_| "hello")
                    .get("/large", async |_| vec![b'x'; 100_000])
                    .get("/sized", async |_| {
                        Response::stream_sized(7, async |_| panic!("nobody is to write it"))
                    })
                    .get("/chunks", async |_| Response::stream(async |_| panic!("nobody is to write it")))
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                let mut head = |path| peer.ask(request("HEAD", path, "", ""));
                assert_eq!(head("/text").field("content-length"), Some("5"));
                assert_eq!(head("/large").field("content-length"), Some("100000"));
                assert_eq!(head("/sized").field("content-length"), Some("7"));
                assert_eq!(head("/chunks").field("transfer-encoding"), Some("chunked"));
                assert_eq!(head("/missing").status, 404);
                assert_eq!(peer.ask(get("/text")).text(), "hello");
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn statuses_without_a_body_have_none_whatever_the_handler_says() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service(async |request: Request| {
                let status = StatusCode::from_bytes(&request.path().as_bytes()[1..4]).expect("a status");
                if request.query().is_some() {
                    return Response::stream(async |_| panic!("nobody is to write it")).status(status);
                }
                Response::text("not to be sent").status(status)
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                for target in ["/204", "/304", "/204?stream", "/304?stream"] {
                    let answer = peer.ask(get(target));
                    assert_eq!(answer.status.to_string(), target[1..4]);
                    for name in ["content-length", "transfer-encoding", "content-type"] {
                        assert_eq!(answer.field(name), None, "{}", answer.head);
                    }
                }
                assert_eq!(peer.ask(get("/200")).text(), "not to be sent");
            })
            .await;
            stop(server).await;
        });
    });
}

/// An interim status ends nothing: the client would take the answer to its next request for the one it waits for.
#[test]
fn an_interim_status_is_no_answer() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service(async |request: Request| {
                StatusCode::from_bytes(&request.path().as_bytes()[1..4]).expect("a status")
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                for target in ["/100", "/101", "/103", "/199"] {
                    assert_eq!(peer.ask(get(target)).status, 500, "{target}");
                }
                assert_eq!(peer.ask(get("/200")).status, 200);
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn http_1_0_closes_unless_it_asks_to_stay_and_never_sees_chunks() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(paths()).await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                let old = |target, fields| format!("GET {target} HTTP/1.0\r\n{fields}\r\n");
                for _ in 0..2 {
                    let answer = peer.ask(old("/hello", "Connection: Keep-Alive\r\n"));
                    assert_eq!((answer.text(), answer.field("connection")), ("hello", Some("keep-alive")));
                }
                let answer = peer.ask(old("/hello", ""));
                assert!(answer.says_close(), "{}", answer.head);
                peer.expect_end();

                let mut peer = Peer::connect(address);
                let answer = peer.ask(old("/stream", "Connection: keep-alive\r\n"));
                assert_eq!((answer.text(), answer.says_close()), ("onetwo", true));
                assert_eq!((answer.field("transfer-encoding"), answer.field("content-length")), (None, None));
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn either_side_may_ask_for_the_end() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| {
                Router::new()
                    .get("/stays", async |_| "stays")
                    .get("/goes", async |_| Response::text("goes").close())
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let close = |target| request("GET", target, "Connection: x, close\r\n", "");
                for last in [close("/stays"), get("/goes"), close("/goes")] {
                    let mut peer = Peer::connect(address);
                    assert!(!peer.ask(get("/stays")).says_close());
                    // What comes behind the last request is not looked at.
                    peer.send(last + &get("/stays"));
                    let answer = peer.answer();
                    assert!(answer.says_close(), "{}", answer.head);
                    assert_eq!(answer.head.matches("lose").count(), 1, "said once: {}", answer.head);
                    peer.expect_end();
                }
            })
            .await;
            assert_eq!(counter("http_requests"), 6);
            stop(server).await;
        });
    });
}

#[test]
fn what_frames_a_response_is_the_servers_and_a_date_may_be_the_handlers() {
    each_driver(|builder| {
        run(builder, async {
            let value = header::HeaderValue::from_static;
            let server = serve_http(service(async move |_| {
                Response::text("hello")
                    .header(header::CONTENT_LENGTH, value("99"))
                    .header(header::TRANSFER_ENCODING, value("chunked"))
                    .header(header::CONNECTION, value("keep-alive, x"))
                    .header(header::DATE, value("Sun, 06 Nov 1994 08:49:37 GMT"))
                    .header(header::SET_COOKIE, value("a=1"))
                    .header(header::SET_COOKIE, value("b=2"))
                    .header(header::CONTENT_TYPE, value("text/html"))
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                peer.send(get("/"));
                let head = peer.until("\r\n\r\n").to_lowercase();
                assert_eq!(peer.take(5), b"hello");
                let lines: Vec<_> = head.trim_end().lines().collect();
                let expected = [
                    "http/1.1 200 ok",
                    "content-length: 5",
                    "content-type: text/html",
                    "date: sun, 06 nov 1994 08:49:37 gmt",
                    "set-cookie: a=1",
                    "set-cookie: b=2",
                ];
                let mut sorted = lines.clone();
                sorted.sort_unstable();
                assert_eq!(
                    sorted,
                    {
                        let mut e = expected;
                        e.sort_unstable();
                        e
                    },
                    "{head}"
                );
            })
            .await;
            stop(server).await;
        });
    });
}
