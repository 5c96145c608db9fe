//! What a client may ask for, and how long it may take.

use std::time::{Duration, Instant};

use annulet::Clocks;
use annulet::http::{HandlerError, HeadLimits, Request, Router, Service, Settings, router};

use crate::support::http_peer::*;
use crate::support::*;

fn paths(settings: Settings) -> Service {
    router(|_| {
        Router::new().get("/{*rest}", async |_| "hello").get("/", async |_| "hello").post(
            "/",
            async |mut request: Request| {
                let body = request.bytes().await?;
                Ok::<_, HandlerError>(body.len().to_string())
            },
        )
    })
    .settings(settings)
}

#[test]
fn heads_up_to_the_limits_are_answered_and_those_beyond_refused() {
    each_driver(|builder| {
        run(builder, async {
            let limits = HeadLimits { bytes: 1000, fields: 10, target: 100, ..HeadLimits::default() };
            let server = serve_http(paths(Settings::default().head(limits))).await;
            let address = address(&server);
            // One of the fields is Host.
            let bytes = |bytes: usize| {
                let field = |length| request("GET", "/", &format!("X: {}\r\n", "x".repeat(length)), "");
                field(bytes - field(0).len())
            };
            let fields = |count: usize| request("GET", "/", &"X: x\r\n".repeat(count - 1), "");
            let target = |length: usize| get(&format!("/{}", "x".repeat(length - 1)));
            thread(move || {
                let mut peer = Peer::connect(address);
                for within in [bytes(1000), fields(10), target(100)] {
                    assert_eq!(peer.ask(within).status, 200);
                }
                let without_end = |head: String, length: usize| head[..length].to_owned();
                for (beyond, status) in [
                    (bytes(1001), 431),
                    (fields(11), 431),
                    (target(101), 414),
                    // It does not take the head's end to see that.
                    (without_end(bytes(2000), 1000), 431),
                    (without_end(fields(11), fields(11).len() - 2), 431),
                    (without_end(target(200), "GET ".len() + 101), 414),
                ] {
                    let mut peer = Peer::connect(address);
                    let answer = peer.ask(&beyond);
                    assert_eq!((answer.status, answer.says_close()), (status, true), "{beyond}");
                    peer.expect_end();
                }
            })
            .await;
            assert_eq!(counter("http_refused"), 6);
            stop(server).await;
        });
    });
}

#[test]
fn a_head_without_end_costs_no_more_than_its_limit() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(paths(Settings::default())).await;
            let address = address(&server);
            thread(move || {
                for head in ["", "GET /", "GET / HTTP/1.1\r\nX: ", "GET / HTTP/1.1\r\n"] {
                    let mut peer = Peer::connect(address);
                    peer.send(head);
                    let piece =
                        if head.ends_with("\r\n") { "X: y\r\n".repeat(200) } else { "x".repeat(1200) };
                    (0..15).for_each(|_| peer.send_in_vain(&piece));
                    let status = peer.answer().status;
                    assert!(matches!(status, 400 | 414 | 431), "{head}: {status}");
                }
            })
            .await;
            assert!(counter("bytes_received") < 4 * 64 * 1024);
            stop(server).await;
        });
    });
}

/// The codec has a bound of its own: what is beyond that is refused before the head has an end.
#[test]
fn a_head_without_end_is_refused_whatever_the_limit() {
    each_driver(|builder| {
        run(builder, async {
            let limits = HeadLimits { bytes: 1024 * 1024, ..HeadLimits::default() };
            let server = serve_http(paths(Settings::default().head(limits))).await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                peer.send("GET / HTTP/1.1\r\nX: ");
                peer.send_in_vain("x".repeat(70_000));
                assert_eq!(peer.answer().status, 431);
            })
            .await;
            stop(server).await;
        });
    });
}

/// Starts with clocks of 300 ms, lets a client come to where one runs out, and returns how the connection ended.
#[track_caller]
fn runs_out(
    settings: Settings,
    clocks: Clocks,
    lead_up: impl Fn(&mut Peer) + Copy + Send + 'static,
    statuses: &'static [u16],
) {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http_with(paths(settings), clocks).await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                let start = Instant::now();
                lead_up(&mut peer);
                for status in statuses {
                    let answer = peer.answer();
                    assert_eq!((answer.status, answer.says_close()), (*status, true));
                }
                peer.expect_end();
                assert!(start.elapsed() >= SHORT * 9 / 10, "{:?}", start.elapsed());
                assert!(start.elapsed() < SHORT * 40, "{:?}", start.elapsed());
            })
            .await;
            assert_eq!(counter("http_timeouts"), statuses.len() as u64);
            stop(server).await;
        });
    });
}

const SHORT: Duration = Duration::from_millis(300);
/// No clock of the connection's but those that are tested.
fn patient() -> Clocks {
    Clocks::default().setup(None).inactivity(None)
}

/// Sends a byte now and then until the other side is gone.
fn trickle(peer: &mut Peer, byte: u8) {
    let start = Instant::now();
    while start.elapsed() < SHORT * 15 && std::io::Write::write_all(&mut peer.stream, &[byte]).is_ok() {
        std::thread::sleep(SHORT / 20);
        let mut seen = [0];
        peer.stream.set_nonblocking(true).expect("non-blocking");
        let answered = peer.stream.peek(&mut seen).is_ok();
        peer.stream.set_nonblocking(false).expect("blocking");
        if answered {
            return;
        }
    }
}

#[test]
fn a_head_that_trickles_in_is_408() {
    let settings = Settings::default().head_timeout(Some(SHORT));
    runs_out(
        settings,
        patient(),
        |peer| {
            peer.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
            trickle(peer, b'x');
        },
        &[408],
    );
}

#[test]
fn the_clock_of_a_head_begins_anew_with_each() {
    let settings = Settings::default().head_timeout(Some(SHORT * 4));
    runs_out(
        settings,
        patient(),
        |peer| {
            for _ in 0..3 {
                // Between them it does not run.
                std::thread::sleep(SHORT);
                assert_eq!(peer.ask(get("/")).status, 200);
                peer.send("GET / HT");
                std::thread::sleep(SHORT);
                peer.send("TP/1.1\r\nHost: a\r\n\r\n");
                assert_eq!(peer.answer().status, 200);
            }
            peer.send(get("/") + "GET / HT");
            assert_eq!(peer.answer().status, 200);
        },
        &[408],
    );
}

#[test]
fn a_head_that_stops_is_408_by_the_clock_of_inactivity() {
    let settings = Settings::default().head_timeout(None);
    let clocks = patient().inactivity(Some(SHORT));
    runs_out(settings, clocks, |peer| peer.send("GET / HTTP/1.1\r\nHost: a\r\n"), &[408]);
}

#[test]
fn a_body_that_stops_is_408() {
    let clocks = patient().inactivity(Some(SHORT));
    runs_out(
        Settings::default(),
        clocks,
        |peer| {
            peer.send(request("POST", "/", "Content-Length: 10\r\n", "01234"));
        },
        &[408],
    );
    runs_out(
        Settings::default(),
        clocks,
        |peer| {
            peer.send(request("POST", "/", "Transfer-Encoding: chunked\r\n", "5\r\n01234\r\n"));
        },
        &[408],
    );
}

#[test]
fn a_body_that_trickles_in_is_408_once_it_is_slower_than_it_may_be() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http_with(paths(Settings::default().body_rate_min(1000)), patient()).await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                let start = Instant::now();
                peer.send(request("POST", "/", "Content-Length: 1000\r\n", ""));
                for _ in 0..1000 {
                    peer.send_in_vain("x");
                    std::thread::sleep(Duration::from_millis(20));
                    peer.stream.set_nonblocking(true).expect("non-blocking");
                    let answered = peer.stream.peek(&mut [0]).is_ok();
                    peer.stream.set_nonblocking(false).expect("blocking");
                    if answered {
                        break;
                    }
                }
                assert_eq!(peer.answer().status, 408);
                assert!(start.elapsed() >= Duration::from_millis(4900), "the grace: {:?}", start.elapsed());
            })
            .await;
            assert_eq!(counter("http_timeouts"), 1);
            stop(server).await;
        });
    });
}

#[test]
fn a_client_that_asks_for_nothing_more_is_let_go_without_a_word() {
    let settings = Settings::default().keep_alive(Some(SHORT));
    runs_out(settings, patient(), |peer| assert_eq!(peer.ask(get("/")).status, 200), &[]);
    // Also after a body, and when half an hour would be allowed for a head.
    runs_out(settings, patient(), |peer| assert_eq!(peer.ask(post("/", "body")).text(), "4"), &[]);
    runs_out(settings, patient(), |peer| assert_eq!(peer.ask(post_chunks("/", &["body"])).text(), "4"), &[]);
}

#[test]
fn a_client_that_never_says_anything_is_let_go_without_a_word() {
    runs_out(Settings::default(), patient().setup(Some(SHORT)), |_| {}, &[]);
}

#[test]
fn the_last_request_a_connection_may_bring_says_so() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(paths(Settings::default().requests_max(3))).await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                assert!(!peer.ask(get("/")).says_close());
                assert!(!peer.ask(post("/", "body")).says_close());
                peer.send(get("/").repeat(2));
                assert!(peer.answer().says_close());
                peer.expect_end();
            })
            .await;
            assert_eq!(counter("http_requests"), 3);
            stop(server).await;
        });
    });
}

#[test]
fn limits_that_are_turned_off_are_none() {
    each_driver(|builder| {
        run(builder, async {
            let settings =
                Settings::default().requests_max(0).head_timeout(None).keep_alive(None).body_rate_min(0);
            let server = serve_http_with(paths(settings), patient()).await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                peer.send("GET / HTTP/1.1\r\nHost: a");
                std::thread::sleep(SHORT);
                peer.send("\r\n\r\n");
                assert_eq!(peer.answer().status, 200);
                std::thread::sleep(SHORT);
                assert_eq!(peer.ask(get("/")).status, 200);
            })
            .await;
            assert_eq!(counter("http_timeouts") + counter("timeouts_idle"), 0);
            stop(server).await;
        });
    });
}
