//! Parts of a request that outlive its answer, in other tasks; and what one request must not leave to the next.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use annulet::http::{
    Body, BodyError, HandlerError, Request, Response, Router, StatusCode, header, router, service,
};
use annulet::{spawn_local, yield_now};

use crate::support::http_peer::*;
use crate::support::*;

/// What a task got of a body: bytes, and how it ended.
type Got = Arc<Mutex<Option<Result<usize, BodyError>>>>;

async fn read(mut body: Body) -> Result<usize, BodyError> {
    let mut bytes = 0;
    while let Some(chunk) = body.recv().await? {
        bytes += chunk.len();
    }
    Ok(bytes)
}

/// The handler answers while a task still waits for the body, or before it began to: the task learns that it gets nothing more,
/// and the connection goes on.
#[test]
fn a_body_read_by_a_task_ends_with_the_answer() {
    for task_first in [false, true] {
        each_driver(|builder| {
            run(builder, async {
                let got = Got::default();
                let result = got.clone();
                let server = serve_http(service(async move |request: Request| {
                    if request.path() != "/" {
                        return "next";
                    }
                    let (body, result) = (request.into_body(), result.clone());
                    spawn_local(async move {
                        let ended = read(body).await;
                        *result.lock().expect("not poisoned") = Some(ended);
                    });
                    if task_first {
                        // It takes what is there, and waits for more.
                        for _ in 0..5 {
                            yield_now().await;
                        }
                    }
                    "accepted"
                }))
                .await;
                let address = address(&server);
                let ended = thread(move || {
                    let mut peer = Peer::connect(address);
                    peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
                    assert_eq!(peer.answer().text(), "accepted");
                    peer.send("67890");
                    assert_eq!(peer.ask(get("/next")).text(), "next");
                    peer.finish();
                    peer.expect_end();
                    got.lock().expect("not poisoned").take()
                })
                .await;
                assert_eq!(ended, Some(Err(BodyError::Answered)), "task first: {task_first}");
                stop(server).await;
            });
        });
    }
}

/// Whoever keeps a part of a request keeps neither the connection open nor waits for ever.
#[test]
fn what_is_kept_of_a_request_does_not_keep_the_connection() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| {
                let kept: Rc<RefCell<Vec<Request>>> = Rc::default();
                let writers = Rc::new(RefCell::new(Vec::new()));
                Router::new()
                    .get("/kept", async move |request: Request| {
                        kept.borrow_mut().push(request);
                        Response::text("kept").close()
                    })
                    .get("/writer", async move |_| {
                        let writers = writers.clone();
                        Response::stream(async move |mut writer| {
                            writer.write("begun").await?;
                            writers.borrow_mut().push(writer);
                            Ok(())
                        })
                    })
                    .get("/watched", async |request: Request| {
                        spawn_local(async move { request.client_gone().await });
                        "watched"
                    })
            }))
            .await;
            let address = address(&server);
            let counters = Counters::here();
            let tasks = counters.get("tasks_live");
            thread(move || {
                let mut peer = Peer::connect(address);
                assert_eq!(peer.ask(get("/kept")).text(), "kept");
                peer.expect_end();
                let mut peer = Peer::connect(address);
                // To a client of HTTP/1.0 the end of the connection is that of the body.
                peer.send("GET /writer HTTP/1.0\r\n\r\n");
                let (rest, _) = peer.rest();
                assert!(rest.ends_with(b"\r\n\r\nbegun"), "{}", rest.escape_ascii());
                let mut peer = Peer::connect(address);
                for _ in 0..3 {
                    assert_eq!(peer.ask(get("/watched")).text(), "watched");
                }
                peer.finish();
                peer.expect_end();
                counters.wait_for("connections_closed", 3);
            })
            .await;
            // Every watcher has ended with its request.
            let live = Counters::here().get("tasks_live");
            assert!(live <= tasks, "{live} tasks, {tasks} before");
            stop(server).await;
        });
    });
}

#[test]
fn trailers_are_those_of_their_request() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service(async |mut request: Request| {
                request.bytes().await?;
                let trailers = request.body().trailers();
                Ok::<_, HandlerError>(format!("{}", trailers.len()))
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                let body = "1\r\nx\r\n0\r\nX-User: alice\r\n\r\n";
                let answer = peer.ask(request("POST", "/", "Transfer-Encoding: chunked\r\n", body));
                assert_eq!(answer.text(), "1");
                assert_eq!(peer.ask(get("/")).text(), "0");
            })
            .await;
            stop(server).await;
        });
    });
}

/// The handler has not asked for the body yet when the drain begins, or the client waits for word: the body is received all the
/// same.
#[test]
fn a_body_nobody_waited_for_yet_is_received_while_the_server_drains() {
    for expect in ["", "Expect: 100-continue\r\n"] {
        each_driver(|builder| {
            run(builder, async {
                let entered = Gate::new();
                let enters = entered.clone();
                let drains = Gate::new();
                let is_draining = drains.clone();
                let server = serve_http(service(async move |request: Request| {
                    enters.open();
                    is_draining.passed().await;
                    Ok::<_, HandlerError>(read(request.into_body()).await?.to_string())
                }))
                .await;
                let address = address(&server);
                let client = thread({
                    let (entered, drains) = (entered.clone(), drains.clone());
                    move || {
                        let mut peer = Peer::connect(address);
                        let fields = format!("Content-Length: 10\r\n{expect}");
                        let first = if expect.is_empty() { "12345" } else { "" };
                        peer.send(request("POST", "/", &fields, first));
                        entered.block();
                        drains.block();
                        if !expect.is_empty() {
                            assert_eq!(peer.answer().status, 100);
                        }
                        peer.send(&"1234567890"[first.len()..]);
                        let answer = peer.answer();
                        assert_eq!((answer.status, answer.text(), answer.says_close()), (200, "10", true));
                        peer.expect_end();
                    }
                });
                entered.passed().await;
                server.start_drain();
                yield_now().await;
                drains.open();
                client.await;
                stop(server).await;
            });
        });
    }
}

#[test]
fn lengths_are_said_only_where_they_are_true() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| {
                let length = |value| header::HeaderValue::from_static(value);
                Router::new()
                    .head("/file", async move |_| {
                        Response::new(StatusCode::OK).header(header::CONTENT_LENGTH, length("1234"))
                    })
                    .head("/unknown", async |_| Response::new(StatusCode::OK))
                    .get("/reset", async |_| (StatusCode::RESET_CONTENT, "not sent"))
                    .get("/hop", async |_| {
                        let close = header::HeaderValue::from_static("x-hop, Close");
                        Response::text("last").header(header::CONNECTION, close)
                    })
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                peer.send(request("HEAD", "/file", "", ""));
                assert_eq!(peer.answer_to_head().field("content-length"), Some("1234"));
                peer.send(request("HEAD", "/unknown", "", ""));
                assert_eq!(peer.answer_to_head().field("content-length"), None);
                let reset = peer.ask(get("/reset"));
                assert_eq!((reset.status, reset.text(), reset.field("content-length")), (205, "", Some("0")));
                assert!(peer.ask(get("/hop")).says_close());
                peer.expect_end();
            })
            .await;
            stop(server).await;
        });
    });
}
