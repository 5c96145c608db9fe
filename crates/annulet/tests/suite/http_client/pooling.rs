//! Who gets which connection, and how long one is kept.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::Write;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use annulet::http::{Client, ClientError, ClientResponse, Phase};
use annulet::spawn_local;

use super::peer::*;
use super::*;

#[test]
fn who_waits_is_served_in_order() {
    const WAITING: usize = 20;
    each_driver(|builder| {
        run(builder, async {
            let gate = Gate::new();
            let (server, url) = gated(&gate).await;
            let client = Client::builder().connections_per_host_max(1).build();
            let order: Rc<RefCell<Vec<usize>>> = Rc::default();
            let tasks: Vec<_> = (0..WAITING)
                .map(|number| {
                    let (client, url, order) = (client.clone(), url.clone(), order.clone());
                    spawn_local(async move {
                        let mut response = client.get(&url).send().await.expect("a response");
                        response.bytes().await.expect("a body");
                        order.borrow_mut().push(number);
                    })
                })
                .collect();
            until("all but one wait", || counter("client_waiting") == WAITING as u64 - 1).await;
            gate.open();
            for task in tasks {
                task.await.expect("no panic");
            }
            assert_eq!(*order.borrow(), (0..WAITING).collect::<Vec<_>>());
            assert_eq!(counter("client_connections_opened"), 1);
            drop(client);
            stop(server).await;
        });
    });
}

#[test]
fn waiting_has_a_deadline_and_a_limit() {
    each_driver(|builder| {
        run(builder, async {
            let gate = Gate::new();
            let (server, url) = gated(&gate).await;
            let wait = Duration::from_millis(500);
            let client =
                Client::builder().connections_per_host_max(1).waiting_max(1).acquire_timeout(wait).build();
            let holder = spawn_local({
                let request = client.get(&url);
                async move { request.send().await.expect("a response").bytes().await.expect("a body") }
            });
            until("it is at the server", || counter("client_connections") == 1).await;
            let waiting = spawn_local({
                let request = client.get(&url);
                async move { request.send().await.expect_err("nothing became free") }
            });
            until("one waits", || counter("client_waiting") == 1).await;
            let error = client.get(&url).send().await.expect_err("the queue is full");
            assert!(matches!(error, ClientError::QueueFull) && error.is_retry_safe(), "{error:?}");
            let error = waiting.await.expect("no panic");
            assert!(matches!(error, ClientError::TimedOut(Phase::Waiting)), "{error:?}");
            assert!(error.is_timeout() && error.is_connect() && error.is_retry_safe());
            assert_eq!((counter("client_queue_full"), counter("client_waiting")), (1, 0));
            gate.open();
            holder.await.expect("no panic");
            // Those who gave up have left nothing behind.
            client.get(&url).send().await.expect("a response");
            drop(client);
            stop(server).await;
        });
    });
}

/// With room for two in all, a third host's turn costs an idle connection of another; with none idle it waits for one.
#[test]
fn room_in_all_goes_round_between_hosts() {
    each_driver(|builder| {
        run(builder, async {
            let gate = Gate::new();
            let servers = [gated(&gate).await, gated(&gate).await, gated(&gate).await];
            let client = Client::builder().connections_max(2).build();
            let asked: Vec<_> = servers
                .iter()
                .map(|(_, url)| {
                    let request = client.get(url);
                    spawn_local(async move {
                        request.send().await.expect("a response").bytes().await.expect("a body");
                    })
                })
                .collect();
            until("two are on their way, and one waits", || {
                counter("client_connections") == 2 && counter("client_waiting") == 1
            })
            .await;
            gate.open();
            for task in asked {
                task.await.expect("no panic");
            }
            assert_eq!((counter("client_connections"), counter("client_connections_opened")), (2, 3));
            assert_eq!(counter("client_connections_evicted"), 1);
            // The one that was evicted comes back at the cost of the one idle for longest.
            for (_, url) in &servers {
                client.get(url).send().await.expect("a response").bytes().await.expect("a body");
                assert_eq!(counter("client_connections"), 2);
            }
            drop(client);
            for (server, _) in servers {
                stop(server).await;
            }
        });
    });
}

#[test]
fn a_connection_that_was_closed_or_spoke_unasked_is_not_used_again() {
    each_driver(|builder| {
        for unasked in ["", "HTTP/1.1 408 Request Timeout\r\n\r\n", "x"] {
            run(builder.clone(), async {
                let told = Gate::new();
                let gate = told.clone();
                let peer = peer(2, move |number, mut stream| {
                    if number > 0 {
                        return answer_all(&mut stream, OK);
                    }
                    read_request(&mut stream).expect("a request");
                    stream.write_all(OK.as_bytes()).expect("written");
                    gate.block();
                    stream.write_all(unasked.as_bytes()).expect("written");
                    1
                });
                let client = Client::new();
                client.get(&peer.url()).send().await.expect("a response").bytes().await.expect("a body");
                assert_eq!(counter("client_connections_idle"), 1);
                told.open();
                // It closes without anybody asking for anything.
                until("evicted", || counter("client_connections_evicted") == 1).await;
                assert_eq!((counter("client_connections"), counter("client_connections_idle")), (0, 0));
                client.post(&peer.url()).send().await.expect("a response").bytes().await.expect("a body");
                assert_eq!((counter("client_connections_opened"), counter("client_retries")), (2, 0));
                drop(client);
                assert_eq!(peer.ended().await, [1, 1]);
            });
        }
    });
}

const UNASKED: &str = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";

/// A peer that says something unasked on its first connection, once the gate is opened. On the second it answers.
fn speaks_unasked() -> (Peer<usize>, Gate) {
    let told = Gate::new();
    let gate = told.clone();
    let peer = peer(2, move |number, mut stream| {
        if number > 0 {
            return answer_all(&mut stream, OK);
        }
        read_request(&mut stream).expect("a request");
        stream.write_all(OK.as_bytes()).expect("written");
        gate.block();
        stream.write_all(UNASKED.as_bytes()).expect("written");
        await_end(&mut stream);
        1
    });
    (peer, told)
}

/// A request that was given a connection it waited for, and has not looked at it yet: meanwhile the peer has spoken unasked.
async fn granted_and_spoken_to(
    client: &Client,
    peer: &Peer<usize>,
    told: &Gate,
) -> Pin<Box<impl Future<Output = Result<ClientResponse, ClientError>> + use<>>> {
    let mut first = client.get(&peer.url()).send().await.expect("a response");
    let mut second = Box::pin(client.post(&peer.url()).send());
    assert!(poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx).is_pending())).await);
    assert_eq!(counter("client_waiting"), 1);
    first.bytes().await.expect("a body");
    assert_eq!((counter("client_waiting"), counter("client_connections_idle")), (0, 0));
    let received = counter("bytes_received");
    told.open();
    until("it has spoken", || counter("bytes_received") == received + UNASKED.len() as u64).await;
    second
}

#[test]
fn a_connection_that_was_waited_for_is_looked_at_before_it_is_used() {
    each_driver(|builder| {
        run(builder, async {
            let (peer, told) = speaks_unasked();
            let client = Client::builder().connections_per_host_max(1).build();
            let second = granted_and_spoken_to(&client, &peer, &told).await;
            let mut response = second.await.expect("a response");
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.text().await.expect("a body"), "ok");
            assert_eq!((counter("client_connections_opened"), counter("client_connections_evicted")), (2, 1));
            assert_eq!(counter("client_connections"), 1);
            drop(client);
            assert_eq!(peer.ended().await, [1, 1]);
        });
    });
}

#[test]
fn a_connection_that_was_waited_for_in_vain_is_looked_at_before_it_is_kept() {
    each_driver(|builder| {
        run(builder, async {
            let (peer, told) = speaks_unasked();
            let client = Client::builder().connections_per_host_max(1).build();
            drop(granted_and_spoken_to(&client, &peer, &told).await);
            assert_eq!((counter("client_connections"), counter("client_connections_idle")), (0, 0));
            assert_eq!(counter("client_connections_evicted"), 1);
            let mut response = client.post(&peer.url()).send().await.expect("a response");
            assert_eq!(response.text().await.expect("a body"), "ok");
            drop(client);
            assert_eq!(peer.ended().await, [1, 1]);
        });
    });
}

/// Responses after which nothing can follow, or is to follow.
#[test]
fn what_the_response_says_decides_whether_its_connection_is_kept() {
    let kept = [
        OK,
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    ];
    let closed = [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    let cases: Vec<_> =
        kept.map(|response| (response, 1)).into_iter().chain(closed.map(|r| (r, 2))).collect();
    each_driver(|builder| {
        for (response, connections) in &cases {
            let (response, connections) = (*response, *connections);
            run(builder.clone(), async {
                let peer = peer(connections, move |_, mut stream| answer_all(&mut stream, response));
                let client = Client::new();
                for _ in 0..2 {
                    let mut response = client.get(&peer.url()).send().await.expect("a response");
                    response.bytes().await.expect("a body");
                }
                assert_eq!(counter("client_connections_opened"), connections as u64, "{response:?}");
                drop(client);
                assert_eq!(peer.ended().await.iter().sum::<usize>(), 2);
            });
        }
    });
}

#[test]
fn a_request_may_ask_for_its_connection_to_close() {
    each_driver(|builder| {
        run(builder, async {
            let (server, url) = start(service(async |_| "")).await;
            let client = Client::new();
            let response = client.get(&url).header("connection", "close").send().await.expect("a response");
            assert_eq!(response.header_str("connection"), Some("close"));
            assert_eq!((counter("client_connections"), counter("client_connections_evicted")), (0, 0));
            drop((client, response));
            stop(server).await;
        });
    });
}

#[test]
fn idle_connections_grow_old() {
    each_driver(|builder| {
        run(builder, async {
            let (server, url) = start(service(async |_| "")).await;
            let client = Client::builder().idle_timeout(Duration::from_millis(40)).build();
            for round in 1..=3 {
                client.get(&url).send().await.expect("a response");
                until("too old", || counter("client_connections_evicted") == round).await;
                assert_eq!((counter("client_connections"), counter("client_connections_idle")), (0, 0));
            }
            assert_eq!(counter("client_connections_reused"), 0);
            drop(client);
            stop(server).await;
        });
    });
}

#[test]
fn only_so_many_are_kept_idle_and_the_last_one_used_goes_first() {
    const AT_ONCE: u64 = 8;
    each_driver(|builder| {
        run(builder, async {
            let gate = Gate::new();
            let (server, url) = gated(&gate).await;
            let client = Client::builder().idle_per_host_max(3).build();
            let tasks: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let request = client.get(&url);
                    spawn_local(async move {
                        request.send().await.expect("a response").bytes().await.expect("a body")
                    })
                })
                .collect();
            until("all are on their way", || counter("client_connections_opened") == AT_ONCE).await;
            gate.open();
            for task in tasks {
                task.await.expect("no panic");
            }
            assert_eq!(
                (counter("client_connections_idle"), counter("client_connections_evicted")),
                (3, AT_ONCE - 3)
            );
            for _ in 0..10 {
                client.get(&url).send().await.expect("a response").bytes().await.expect("a body");
            }
            assert_eq!(
                (counter("client_connections_opened"), counter("client_connections_reused")),
                (AT_ONCE, 10)
            );
            drop(client);
            stop(server).await;
        });
    });
}

#[test]
fn a_client_that_goes_closes_its_connections_and_one_in_use_ends_by_itself() {
    each_driver(|builder| {
        run(builder, async {
            let gate = Gate::new();
            let held = gate.clone();
            let peer = peer(2, move |number, mut stream| {
                read_request(&mut stream).expect("a request");
                if number == 1 {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfi").expect("written");
                    held.block();
                    stream.write_all(b"rst").expect("written");
                } else {
                    stream.write_all(OK.as_bytes()).expect("written");
                }
                await_end(&mut stream);
            });
            let client = Client::builder().idle_per_host_max(0).build();
            client.get(&peer.url()).send().await.expect("a response").bytes().await.expect("a body");
            let mut response = client.get(&peer.url()).send().await.expect("a response");
            drop(client);
            gate.open();
            assert_eq!(response.text().await.expect("a body"), "first");
            peer.ended().await;
            until("closed", || counter("client_connections") == 0).await;
        });
    });
}
