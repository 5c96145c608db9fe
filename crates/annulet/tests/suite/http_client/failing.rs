//! Peers that break off, break the rules, or take their time.

use std::io::Write;
use std::time::Duration;

use annulet::http::{BodyError, Client, ClientError, HeadLimits, Method, Phase, Processed};
use annulet::proto::http1::HttpError;
use annulet::{Clock, Error};

use super::peer::*;
use super::*;

/// A response with everything that can be in one.
const CHUNKED: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\
    Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n,\r\n06\r\n world\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n";

async fn is_the_chunked_one(client: &Client, url: &str) {
    let mut response = client.get(url).send().await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.text().await.expect("a body"), "hello, world");
    let sums: Vec<_> = response.body().trailers().get_all("x-sum").iter().cloned().collect();
    assert_eq!(sums, ["1", "2"]);
}

#[test]
fn a_response_is_the_same_wherever_it_is_cut_into_pieces() {
    each_driver(|builder| {
        run(builder, async {
            let peer = peer(1, |_, mut stream| {
                for cut in 0..CHUNKED.len() {
                    read_request(&mut stream).expect("a request");
                    write_pieces(&mut stream, [&CHUNKED[..cut], &CHUNKED[cut..]]);
                }
                read_request(&mut stream).expect("a request");
                write_pieces(&mut stream, CHUNKED.chunks(1));
                await_end(&mut stream);
            });
            let client = Client::new();
            for _ in 0..=CHUNKED.len() {
                is_the_chunked_one(&client, &peer.url()).await;
            }
            assert_eq!(counter("client_connections_opened"), 1);
            drop(client);
            peer.ended().await;
        });
    });
}

/// The request is made once, whether the connection is a new one or had been idle: a response has been begun.
#[test]
fn a_response_that_is_cut_off_anywhere_is_an_error_and_the_request_was_made_once() {
    each_driver(|builder| {
        for requests_before in [0, 1] {
            run(builder.clone(), async move {
                // Without a byte of a response an idle connection proves nothing: that is another test's.
                let cuts = requests_before..CHUNKED.len();
                let peer = peer(cuts.len(), move |number, mut stream| {
                    for _ in 0..requests_before {
                        read_request(&mut stream).expect("a request");
                        stream.write_all(OK.as_bytes()).expect("written");
                    }
                    read_request(&mut stream).expect("a request");
                    stream.write_all(&CHUNKED[..requests_before + number]).expect("written");
                });
                let client = Client::new();
                for cut in cuts {
                    for _ in 0..requests_before {
                        client
                            .get(&peer.url())
                            .send()
                            .await
                            .expect("a response")
                            .bytes()
                            .await
                            .expect("a body");
                    }
                    let error = match client.get(&peer.url()).send().await {
                        Ok(mut response) => response.bytes().await.expect_err("cut off"),
                        Err(error) => error,
                    };
                    match error {
                        ClientError::NoResponse {
                            source: Error::UnexpectedEnd,
                            processed: Processed::Maybe,
                        } => {}
                        ClientError::Body(BodyError::Connection(Error::UnexpectedEnd)) => {}
                        error => panic!("cut at {cut}: {error:?}"),
                    }
                }
                assert_eq!(counter("client_retries"), 0);
                drop(client);
                peer.ended().await;
            });
        }
    });
}

/// The peer answers once and closes when the second request is there: it may have seen it or not.
fn closes_at_the_second_request(connections: usize) -> Peer<usize> {
    peer(connections, |number, mut stream| {
        if number > 0 {
            return answer_all(&mut stream, OK);
        }
        read_request(&mut stream).expect("a request");
        stream.write_all(OK.as_bytes()).expect("written");
        read_request(&mut stream).map_or(1, |_| 2)
    })
}

#[test]
fn a_get_that_meets_a_connection_just_closed_is_sent_again() {
    each_driver(|builder| {
        run(builder, async {
            let peer = closes_at_the_second_request(2);
            let client = Client::new();
            for _ in 0..2 {
                let mut response = client.get(&peer.url()).send().await.expect("a response");
                assert_eq!(response.text().await.expect("a body"), "ok");
            }
            assert_eq!(counter("client_retries"), 1);
            drop(client);
            assert_eq!(peer.ended().await, [2, 1]);
        });
    });
}

#[test]
fn a_post_is_never_sent_again_nor_is_a_body_that_was_begun() {
    each_driver(|builder| {
        for (method, streams) in [(Method::POST, false), (Method::PATCH, false), (Method::PUT, true)] {
            run(builder.clone(), async {
                let peer = closes_at_the_second_request(1);
                let client = Client::new();
                client.get(&peer.url()).send().await.expect("a response").bytes().await.expect("a body");
                let request = client.request(method, &peer.url());
                let request = if streams {
                    request.stream_sized(1, async |mut body| Ok(body.send("x").await?))
                } else {
                    request.body("x")
                };
                let error = request.send().await.expect_err("closed");
                assert!(
                    matches!(error, ClientError::NoResponse { processed: Processed::Unlikely, .. }),
                    "{error:?}"
                );
                assert!(!error.is_retry_safe() && !error.is_connect() && !error.is_timeout());
                assert_eq!(counter("client_retries"), 0);
                drop(client);
                assert_eq!(peer.ended().await, [2]);
            });
        }
    });
}

#[test]
fn nobody_listening_is_an_error_after_as_many_attempts_as_the_method_allows() {
    each_driver(|builder| {
        run(builder, async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
            let url = format!("http://{}/", listener.local_addr().expect("an address"));
            drop(listener);
            let client = Client::new();
            let error = client.post(&url).send().await.expect_err("refused");
            assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
            assert!(error.is_connect() && error.is_retry_safe() && !error.is_timeout());
            assert_eq!((counter("client_connects_failed"), counter("client_retries")), (1, 0));
            let start = annulet::time::now();
            let error = client.get(&url).send().await.expect_err("refused");
            assert!(error.is_connect(), "{error:?}");
            assert_eq!((counter("client_connects_failed"), counter("client_retries")), (4, 2));
            assert!(annulet::time::now() - start >= Duration::from_millis(400), "there are pauses between");
            assert_eq!(counter("client_connections"), 0);
        });
    });
}

/// It was sent, then sent again, and there was nobody any more: the first attempt may have been seen.
#[test]
fn nobody_listening_any_more_is_an_error_after_sending() {
    each_driver(|builder| {
        run(builder, async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
            let url = format!("http://{}/", listener.local_addr().expect("an address"));
            let server = thread(move || {
                let (mut stream, _) = listener.accept().expect("a connection");
                drop(listener);
                read_request(&mut stream).expect("a request");
                stream.write_all(OK.as_bytes()).expect("written");
                read_request(&mut stream).expect("another request");
            });
            let client = Client::builder().retries_max(1).build();
            client.get(&url).send().await.expect("a response").bytes().await.expect("a body");
            let error = client.get(&url).send().await.expect_err("closed, then refused");
            let ClientError::Again { source, processed: Processed::Unlikely } = &error else {
                panic!("{error:?}")
            };
            assert!(matches!(**source, ClientError::Connect { .. }), "{error:?}");
            assert!(!error.is_retry_safe() && !error.is_connect() && !error.is_timeout());
            assert_eq!((counter("client_retries"), counter("client_connects_failed")), (1, 1));
            drop(client);
            server.await;
        });
    });
}

#[test]
fn a_name_that_nobody_has_is_an_error_of_its_own() {
    each_driver(|builder| {
        run(builder, async {
            let client = Client::builder().retries_max(0).build();
            let error = client.get("http://no-such-host.invalid/").send().await.expect_err("no such host");
            assert!(matches!(error, ClientError::Resolve { .. }), "{error:?}");
            assert!(error.is_connect() && error.is_retry_safe());
        });
    });
}

/// Whether an error is the one to be expected.
type IsRight = fn(&ClientError) -> bool;

/// Responses that are none.
#[test]
fn garbage_is_an_error_and_ends_the_connection() {
    let too_many_fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    let too_many_bytes = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(70_000));
    let endless = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
    let cases: Vec<(String, IsRight)> = vec![
        ("SSH-2.0-OpenSSH\r\n".into(), |error| matches!(error, ClientError::Head(_))),
        ("\0\0\0\0\0\0\0\0\0\0\0\0".into(), |error| matches!(error, ClientError::Head(_))),
        ("HTTP/2.0 200 OK\r\n\r\n".into(), |error| matches!(error, ClientError::Head(_))),
        ("HTTP/1.1 99 x\r\n\r\n".into(), |error| matches!(error, ClientError::Head(_))),
        ("HTTP/1.1 200 OK\r\na b: c\r\n\r\n".into(), |error| matches!(error, ClientError::Head(_))),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".into(), |error| {
            matches!(error, ClientError::Head(_))
        }),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".into(), |error| {
            matches!(error, ClientError::Head(HttpError::TwoLengths))
        }),
        (too_many_fields, |error| matches!(error, ClientError::Head(HttpError::TooManyFields))),
        (too_many_bytes, |error| matches!(error, ClientError::Head(HttpError::HeadTooLarge))),
        (endless, |error| matches!(error, ClientError::Protocol(_))),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".into(), |error| {
            matches!(error, ClientError::Protocol(_))
        }),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n".into(), |error| {
            matches!(error, ClientError::Body(BodyError::Framing(HttpError::Chunk)))
        }),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfour".into(), |error| {
            matches!(error, ClientError::Body(BodyError::Connection(Error::UnexpectedEnd)))
        }),
    ];
    each_driver(|builder| {
        for (response, is_right) in cases.clone() {
            run(builder.clone(), async {
                let bytes = response.clone();
                let peer = peer(1, move |_, mut stream| {
                    let count = usize::from(read_request(&mut stream).is_some());
                    let _ = stream.write_all(bytes.as_bytes());
                    // Unless the client has hung up.
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                    await_end(&mut stream);
                    count
                });
                let client = Client::new();
                let error = match client.get(&peer.url()).send().await {
                    Ok(mut response) => response.bytes().await.expect_err("garbage"),
                    Err(error) => error,
                };
                let shown = &response[..response.len().min(60)];
                assert!(is_right(&error), "{shown:?}: {error:?}");
                assert_eq!((counter("client_connections"), counter("client_retries")), (0, 0), "{shown:?}");
                drop(client);
                assert_eq!(peer.ended().await, [1]);
            });
        }
    });
}

#[test]
fn a_bare_lf_is_taken_where_that_is_allowed() {
    each_driver(|builder| {
        run(builder, async {
            let peer =
                peer(2, |_, mut stream| answer_all(&mut stream, "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"));
            let client = Client::new();
            let error = client.get(&peer.url()).send().await.expect_err("strict");
            assert!(matches!(error, ClientError::Head(HttpError::LineEnd)), "{error:?}");
            let limits = HeadLimits { bare_lf: true, ..HeadLimits::default() };
            let lenient = Client::builder().head_limits(limits).build();
            let mut response = lenient.get(&peer.url()).send().await.expect("a response");
            assert_eq!(response.text().await.expect("a body"), "ok");
            drop((client, lenient));
            peer.ended().await;
        });
    });
}

/// What is more than the codec takes is refused before the head has an end, whatever the limit says.
#[test]
fn a_head_without_end_is_refused_whatever_the_limit() {
    each_driver(|builder| {
        run(builder, async {
            let peer = peer(1, |_, mut stream| {
                read_request(&mut stream).expect("a request");
                let endless = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(70_000));
                // Unless the client has hung up.
                let _ = stream.write_all(endless.as_bytes());
                await_end(&mut stream);
            });
            let limits = HeadLimits { bytes: 1024 * 1024, ..HeadLimits::default() };
            let client = Client::builder().head_limits(limits).build();
            let error = client.get(&peer.url()).send().await.expect_err("endless");
            assert!(matches!(error, ClientError::Head(HttpError::HeadTooLarge)), "{error:?}");
            drop(client);
            peer.ended().await;
        });
    });
}

/// A peer that answers with `first` and then says nothing more.
fn falls_silent(first: &'static str) -> Peer<()> {
    peer(1, move |_, mut stream| {
        // A machine that is busy may give the client's time up before it gives this thread any.
        if read_request(&mut stream).is_some() && stream.write_all(first.as_bytes()).is_ok() {
            await_end(&mut stream);
        }
    })
}

const SOON: Duration = Duration::from_millis(50);

#[test]
fn a_head_that_does_not_come_in_time_is_given_up() {
    each_driver(|builder| {
        for first in ["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le"] {
            run(builder.clone(), async {
                let peer = falls_silent(first);
                let client = Client::builder().head_timeout(Some(SOON)).build();
                let error = client.get(&peer.url()).send().await.expect_err("too slow");
                assert!(matches!(error, ClientError::TimedOut(Phase::Head)), "{error:?}");
                assert!(error.is_timeout() && !error.is_connect() && !error.is_retry_safe());
                assert_eq!((counter("client_timeouts"), counter("client_connections")), (1, 0));
                drop(client);
                peer.ended().await;
            });
        }
    });
}

/// The server takes its time with the body, longer than it may with the head.
#[test]
fn the_time_for_a_head_begins_when_the_body_has_left() {
    const TIME: Duration = Duration::from_millis(1500);
    each_driver(|builder| {
        run(builder, async {
            let peer = peer(1, |_, mut stream| {
                std::thread::sleep(TIME * 2);
                answer_all(&mut stream, OK)
            });
            let client = Client::builder().head_timeout(Some(TIME)).build();
            // More than the kernel takes before somebody reads.
            let body = vec![b'x'; 64 * 1024 * 1024];
            let mut response = client.put(&peer.url()).body(body).send().await.expect("a response");
            assert_eq!(response.text().await.expect("a body"), "ok");
            drop(client);
            assert_eq!(peer.ended().await, [1]);
        });
    });
}

/// Steadily, a byte at a time, and never to the end.
#[test]
fn a_head_that_trickles_in_is_given_up_all_the_same() {
    each_driver(|builder| {
        run(builder, async {
            let peer = peer(1, |_, mut stream| {
                read_request(&mut stream);
                let mut next: &[u8] = b"HTTP/1.1 200 OK\r\n";
                while stream.write_all(next).is_ok() {
                    next = b"a";
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            let client = Client::builder().head_timeout(Some(SOON * 4)).build();
            let error = client.get(&peer.url()).send().await.expect_err("too slow");
            assert!(matches!(error, ClientError::TimedOut(Phase::Head)), "{error:?}");
            drop(client);
            peer.ended().await;
        });
    });
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    each_driver(|builder| {
        for first in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfour",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n",
            "HTTP/1.1 200 OK\r\n\r\nfour",
        ] {
            run(builder.clone(), async {
                let peer = falls_silent(first);
                let client = Client::builder().body_inactivity(Some(SOON)).build();
                let mut response = client.get(&peer.url()).send().await.expect("a head");
                assert_eq!(&*response.recv().await.expect("bytes").expect("bytes"), b"four");
                for _ in 0..2 {
                    let error = response.recv().await.expect_err("no more");
                    let clock = Error::Timeout(Clock::Inactivity);
                    assert!(
                        matches!(error, ClientError::Body(BodyError::Connection(e)) if e == clock),
                        "{error:?}"
                    );
                    assert!(error.is_timeout());
                }
                assert_eq!((counter("client_timeouts"), counter("client_connections")), (1, 0));
                drop((client, response));
                peer.ended().await;
            });
        }
    });
}

#[test]
fn the_time_for_a_request_is_for_all_of_it() {
    each_driver(|builder| {
        for (first, time, phase) in [
            ("", SOON, Phase::Head),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfour", SOON * 20, Phase::Body),
        ] {
            run(builder.clone(), async {
                let peer = falls_silent(first);
                let client = Client::new();
                let error = match client.get(&peer.url()).timeout(time).send().await {
                    Ok(mut response) => response.bytes().await.expect_err("too slow"),
                    Err(error) => error,
                };
                assert!(matches!(error, ClientError::TimedOut(at) if at == phase), "{error:?}");
                assert_eq!((counter("client_timeouts"), counter("client_connections")), (1, 0));
                drop(client);
                peer.ended().await;
            });
        }
    });
}

/// The peer reads nothing: what the request's body is stuck behind is its clock.
#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    each_driver(|builder| {
        run(builder, async {
            let peer = peer(1, |_, stream| {
                std::thread::sleep(SOON * 10);
                drop(stream);
            });
            let client = Client::builder().write_timeout(Some(SOON)).build();
            let body = vec![b'x'; 64 * 1024 * 1024];
            let error = client.put(&peer.url()).body(body).send().await.expect_err("too slow");
            assert!(error.is_timeout() && !error.is_retry_safe(), "{error:?}");
            drop(client);
            peer.ended().await;
        });
    });
}
