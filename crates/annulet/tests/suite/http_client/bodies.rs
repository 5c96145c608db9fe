//! Bodies: long ones, streamed ones, both ways at once, and none.

use std::io::{Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use annulet::HandlerError;
use annulet::http::{
    BodyError, BodyWriter, Client, ClientError, HeaderMap, HeaderName, HeaderValue, Response,
};
use bytes::Bytes;
use http_body::{Body, Frame};

use super::peer::*;
use super::*;

const LONG: usize = 3_000_000;

/// A peer that sends back every body as it comes, framed as it came.
fn echo_peer() -> Peer<usize> {
    peer(1, |_, mut stream| {
        let mut requests = 0;
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    _ => return requests,
                }
            }
            requests += 1;
            let head = String::from_utf8(head).expect("text");
            let is_framing =
                |line: &&str| line.starts_with("Content-Length") || line.starts_with("Transfer-Enc");
            let framing = head.lines().find(is_framing).expect("a body");
            write!(stream, "HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").expect("written");
            let length = framing.strip_prefix("Content-Length: ");
            let mut left: Option<usize> = length.map(|length| length.parse().expect("a length"));
            let mut bytes = vec![0; 64 * 1024];
            let mut tail = Vec::new();
            let mut is_ended = false;
            while !is_ended {
                let count = stream.read(&mut bytes).expect("more");
                stream.write_all(&bytes[..count]).expect("written");
                is_ended = match &mut left {
                    Some(left) => {
                        *left -= count;
                        *left == 0
                    }
                    None => {
                        tail.extend_from_slice(&bytes[..count]);
                        tail.drain(..tail.len().saturating_sub(12));
                        tail.ends_with(b"\n0\r\n\r\n") || tail == b"x-sum: 7\r\n\r\n"
                    }
                };
            }
        }
    })
}

/// A body of the `http_body` crate: pieces of a pattern, with trailers.
struct Pieces {
    pattern: Pattern,
    left: usize,
    is_sized: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let count = (self.pattern.position() as usize % 20_000 + 1).min(self.left);
        if count == 0 {
            return Poll::Ready(None);
        }
        self.left -= count;
        Poll::Ready(Some(Ok(Frame::data(self.pattern.take(count).into()))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        if self.is_sized { http_body::SizeHint::with_exact(self.left as u64) } else { Default::default() }
    }
}

#[test]
fn long_bodies_go_both_ways_at_once_and_come_back_whole() {
    each_driver(|builder| {
        run(builder, async {
            let peer = echo_peer();
            let url = peer.url();
            let client = Client::new();
            let all = Pattern::new(1).take(LONG);
            let pieces = |is_sized| Pieces { pattern: Pattern::new(1), left: LONG, is_sized };
            let written = {
                let all = all.clone();
                async move |mut sender: annulet::http::BodySender| {
                    for piece in all.chunks(10_000) {
                        sender.send(piece.to_vec()).await?;
                    }
                    let mut trailers = HeaderMap::new();
                    trailers.insert(HeaderName::from_static("x-sum"), HeaderValue::from_static("7"));
                    sender.set_trailers(trailers);
                    Ok(())
                }
            };
            for (request, has_trailers) in [
                (client.post(&url).body(all.clone()), false),
                (client.post(&url).stream_body(pieces(true)), false),
                (client.post(&url).stream_body(pieces(false)), false),
                (client.post(&url).stream(written.clone()), true),
                (client.post(&url).stream_sized(LONG as u64, written), false),
            ] {
                let mut response = request.send().await.expect("a response");
                assert_eq!(response.status(), StatusCode::OK);
                let mut received = Pattern::new(1);
                while let Some(chunk) = response.recv().await.expect("bytes") {
                    received.check(&chunk);
                }
                assert_eq!(received.position(), LONG as u64);
                assert_eq!(response.body().trailers().contains_key("x-sum"), has_trailers);
            }
            idle_again().await;
            assert_eq!((counter("client_connections"), counter("client_connections_opened")), (1, 1));
            drop(client);
            assert_eq!(peer.ended().await, [5]);
        });
    });
}

/// A client that does not read holds up the server, not its own memory.
#[test]
fn a_body_that_is_read_slowly_is_sent_slowly() {
    const PIECES: u64 = 1_000;
    const PIECE: usize = 60_000;
    each_driver(|builder| {
        run(builder, async {
            let sent = Count::default();
            let counted = sent.clone();
            let handler = async move |_: Request| {
                let counted = counted.clone();
                Response::stream(async move |mut writer: BodyWriter| {
                    let mut pattern = Pattern::new(2);
                    for _ in 0..PIECES {
                        writer.send(pattern.take(PIECE)).await?;
                        counted.add();
                    }
                    Ok(())
                })
            };
            let (server, url) = start(service(handler)).await;
            let client = Client::new();
            let mut response = client.get(&url).send().await.expect("a response");
            let mut received = Pattern::new(2);
            received.check(&response.recv().await.expect("bytes").expect("bytes"));
            until("the client has stopped receiving", || counter("receive_paused") > 0).await;
            assert!(sent.get() < PIECES / 2, "{} pieces are on their way", sent.get());
            while let Some(chunk) = response.recv().await.expect("bytes") {
                received.check(&chunk);
            }
            assert_eq!(received.position(), PIECES * PIECE as u64);
            drop((client, response));
            stop(server).await;
        });
    });
}

#[test]
fn a_body_that_is_collected_has_a_limit() {
    each_driver(|builder| {
        run(builder, async {
            let chunked = async |request: Request| {
                let body = vec![b'x'; 1001];
                match request.path() {
                    "/sized" => Response::bytes(body),
                    _ => Response::stream(async move |mut writer: BodyWriter| Ok(writer.send(body).await?)),
                }
            };
            let (server, url) = start(service(chunked)).await;
            let client = Client::builder().body_max(1000).build();
            for path in ["sized", "chunked"] {
                let url = format!("{url}/{path}");
                let mut response = client.get(&url).send().await.expect("a response");
                for _ in 0..2 {
                    let error = response.bytes().await.expect_err("too large");
                    assert!(matches!(error, ClientError::Body(BodyError::TooLarge)), "{error:?}");
                }
                let mut streamed = client.get(&url).send().await.expect("a response");
                let mut count = 0;
                while let Some(chunk) = streamed.recv().await.expect("bytes") {
                    count += chunk.len();
                }
                assert_eq!(count, 1001);
            }
            drop(client);
            stop(server).await;
        });
    });
}

#[test]
fn a_body_may_end_with_its_connection() {
    each_driver(|builder| {
        run(builder, async {
            let peer = peer(2, |number, mut stream| {
                read_request(&mut stream).expect("a request");
                let bodies = [b"".as_slice(), b"all there was"];
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("written");
                stream.write_all(bodies[number]).expect("written");
            });
            let client = Client::new();
            for said in ["", "all there was"] {
                let mut response = client.get(&peer.url()).send().await.expect("a response");
                assert_eq!(response.body().left(), None);
                assert_eq!(response.text().await.expect("a body"), said);
                assert_eq!(counter("client_connections"), 0);
            }
            drop(client);
            peer.ended().await;
        });
    });
}

#[test]
fn what_is_not_text_is_an_error() {
    each_driver(|builder| {
        run(builder, async {
            let (server, url) = start(service(async |_| &b"\xff\xfe"[..])).await;
            let client = Client::new();
            let error = client.get(&url).send().await.expect("a response").text().await.expect_err("no text");
            assert!(matches!(error, ClientError::Body(BodyError::NotA("UTF-8"))), "{error:?}");
            drop(client);
            stop(server).await;
        });
    });
}

#[cfg(feature = "json")]
#[test]
fn values_go_both_ways_as_json() {
    each_driver(|builder| {
        run(builder, async {
            let handler = async |mut request: Request| {
                let is_json = request.header_str("content-type") == Some("application/json");
                let numbers: Vec<u32> = request.json().await?;
                Response::json(&(is_json, numbers.iter().sum::<u32>()))
            };
            let (server, url) = start(service(handler)).await;
            let client = Client::new();
            let mut response = client.post(&url).json(&[1, 2, 3]).send().await.expect("a response");
            assert_eq!(response.json::<(bool, u32)>().await.expect("JSON"), (true, 6));
            let mut response = client.post(&url).json(&[1]).send().await.expect("a response");
            let error = response.json::<String>().await.expect_err("no string");
            assert!(matches!(error, ClientError::Body(BodyError::NotA(_))), "{error:?}");
            let bad = std::collections::BTreeMap::from([((1, 2), 3)]);
            let error = client.post(&url).json(&bad).send().await.expect_err("no JSON");
            assert!(matches!(error, ClientError::RequestBody(_)), "{error:?}");
            drop(client);
            stop(server).await;
        });
    });
}

/// The server has seen enough: what it says is the response, and the connection is of no more use.
#[test]
fn a_response_that_comes_before_the_body_was_sent_is_the_response() {
    each_driver(|builder| {
        for streams in [false, true] {
            run(builder.clone(), async move {
                let peer = peer(1, |_, mut stream| {
                    let mut head = [0; 16];
                    stream.read_exact(&mut head).expect("a beginning");
                    stream
                        .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 6\r\n\r\nenough")
                        .expect("sent");
                    // The rest is taken and thrown away, so that no reset overtakes the answer.
                    await_end(&mut stream);
                });
                let client = Client::new();
                let request = client.post(&peer.url());
                let request = if streams {
                    request.stream(async |mut sender| {
                        // Without end: it is the server that says when.
                        loop {
                            sender.send(vec![b'x'; 10_000]).await?;
                        }
                    })
                } else {
                    request.body(vec![b'x'; 100_000_000])
                };
                let mut response = request.send().await.expect("a response");
                assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
                assert_eq!(response.text().await.expect("a body"), "enough");
                assert_eq!(counter("client_connections"), 0);
                drop(client);
                peer.ended().await;
            });
        }
    });
}

#[test]
fn a_body_that_fails_or_is_not_as_long_as_it_said_fails_the_request() {
    each_driver(|builder| {
        run(builder, async {
            let peer = peer(3, |_, mut stream| {
                await_end(&mut stream);
            });
            let client = Client::new();
            let put = || client.put(&peer.url());
            for (request, why) in [
                (put().stream(async |_| Err(HandlerError::message("no ink"))), "no ink"),
                (put().stream_sized(5, async |mut body| Ok(body.send("1234").await?)), "fewer bytes"),
                (put().stream_sized(5, async |mut body| Ok(body.send("123456").await?)), "more bytes"),
            ] {
                let error = request.send().await.expect_err("no body");
                assert!(matches!(error, ClientError::RequestBody(_)), "{error:?}");
                assert!(error.to_string().contains(why), "{error}");
                assert_eq!(counter("client_connections"), 0);
            }
            assert_eq!(counter("client_retries"), 0);
            drop(client);
            peer.ended().await;
        });
    });
}

#[test]
fn a_server_can_be_asked_first_whether_it_wants_the_body() {
    each_driver(|builder| {
        run(builder, async {
            let peer = peer(4, |number, mut stream| {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.extend(read_exactly(&mut stream, 1));
                }
                assert!(String::from_utf8(head).expect("text").contains("expect: 100-continue\r\n"));
                match number {
                    0 | 1 => stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").expect("written"),
                    // Some servers never say it, and wait for the body.
                    2 => {}
                    _ => {
                        stream
                            .write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
                            .expect("written");
                        return read_all(&mut stream);
                    }
                }
                let body = read_exactly(&mut stream, 4);
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                    .expect("sent");
                body
            });
            let client = Client::new();
            let put = || client.put(&peer.url()).expect_continue();
            let streamed = || put().stream_sized(4, async |mut body| Ok(body.send("body").await?));
            for (request, status) in
                [(put().body("body"), 200), (streamed(), 200), (put().body("body"), 200), (streamed(), 401)]
            {
                assert_eq!(request.send().await.expect("a response").status(), status);
                assert_eq!(counter("client_connections"), 0, "none of these is used again");
            }
            drop(client);
            assert_eq!(peer.ended().await, [b"body".to_vec(), b"body".to_vec(), b"body".to_vec(), vec![]]);
        });
    });
}

/// A response that is dropped costs its connection, unless all of it is here.
#[test]
fn a_body_nobody_reads_is_cut_off_unless_it_has_arrived() {
    each_driver(|builder| {
        run(builder, async {
            let handler = async |request: Request| match request.path() {
                "/short" => Response::text("short"),
                _ => Response::stream(async |mut writer: BodyWriter| {
                    loop {
                        writer.send(vec![b'x'; 10_000]).await?;
                    }
                }),
            };
            let (server, url) = start(service(handler)).await;
            let client = Client::new();
            drop(client.get(&format!("{url}/short")).send().await.expect("a response"));
            assert_eq!((counter("client_connections"), counter("client_connections_idle")), (1, 1));
            drop(client.get(&format!("{url}/long")).send().await.expect("a response"));
            assert_eq!((counter("client_connections"), counter("client_connections_idle")), (0, 0));
            until("the server has noticed", || counter("http_responses_cut") == 1).await;
            // What was taken of it stays what it was.
            let mut response = client.get(&format!("{url}/long")).send().await.expect("a response");
            let kept = response.recv().await.expect("bytes").expect("bytes");
            drop((response, client));
            assert!(kept.iter().all(|byte| *byte == b'x'));
            until("the server has noticed", || counter("http_responses_cut") == 2).await;
            stop(server).await;
        });
    });
}
