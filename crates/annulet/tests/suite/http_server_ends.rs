//! How requests fail, how connections are handed over, and how a server ends.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use annulet::Connection;
use annulet::http::{
    BodyError, HandlerError, IntoResponse, Request, Response, Router, Settings, StatusCode, WriteError,
    router, service,
};

use crate::support::http_peer::*;
use crate::support::*;

#[test]
fn a_panic_is_500_and_the_connection_lives_where_the_next_request_is_certain() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(
                router(|_| {
                    Router::new()
                        .get("/", async |_| "well")
                        .post("/at-once", async |_| -> StatusCode { panic!("as the test asked") })
                        .post("/later", async |mut request: Request| -> StatusCode {
                            let read = request.bytes().await;
                            annulet::yield_now().await;
                            panic!("as the test asked: {}", read.is_ok())
                        })
                })
                .settings(Settings::default().body_max(u64::MAX)),
            )
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                for path in ["/at-once", "/later"] {
                    let answer = peer.ask(post(path, "body"));
                    assert_eq!((answer.status, answer.says_close()), (500, false));
                    assert!(!answer.text().contains("test"), "the client learns nothing of it");
                    assert_eq!(peer.ask(get("/")).text(), "well");
                }
                let answer = peer.ask(request("POST", "/at-once", "Content-Length: 1000000\r\n", "part"));
                assert_eq!((answer.status, answer.says_close()), (500, true));
                peer.expect_end();
            })
            .await;
            assert_eq!(counter("http_handlers_panicked"), 3);
            assert_eq!(counter("handlers_panicked") + counter("handlers_failed"), 0);
            stop(server).await;
        });
    });
}

#[test]
fn an_error_is_500_or_the_bodys_own_status() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| {
                Router::new()
                    .get("/message", async |_| Err::<(), _>(HandlerError::message("a secret")))
                    .get("/io", async |_| std::fs::read("/nobody/has/this").map_err(HandlerError::from))
                    .post("/body", async |mut request: Request| {
                        let text = request.text().await?;
                        Ok::<_, HandlerError>(text)
                    })
                    .get("/none", async |_| None::<String>)
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                for path in ["/message", "/io"] {
                    let answer = peer.ask(get(path));
                    assert_eq!((answer.status, answer.says_close()), (500, false));
                    assert_eq!(answer.text(), "Internal Server Error");
                }
                assert_eq!(peer.ask(get("/none")).status, 404);
                peer.send(request("POST", "/body", "Content-Length: 1\r\n", ""));
                assert_eq!(peer.ask([0xff]).status, 400);
                assert_eq!(peer.ask(post("/body", "well")).text(), "well");
            })
            .await;
            assert_eq!(counter("http_handlers_failed"), 2);
            stop(server).await;
        });
    });
}

/// The handler's own memory is used again for the next request; what a panic leaves of it is not.
#[test]
fn state_of_a_reactor_outlives_panics_and_needs_neither_locks_nor_send() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| {
                let visits = Rc::new(Cell::new(0));
                Router::new().get("/", async move |_| {
                    let held = visits.clone();
                    held.set(held.get() + 1);
                    annulet::yield_now().await;
                    assert!(held.get() % 2 == 0, "as the test asked");
                    held.get().to_string()
                })
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                for number in 1..=20 {
                    let answer = peer.ask(get("/"));
                    let expected =
                        if number % 2 == 0 { number.to_string() } else { "Internal Server Error".into() };
                    assert_eq!(answer.text(), expected);
                }
            })
            .await;
            stop(server).await;
        });
    });
}

async fn echo_lines(mut connection: Connection) -> annulet::HandlerResult {
    while let Some(chunk) = connection.recv().await? {
        connection.send(chunk).await?;
    }
    Ok(())
}

const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: other, echo\r\n";

#[test]
fn an_upgraded_connection_has_the_bytes_that_came_behind_its_request() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| {
                Router::new().get("/", async |_| "http").get("/upgrade", async |request: Request| {
                    assert!(request.asks_for_upgrade());
                    Response::upgrade("echo", echo_lines)
                })
            }))
            .await;
            let address = address(&server);
            let counters = Counters::here();
            thread(move || {
                // All at once, and cut within what follows.
                for pieces in [vec!["first second"], vec!["first", " second"], vec!["", "first second"]] {
                    let mut peer = Peer::connect(address);
                    assert_eq!(peer.ask(get("/")).text(), "http");
                    let before = counters.get("bytes_received");
                    let head = request("GET", "/upgrade", UPGRADE, pieces[0]);
                    peer.send(&head);
                    counters.wait_for("bytes_received", before + head.len() as u64);
                    pieces[1..].iter().for_each(|piece| peer.send(piece));
                    let answer = peer.answer();
                    assert_eq!((answer.status, answer.field("upgrade")), (101, Some("echo")));
                    assert_eq!(answer.field("connection"), Some("upgrade"));
                    assert_eq!(
                        (answer.field("content-length"), answer.field("transfer-encoding")),
                        (None, None)
                    );
                    assert_eq!(peer.take(12), b"first second");
                    peer.send("GET / HTTP/1.1\r\n\r\n");
                    assert_eq!(peer.take(18), b"GET / HTTP/1.1\r\n\r\n");
                    peer.finish();
                    peer.expect_end();
                }
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn an_upgrade_nobody_offered_is_426_and_one_that_is_declined_stays_http() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(router(|_| {
                Router::new()
                    .get("/declines", async |_| "http")
                    .get("/upgrades", async |_| Response::upgrade("echo", echo_lines))
                    .post("/upgrades", async |_| Response::upgrade("echo", echo_lines))
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                assert_eq!(peer.ask(request("GET", "/declines", UPGRADE, "")).text(), "http");
                for fields in [
                    "",
                    "Upgrade: echo\r\n",
                    "Connection: upgrade\r\n",
                    "Connection: upgrade\r\nUpgrade: other\r\n",
                    "Connection: upgrade\r\nUpgrade: echoes\r\n",
                ] {
                    let answer = peer.ask(request("GET", "/upgrades", fields, ""));
                    assert_eq!((answer.status, answer.field("upgrade")), (426, Some("echo")), "{fields}");
                    assert_eq!(answer.field("connection"), Some("upgrade"), "{fields}");
                    assert_eq!(answer.field("content-length"), Some("0"));
                }
                // Where its body ends the other protocol begins: without that, there is none.
                let fields = format!("{UPGRADE}Content-Length: 4\r\n");
                assert_eq!(peer.ask(request("POST", "/upgrades", &fields, "bo")).status, 426);
                peer.send("dy");
                assert_eq!(peer.ask(get("/declines")).text(), "http");
                assert_eq!(peer.ask(request("POST", "/upgrades", &fields, "body")).status, 101);
                // HTTP/1.0 knows no upgrades (RFC 9110 §7.8).
                let mut peer = Peer::connect(address);
                let answer = peer.ask(format!("GET /upgrades HTTP/1.0\r\n{UPGRADE}\r\n"));
                assert_eq!((answer.status, answer.field("connection")), (426, Some("keep-alive, upgrade")));
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn connect_makes_a_tunnel_where_a_handler_takes_it() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service(async |request: Request| match request.target() {
                "tunnel:1" => Response::upgrade("tunnel", echo_lines),
                "refused:1" => StatusCode::FORBIDDEN.into_response(),
                _ => Response::text("no tunnel"),
            }))
            .await;
            let address = address(&server);
            let connect_to = |target| format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
            thread(move || {
                let mut peer = Peer::connect(address);
                peer.send(connect_to("tunnel:1") + "early");
                let answer = peer.answer_to_head();
                assert_eq!((answer.status, answer.head.lines().count()), (200, 1), "{}", answer.head);
                assert_eq!(peer.take(5), b"early");
                peer.send("late");
                assert_eq!(peer.take(4), b"late");
                // After a success the client would take what follows for the tunnel.
                for (target, status) in [("refused:1", 403), ("other:1", 501)] {
                    let mut peer = Peer::connect(address);
                    let answer = peer.ask(connect_to(target));
                    assert_eq!((answer.status, answer.says_close()), (status, true));
                    peer.expect_end();
                }
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn a_server_that_drains_says_close_in_its_last_responses_and_lets_the_idle_go() {
    each_driver(|builder| {
        run(builder, async {
            let (entered, go) = (Gate::new(), Gate::new());
            let (enters, may_go) = (entered.clone(), go.clone());
            let server = serve_http(router(move |_| {
                let (enters, may_go) = (enters.clone(), may_go.clone());
                Router::new().get("/", async |_| "hello").get("/waits", async move |request: Request| {
                    enters.open();
                    may_go.passed().await;
                    assert!(request.is_draining());
                    "waited"
                })
            }))
            .await;
            let address = address(&server);
            let (mut idle, mut busy) = thread(move || {
                let (mut idle, mut busy, silent) =
                    (Peer::connect(address), Peer::connect(address), Peer::connect(address));
                assert!(!idle.ask(get("/")).says_close());
                assert!(!busy.ask(get("/")).says_close());
                busy.send(get("/waits") + &get("/"));
                (vec![idle, silent], busy)
            })
            .await;
            entered.passed().await;
            let ends = thread(move || {
                // These go at once: what the other waits for comes after.
                idle.iter_mut().for_each(Peer::expect_end);
                go.open();
                let answer = busy.answer();
                assert_eq!((answer.text(), answer.says_close()), ("waited", true));
                busy.expect_end();
            });
            let report = server.stop().await;
            assert_eq!((report.connections, report.cut), (3, 0));
            ends.await;
            assert_eq!(counter("resets_sent"), 0);
        });
    });
}

#[test]
fn requests_that_came_before_the_drain_are_answered() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service(async |_| "hello")).await;
            let address = address(&server);
            let mut peers = thread(move || {
                let mut peers: Vec<_> = (0..20).map(|_| Peer::connect(address)).collect();
                peers.iter_mut().for_each(|peer| assert_eq!(peer.ask(get("/")).text(), "hello"));
                peers
            })
            .await;
            // On the reactor's own thread: it sees none of them before it hears of the stop.
            peers.iter_mut().for_each(|peer| peer.send(get("/")));
            let ends = thread(move || {
                for peer in &mut peers {
                    let answer = peer.answer();
                    assert_eq!((answer.text(), answer.says_close()), ("hello", true));
                    peer.expect_end();
                }
            });
            let report = server.stop().await;
            assert_eq!((report.connections, report.cut), (20, 0));
            ends.await;
        });
    });
}

#[test]
fn an_upload_and_a_download_in_progress_are_finished_while_the_server_drains() {
    const BYTES: usize = 3_000_000;
    each_driver(|builder| {
        run(builder, async {
            let (entered, drains) = (Gate::new(), Gate::new());
            let (enters, is_draining) = (entered.clone(), drains.clone());
            let server = serve_http(
                router(move |_| {
                    let enters = enters.clone();
                    Router::new()
                        .post("/", async move |mut request: Request| {
                            let mut pattern = Pattern::new(1);
                            while let Some(chunk) = request.body().recv().await? {
                                pattern.check(&chunk);
                                enters.open();
                            }
                            Ok::<_, HandlerError>(pattern.position().to_string())
                        })
                        .get("/", async |_| {
                            Response::stream(async |mut body| {
                                let mut pattern = Pattern::new(2);
                                while !body.is_draining() || pattern.position() < BYTES as u64 {
                                    body.write(pattern.take(10_000)).await?;
                                }
                                Ok(())
                            })
                        })
                })
                .settings(Settings::default().body_max(u64::MAX)),
            )
            .await;
            let address = address(&server);
            let fields = ["Content-Length: 3000000\r\n", "Transfer-Encoding: chunked\r\n"];
            let clients = fields.map(|fields| {
                let is_draining = is_draining.clone();
                thread(move || {
                    let mut peer = Peer::connect(address);
                    let body = Pattern::new(1).take(BYTES);
                    let (first, rest) = body.split_at(BYTES / 3);
                    peer.send(request("POST", "/", fields, ""));
                    let chunk = |bytes: &[u8]| {
                        let size = format!("{:x}\r\n", bytes.len());
                        if fields.starts_with('T') {
                            [size.as_bytes(), bytes, b"\r\n"].concat()
                        } else {
                            bytes.to_owned()
                        }
                    };
                    peer.send(chunk(first));
                    is_draining.block();
                    peer.send(chunk(rest));
                    if fields.starts_with('T') {
                        peer.send("0\r\n\r\n");
                    }
                    let answer = peer.answer();
                    assert_eq!((answer.text(), answer.says_close()), ("3000000", true));
                    peer.expect_end();
                })
            });
            let download = thread({
                let is_draining = is_draining.clone();
                move || {
                    let mut peer = Peer::connect(address);
                    peer.send(get("/"));
                    peer.answer_to_head();
                    let mut pattern = Pattern::new(2);
                    while let Some(chunk) = peer.chunk() {
                        pattern.check(&chunk);
                        if pattern.position() == 20_000 {
                            is_draining.block();
                        }
                    }
                    assert!(pattern.position() >= BYTES as u64);
                }
            });
            entered.passed().await;
            until("all are served", || counter("http_requests") == 3).await;
            server.start_drain();
            drains.open();
            let report = server.stop().await;
            assert_eq!((report.connections, report.cut), (3, 0));
            for client in clients {
                client.await;
            }
            download.await;
            assert_eq!(counter("resets_sent") + counter("http_responses_cut"), 0);
        });
    });
}

/// Half a head is no request.
#[test]
fn half_a_head_is_no_reason_to_wait_when_the_server_drains() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service(async |_| "hello")).await;
            let address = address(&server);
            let counters = Counters::here();
            let mut peer = thread(move || {
                let mut peer = Peer::connect(address);
                peer.send("GET / HTTP/1.1\r\nHo");
                counters.wait_for("bytes_received", 18);
                peer
            })
            .await;
            let end = thread(move || peer.expect_end());
            assert!(server.stop().await.is_clean());
            end.await;
            assert_eq!(counter("http_requests"), 0);
        });
    });
}

#[test]
fn what_happens_is_counted() {
    each_driver(|builder| {
        run(builder, async {
            let statuses = Arc::new(Mutex::new(Vec::new()));
            let server = serve_http(service(async |mut request: Request| {
                let length = request.bytes().await?.len();
                Ok::<_, HandlerError>(length.to_string())
            }))
            .await;
            let address = address(&server);
            let noted = statuses.clone();
            thread(move || {
                for sent in [
                    get("/"),
                    "GET /\r\n\r\n".into(),
                    request("POST", "/", "Content-Length: 9999999\r\n", ""),
                ] {
                    noted.lock().expect("statuses").push(Peer::connect(address).ask(sent).status);
                }
            })
            .await;
            assert_eq!(*statuses.lock().expect("statuses"), [200, 400, 400]);
            let counters =
                ["http_requests", "http_refused", "http_bodies_too_large", "http_timeouts"].map(counter);
            assert_eq!(counters, [2, 1, 1, 0]);
            stop(server).await;
        });
    });
}

/// So that it is logged as the client's doing, not as the handler's.
#[test]
fn the_clients_end_is_known_as_such_to_whom_it_befell() {
    let reset = annulet::Error::Reset;
    let errors = [HandlerError::from(WriteError::from(reset)), HandlerError::from(BodyError::from(reset))];
    for error in errors {
        assert_eq!(error.connection_error(), Some(reset));
        assert!(error.to_string().ends_with(&format!(": {reset}")), "{error}");
    }
}
