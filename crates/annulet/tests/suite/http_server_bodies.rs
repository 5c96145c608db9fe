//! Bodies of requests: how they are read, and what becomes of those that are not, or are none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use annulet::http::{
    Body, BodyError, HandlerError, Request, Response, Router, Service, Settings, StatusCode, router, service,
};
use annulet::time::sleep;

use crate::support::http_peer::*;
use crate::support::*;

/// Reads all, piece by piece, and says how much it was.
async fn count(mut request: Request) -> Result<String, HandlerError> {
    let mut bytes = 0;
    while let Some(chunk) = request.body().recv().await? {
        assert!(!chunk.is_empty());
        bytes += chunk.len();
    }
    Ok(bytes.to_string())
}

fn large(settings: Settings) -> Settings {
    settings.body_max(u64::MAX)
}

#[test]
fn bodies_of_any_size_arrive_whole() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(
                service(async |mut request: Request| {
                    let mut pattern = Pattern::new(7);
                    while let Some(chunk) = request.body().recv().await? {
                        pattern.check(&chunk);
                    }
                    assert!(request.body().is_ended());
                    Ok::<_, HandlerError>(pattern.position().to_string())
                })
                .settings(large(Settings::default())),
            )
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                for size in [1, 2, 4095, 4096, 4097, 65_536, 1_000_000] {
                    let body = Pattern::new(7).take(size);
                    peer.send(request("POST", "/", &format!("Content-Length: {size}\r\n"), ""));
                    peer.send(&body);
                    assert_eq!(peer.answer().text(), size.to_string());
                    // Chunks of every size there is up to some hundred, and what is left.
                    peer.send(request("POST", "/", "Transfer-Encoding: chunked\r\n", ""));
                    let mut rest = &body[..];
                    for length in (1..500).cycle() {
                        let (chunk, after) = rest.split_at(length.min(rest.len()));
                        peer.send([format!("{:X}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
                        rest = after;
                        if rest.is_empty() {
                            break;
                        }
                    }
                    peer.send("0\r\n\r\n");
                    assert_eq!(peer.answer().text(), size.to_string());
                }
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn a_client_that_waits_is_told_to_go_on_when_the_handler_reads() {
    each_driver(|builder| {
        run(builder, async {
            let reads = Gate::new();
            let may_read = reads.clone();
            let server = serve_http(service(async move |request: Request| {
                may_read.passed().await;
                count(request).await
            }))
            .await;
            let address = address(&server);
            let counters = Counters::here();
            thread(move || {
                let mut peer = Peer::connect(address);
                peer.send(request("POST", "/", "Content-Length: 4\r\nExpect: 100-continue\r\n", ""));
                counters.wait_for("http_requests", 1);
                let sent = counters.get("bytes_sent");
                reads.open();
                assert_eq!(peer.answer().head, "HTTP/1.1 100 Continue");
                assert_eq!(sent, 0, "nothing was said before the handler read");
                peer.send("body");
                assert_eq!(peer.answer().text(), "4");
                // It holds for that request only, and is said once however often the handler reads.
                assert_eq!(peer.ask(post("/", "more")).text(), "4");
                peer.send(request("POST", "/", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", ""));
                assert_eq!(peer.answer().status, 100);
                for chunk in ["1\r\na\r\n", "1\r\nb\r\n", "0\r\n\r\n"] {
                    let before = counters.get("bytes_received");
                    peer.send(chunk);
                    counters.wait_for("bytes_received", before + chunk.len() as u64);
                }
                assert_eq!(peer.answer().text(), "2");
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn a_client_that_does_not_wait_for_word_gets_none() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service(count)).await;
            let address = address(&server);
            let counters = Counters::here();
            thread(move || {
                let mut peer = Peer::connect(address);
                let fields = "Content-Length: 4\r\nExpect: 100-continue\r\n";
                assert_eq!(peer.ask(request("POST", "/", fields, "body")).text(), "4");
                // Half of it is word enough that the other half comes.
                peer.send(request("POST", "/", fields, "bo"));
                let all =
                    request("POST", "/", fields, "body").len() + request("POST", "/", fields, "bo").len();
                counters.wait_for("bytes_received", all as u64);
                peer.send("dy");
                assert_eq!(peer.answer().text(), "4");
                // HTTP/1.0 knows nothing of it (RFC 9110 §10.1.1).
                peer.send("POST / HTTP/1.0\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
                peer.send("body");
                assert_eq!(peer.answer().text(), "4");
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn a_client_that_waits_and_is_answered_at_once_is_not_asked_for_the_body() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| Router::new().post("/", async |_| "no need"))).await;
            let address = address(&server);
            thread(move || {
                for path in ["/", "/missing"] {
                    let mut peer = Peer::connect(address);
                    let fields = "Content-Length: 4\r\nExpect: 100-continue\r\n";
                    let answer = peer.ask(request("POST", path, fields, ""));
                    assert_eq!(answer.status, if path == "/" { 200 } else { 404 });
                    // Nobody knows whether what comes next is the body.
                    assert!(answer.says_close(), "{}", answer.head);
                    peer.expect_end();
                }
            })
            .await;
            stop(server).await;
        });
    });
}

/// Goal: a handler that reads slowly holds up its client, and costs bounded memory. Method: it reads one chunk, and no more
/// until the client is stuck.
#[test]
fn a_slow_handler_slows_its_client() {
    const TOTAL: usize = 64 << 20;
    each_driver_alone(|builder| {
        run(builder, async {
            let go = Gate::new();
            let may_go = go.clone();
            let server = serve_http(
                service(async move |mut request: Request| {
                    let mut bytes = request.body().recv().await?.map_or(0, |chunk| chunk.len());
                    may_go.passed().await;
                    while let Some(chunk) = request.body().recv().await? {
                        bytes += chunk.len();
                    }
                    Ok::<_, HandlerError>(bytes.to_string())
                })
                .settings(large(Settings::default())),
            )
            .await;
            let address = address(&server);
            let before = Memory::now();
            let mut peer = thread(move || {
                let mut peer = Peer::connect(address);
                peer.send(request("POST", "/", &format!("Content-Length: {TOTAL}\r\n"), ""));
                peer
            })
            .await;
            let (peer_sent, mut peer) = thread(move || {
                let piece = vec![b'x'; 64 * 1024];
                let mut sent = 0;
                peer.stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a time-out");
                while sent < TOTAL {
                    match std::io::Write::write(&mut peer.stream, &piece[..piece.len().min(TOTAL - sent)]) {
                        Ok(count) => sent += count,
                        Err(_) => break,
                    }
                }
                peer.stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
                (sent, peer)
            })
            .await;
            assert!(peer_sent < TOTAL, "the client was never stuck");
            assert!(counter("receive_paused") > 0);
            let (received, grown) = (counter("bytes_received"), before.grown());
            println!("{peer_sent} bytes sent, {received} received, memory grew by {} KiB", grown >> 10);
            assert!(received < 512 * 1024, "{received} bytes were received for a handler that does not read");
            assert!(grown < 8 << 20, "memory grew by {grown}");
            go.open();
            thread(move || {
                peer.send(vec![b'x'; TOTAL - peer_sent]);
                assert_eq!(peer.answer().text(), TOTAL.to_string());
            })
            .await;
            stop(server).await;
        });
    });
}

/// What handlers may do with a body that is broken.
fn heedless() -> Service {
    async fn until_broken(body: &mut Body) {
        while let Ok(Some(_)) = body.recv().await {}
    }
    router(|_| {
        Router::new()
            .post("/ignores", async |_| "ignored")
            .post("/swallows", async |mut request: Request| {
                until_broken(request.body()).await;
                "never mind"
            })
            .post("/fails", async |mut request: Request| {
                until_broken(request.body()).await;
                Err::<(), _>(HandlerError::message("failed for another reason"))
            })
            .post("/refuses", async |_| StatusCode::FORBIDDEN)
            .post("/streams", async |mut request: Request| {
                until_broken(request.body()).await;
                Response::stream(async |mut body| Ok(body.write("streamed").await?))
            })
            .post("/streams-without", async |_| {
                Response::stream(async |mut body| Ok(body.write("streamed").await?))
            })
            .post("/panics", async |mut request: Request| -> StatusCode {
                until_broken(request.body()).await;
                panic!("as the test asked")
            })
            .post("/upgrades", async |mut request: Request| {
                until_broken(request.body()).await;
                Response::upgrade("echo", async |_| panic!("nobody is to have the connection"))
            })
    })
}

const HEEDLESS: [&str; 9] = [
    "/ignores",
    "/swallows",
    "/fails",
    "/refuses",
    "/streams",
    "/streams-without",
    "/panics",
    "/upgrades",
    "/missing",
];

/// The rest of the connection cannot be trusted, so it is the server that answers.
#[test]
fn a_framing_error_in_a_body_is_400_and_the_end_whatever_the_handler_does() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(heedless()).await;
            let address = address(&server);
            let broken = [
                "x\r\n",
                "5\r\nhello!",
                "5\nhello\r\n",
                "1\r\na\r\n0\r\nHost: b\r\n\r\n",
                "1\r\na\r\n-1\r\n",
            ];
            thread(move || {
                for path in HEEDLESS {
                    for body in broken {
                        let mut peer = Peer::connect(address);
                        let fields = "Transfer-Encoding: chunked\r\nConnection: upgrade\r\nUpgrade: echo\r\n";
                        peer.send(request("POST", path, fields, body) + &get("/ignores"));
                        let answer = peer.answer();
                        assert_eq!(answer.status, 400, "{path} {body:?}: {}", answer.head);
                        assert!(answer.says_close(), "{path} {body:?}: {}", answer.head);
                        peer.expect_end();
                    }
                }
            })
            .await;
            assert_eq!(counter("http_requests"), (HEEDLESS.len() * broken.len()) as u64);
            assert_eq!(counter("http_refused"), (HEEDLESS.len() * broken.len()) as u64);
            stop(server).await;
        });
    });
}

/// What comes after the answer cannot change it, but nothing behind it is a request.
#[test]
fn a_body_that_breaks_after_the_answer_ends_the_connection_without_another() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(heedless()).await;
            let address = address(&server);
            thread(move || {
                for path in ["/ignores", "/refuses", "/missing"] {
                    let mut peer = Peer::connect(address);
                    let answer =
                        peer.ask(request("POST", path, "Transfer-Encoding: chunked\r\n", "1\r\na\r\n"));
                    assert_ne!(answer.status, 400);
                    peer.send_in_vain("x\r\n".to_owned() + &get("/ignores"));
                    assert_eq!(peer.rest().0, b"", "{path}");
                }
            })
            .await;
            assert_eq!(counter("http_requests"), 3);
            assert_eq!(counter("handlers_failed"), 0, "it was the client");
            stop(server).await;
        });
    });
}

/// Once a part of the response is on its way there is nothing but to cut it.
#[test]
fn a_body_that_breaks_during_a_streaming_response_cuts_it() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service(async |request: Request| {
                let mut incoming = request.into_body();
                Response::stream(async move |mut body| {
                    while let Some(chunk) = incoming.recv().await? {
                        body.send(chunk).await?;
                    }
                    Ok(())
                })
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                assert_eq!(peer.ask(post_chunks("/", &["one", "two"])).text(), "onetwo");
                peer.send(request("POST", "/", "Transfer-Encoding: chunked\r\n", "3\r\none\r\n"));
                assert_eq!(peer.answer_to_head().status, 200);
                assert_eq!(peer.chunk().as_deref(), Some(&b"one"[..]));
                peer.send("x\r\n");
                assert_eq!(peer.rest(), (Vec::new(), End::Reset));
            })
            .await;
            assert_eq!(counter("http_responses_cut"), 1);
            stop(server).await;
        });
    });
}

/// Goal: a response may be made of the request's body. Method: bodies that are there already, that come later, that are asked
/// for, and that are longer than what would be thrown away.
#[test]
fn a_streaming_response_may_read_the_body_to_its_end() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| {
                Router::new()
                    .post("/writer", async |request: Request| {
                        let mut incoming = request.into_body();
                        Response::stream(async move |mut body| {
                            while let Some(chunk) = incoming.recv().await? {
                                body.send(chunk).await?;
                            }
                            Ok(())
                        })
                    })
                    .post("/body", async |request: Request| {
                        ::http::Response::new(request.into_http().into_body())
                    })
                    .post("/half", async |request: Request| {
                        let mut incoming = request.into_body();
                        Response::stream(async move |mut body| {
                            let first = incoming.recv().await?.expect("a chunk");
                            Ok(body.send(first).await?)
                        })
                    })
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                let large = "0123456789".repeat(10_000);
                for path in ["/writer", "/body"] {
                    for body in ["short", &large] {
                        for sent in [post(path, body), post_chunks(path, &[body])] {
                            let answer = peer.ask(sent);
                            assert_eq!((answer.text(), answer.says_close()), (body, false), "{path}");
                        }
                    }
                    peer.send(request("POST", path, "Content-Length: 4\r\nExpect: 100-continue\r\n", ""));
                    assert_eq!(peer.answer().status, 100);
                    peer.send("body");
                    assert_eq!(peer.answer().text(), "body");
                }
                // What it leaves is nobody's.
                assert_eq!(peer.ask(post_chunks("/half", &["a", "b"])).status, 200);
                assert_eq!(peer.ask(post("/writer", "next")).text(), "next");
                peer.send(request("POST", "/half", "Content-Length: 1000000\r\n", "x"));
                assert_eq!(peer.answer().text(), "x");
                peer.expect_end();
            })
            .await;
            assert_eq!(counter("handlers_failed"), 0, "no handler did");
            stop(server).await;
        });
    });
}

/// RFC 9112 §6.3: a body that is cut off is not to be taken for a whole one.
#[test]
fn a_body_that_is_cut_off_is_an_error() {
    each_driver(|builder| {
        run(builder, async {
            let errors = Arc::new(Mutex::new(Vec::new()));
            let noted = errors.clone();
            let server = serve_http(service(async move |mut request: Request| {
                let error = request.bytes().await.expect_err("cut off");
                // The same again.
                assert_eq!(request.bytes().await, Err(error));
                noted.lock().expect("errors").push(error);
                "never mind"
            }))
            .await;
            let address = address(&server);
            thread(move || {
                for sent in [
                    request("POST", "/", "Content-Length: 5\r\n", "hell"),
                    request("POST", "/", "Transfer-Encoding: chunked\r\n", "4\r\nhell\r\n"),
                    request("POST", "/", "Transfer-Encoding: chunked\r\n", "4\r\nhell\r\n0\r\n"),
                ] {
                    let mut peer = Peer::connect(address);
                    peer.send(sent);
                    peer.finish();
                    let answer = peer.answer();
                    assert_eq!((answer.status, answer.says_close()), (400, true));
                    peer.expect_end();
                }
            })
            .await;
            assert_eq!(
                *errors.lock().expect("errors"),
                [BodyError::Connection(annulet::Error::UnexpectedEnd); 3]
            );
            stop(server).await;
        });
    });
}

#[test]
fn a_body_over_the_limit_is_400_when_it_is_declared_and_413_when_it_comes() {
    each_driver(|builder| {
        run(builder, async {
            let called = Arc::new(Mutex::new(Vec::new()));
            let noted = called.clone();
            let server = serve_http(
                router(move |_| {
                    let noted = noted.clone();
                    let reads = async move |mut request: Request| {
                        noted.lock().expect("called").push(request.target().to_owned());
                        request.bytes().await.map(|bytes| bytes.len().to_string())
                    };
                    Router::new()
                        .post("/usual", reads.clone())
                        .post("/ignores", async |_| "ignored")
                        .post("/raises", async |mut request: Request| {
                            request.body().set_max(20);
                            request.bytes().await.map(|bytes| bytes.len().to_string())
                        })
                        .body_max(5)
                        .post("/small", reads.clone())
                        .body_max(15)
                        .post("/large", reads)
                })
                .settings(Settings::default().body_max(10)),
            )
            .await;
            let address = address(&server);
            thread(move || {
                for (path, max) in
                    [("/usual", 10), ("/ignores", 10), ("/small", 5), ("/large", 15), ("/missing", 10)]
                {
                    let body = "x".repeat(max + 1);
                    let mut peer = Peer::connect(address);
                    let within = peer.ask(post(path, &body[1..]));
                    assert!(matches!(within.status, 200 | 404) && !within.says_close(), "{path}");
                    assert!(!peer.ask(post_chunks(path, &[&body[2..], "x"])).says_close(), "{path}");
                    let answer =
                        peer.ask(request("POST", path, &format!("Content-Length: {}\r\n", max + 1), ""));
                    assert_eq!((answer.status, answer.says_close()), (400, true), "{path}");
                    peer.expect_end();
                    let mut peer = Peer::connect(address);
                    let answer = peer.ask(post_chunks(path, &[&body[1..], "x"]));
                    assert_eq!((answer.status, answer.says_close()), (413, true), "{path}");
                    peer.expect_end();
                }
                let mut peer = Peer::connect(address);
                assert_eq!(peer.ask(post_chunks("/raises", &[&"x".repeat(20)])).text(), "20");
                assert_eq!(peer.ask(post_chunks("/raises", &[&"x".repeat(21)])).status, 413);
            })
            .await;
            assert_eq!(counter("http_bodies_too_large"), 11);
            // A body of a declared length over the limit calls nobody.
            assert_eq!(called.lock().expect("called").len(), 9);
            stop(server).await;
        });
    });
}

/// A body nobody reads must not cost the connection when it is short, nor be waited for when it is long.
#[test]
fn what_the_handler_leaves_is_thrown_away_if_it_is_short() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(
                router(|_| {
                    Router::new().post("/ignores", async |_| "ignored").post(
                        "/peeks",
                        async |mut request: Request| {
                            let first = request
                                .body()
                                .recv()
                                .await?
                                .map_or(0, |chunk| usize::from(!chunk.is_empty()));
                            Ok::<_, HandlerError>(first.to_string())
                        },
                    )
                })
                .settings(large(Settings::default())),
            )
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                for body in ["x".to_owned(), "x".repeat(60_000)] {
                    assert_eq!(peer.ask(post("/ignores", &body)).text(), "ignored");
                    assert_eq!(peer.ask(post("/peeks", &body)).text(), "1");
                    assert_eq!(peer.ask(post_chunks("/ignores", &[&body])).text(), "ignored");
                }
                // Answered before all of it is there.
                peer.send(request("POST", "/ignores", "Content-Length: 10\r\n", "01234"));
                assert_eq!(peer.answer().text(), "ignored");
                peer.send("56789");
                assert_eq!(peer.ask(get("/missing")).status, 404);

                let mut peer = Peer::connect(address);
                let answer = peer.ask(request("POST", "/ignores", "Content-Length: 1000000\r\n", ""));
                assert_eq!((answer.text(), answer.says_close()), ("ignored", true));
                peer.expect_end();
            })
            .await;
            stop(server).await;
        });
    });
}

/// RFC 9112 §9.6: the answer must not be lost to a reset because the client is still sending.
#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    each_driver(|builder| {
        run(builder, async {
            let server =
                serve_http(service(async |_| StatusCode::FORBIDDEN).settings(large(Settings::default())))
                    .await;
            let address = address(&server);
            thread(move || {
                for _ in 0..20 {
                    let mut peer = Peer::connect(address);
                    peer.send(request("POST", "/", "Content-Length: 1000000\r\n", ""));
                    peer.send_in_vain([b'x'; 30_000]);
                    assert_eq!(peer.answer().status, 403);
                }
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn trailers_are_there_at_the_end_also_as_a_frame() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| {
                Router::new()
                    .post("/read", async |mut request: Request| {
                        assert!(request.body().trailers().is_empty());
                        request.bytes().await?;
                        let trailers = request.body().trailers();
                        Ok::<_, HandlerError>(format!(
                            "{:?}",
                            trailers.get_all("x-sum").iter().collect::<Vec<_>>()
                        ))
                    })
                    .post("/frames", async |request: Request| {
                        let mut body = Box::pin(request.into_http().into_body());
                        let mut frames = String::new();
                        while let Some(frame) =
                            std::future::poll_fn(|cx| http_body::Body::poll_frame(body.as_mut(), cx)).await
                        {
                            let frame = frame?;
                            if let Some(data) = frame.data_ref() {
                                frames += str::from_utf8(data).expect("text");
                            }
                            if let Some(trailers) = frame.trailers_ref() {
                                frames += &format!(" {:?}", trailers["x-sum"]);
                            }
                        }
                        Ok::<_, HandlerError>(frames)
                    })
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                let chunks = "3\r\nabc\r\n0\r\nX-Sum: 1 \r\nx-sum:2\r\n\r\n";
                let mut ask =
                    |path| peer.ask(request("POST", path, "Transfer-Encoding: chunked\r\n", chunks));
                assert_eq!(ask("/read").text(), r#"["1", "2"]"#);
                assert_eq!(ask("/frames").text(), r#"abc "1""#);
                assert_eq!(peer.ask(post("/frames", "abc")).text(), "abc");
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn bodies_are_read_as_text_forms_and_nothing_else_than_that() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| {
                Router::new()
                    .post("/text", async |mut request: Request| request.text().await)
                    .post("/form", async |mut request: Request| {
                        request.form().await.map(|pairs| format!("{pairs:?}"))
                    })
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                assert_eq!(peer.ask(post("/text", "caf\u{e9}")).text(), "caf\u{e9}");
                let form = peer.ask(post("/form", "a=1&b=x+y%21&b=&c"));
                assert_eq!(form.text(), r#"[("a", "1"), ("b", "x y!"), ("b", ""), ("c", "")]"#);
                peer.send(request("POST", "/text", "Content-Length: 1\r\n", ""));
                let answer = peer.ask([0xff]);
                assert_eq!((answer.status, answer.says_close()), (400, false));
                // The connection is none the worse for it.
                assert_eq!(peer.ask(post("/text", "text")).text(), "text");
            })
            .await;
            stop(server).await;
        });
    });
}

#[cfg(feature = "json")]
#[test]
fn bodies_are_read_as_json_and_refused_when_they_are_none() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service(async |mut request: Request| {
                let numbers: Vec<u32> = request.json().await?;
                Response::json(&numbers.into_iter().sum::<u32>())
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                let answer = peer.ask(post("/", "[1, 2, 3]"));
                assert_eq!((answer.text(), answer.field("content-type")), ("6", Some("application/json")));
                for body in ["[1, 2", "[-1]", "{}", "\u{e9}"] {
                    assert_eq!(peer.ask(post("/", body)).status, 400, "{body}");
                }
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn a_body_kept_beyond_its_answer_has_nothing_more_to_give() {
    each_driver(|builder| {
        run(builder, async {
            let kept = Arc::new(Mutex::new(None));
            let outcome = kept.clone();
            let server = serve_http(service(async move |request: Request| {
                let mut body = request.into_body();
                let outcome = outcome.clone();
                drop(annulet::spawn_local(async move {
                    // The answer is given, and the next request's body arrives.
                    sleep(Duration::from_millis(1)).await;
                    let mut received = Vec::new();
                    let result = loop {
                        match body.recv().await {
                            Ok(Some(chunk)) => received.extend_from_slice(&chunk),
                            Ok(None) => break Ok(received),
                            Err(error) => break Err(error),
                        }
                    };
                    outcome.lock().expect("outcome").get_or_insert(result);
                }));
                "answered"
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                assert_eq!(peer.ask(post("/", "first")).text(), "answered");
                assert_eq!(peer.ask(post("/", "second")).text(), "answered");
            })
            .await;
            until("the body was asked", || kept.lock().expect("kept").is_some()).await;
            assert_eq!(kept.lock().expect("kept").take(), Some(Err(BodyError::Answered)));
            stop(server).await;
        });
    });
}

/// Goal: dropping a wait for the body loses nothing. Method: every wait is given up as soon as it is one.
#[test]
fn giving_up_a_wait_for_the_body_loses_nothing() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service(async |mut request: Request| {
                let mut pattern = Pattern::new(9);
                loop {
                    match annulet::time::timeout(Duration::ZERO, request.body().recv()).await {
                        Ok(Ok(Some(chunk))) => pattern.check(&chunk),
                        Ok(Ok(None)) => return Ok(pattern.position().to_string()),
                        Ok(Err(error)) => return Err(error),
                        Err(_) => annulet::yield_now().await,
                    }
                }
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                let mut pattern = Pattern::new(9);
                peer.send(request("POST", "/", "Content-Length: 100000\r\n", ""));
                for _ in 0..100 {
                    peer.send(pattern.take(1000));
                }
                assert_eq!(peer.answer().text(), "100000");
            })
            .await;
            stop(server).await;
        });
    });
}
