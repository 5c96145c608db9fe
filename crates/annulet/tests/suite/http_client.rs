//! The HTTP client: against our own server, and against peers that write bytes by hand and misbehave.

mod bodies;
mod dropping;
mod failing;
mod peer;
mod pooling;
mod redirects;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use annulet::Server;
use annulet::http::{
    Client, ClientError, HeaderValue, Method, Request, Response, Service, StatusCode, router, service,
};

use crate::support::*;

/// A server for HTTP at a port of the kernel's choice, and the beginning of its URLs.
async fn start(service: Service) -> (Server, String) {
    let server = Server::builder().serve("127.0.0.1:0", service).start().await.expect("a server");
    let url = format!("http://{}", address(&server));
    (server, url)
}

/// A server whose answers wait for a gate.
async fn gated(gate: &Gate) -> (Server, String) {
    let gate = gate.clone();
    start(service(async move |request: Request| {
        gate.passed().await;
        request.path().to_owned()
    }))
    .await
}

/// How often something was done.
#[derive(Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Count {
    fn add(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Nothing of the client is in use any more.
async fn idle_again() {
    until("every connection is idle or closed", || {
        counter("client_connections") == counter("client_connections_idle") && counter("client_waiting") == 0
    })
    .await;
}

/// What the server made of a request, line by line.
async fn told(mut request: Request) -> Result<String, annulet::HandlerError> {
    let method = request.method();
    let target = request.target().to_owned();
    let host = request.host().unwrap_or("-").to_owned();
    let field = |name| request.header_str(name).unwrap_or("-").to_owned();
    let (accept, length, coding) = (field("accept"), field("content-length"), field("transfer-encoding"));
    let body = request.text().await?;
    Ok([method.as_str(), &target, &host, &accept, &length, &coding, &body].join("\n"))
}

#[test]
fn a_request_says_what_it_was_told_to_say() {
    each_driver(|builder| {
        run(builder, async {
            let (server, url) = start(service(told)).await;
            let host = url.strip_prefix("http://").expect("http");
            let client = Client::new();
            let request = client.get(&format!("{url}/a%20b?c=d#e")).header("accept", "text/plain");
            let mut response = request.query([("f", "g h"), ("i", "&")]).send().await.expect("a response");
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.header_str("content-type"), Some("text/plain; charset=utf-8"));
            assert_eq!(
                response.headers()["content-length"],
                response.content_length().expect("one").to_string()
            );
            assert_eq!(response.url(), format!("{url}/a%20b?c=d&f=g+h&i=%26"));
            let said = response.text().await.expect("a body");
            assert_eq!(said, format!("GET\n/a%20b?c=d&f=g+h&i=%26\n{host}\ntext/plain\n-\n-\n"));

            let request = client.post(&url).form([("a", "b c")]);
            let said = request.send().await.expect("a response").text().await.expect("a body");
            assert_eq!(said, format!("POST\n/\n{host}\n-\n5\n-\na=b+c"));

            let request = client.put(&url).header("host", "elsewhere").header("content-length", "9");
            let said = request.send().await.expect("a response").text().await.expect("a body");
            assert_eq!(said, "PUT\n/\nelsewhere\n-\n0\n-\n");

            let request = client.delete(&url).header("transfer-encoding", "chunked").body("x");
            let said = request.send().await.expect("a response").text().await.expect("a body");
            assert_eq!(said, format!("DELETE\n/\n{host}\n-\n1\n-\nx"));

            let mut response = client.head(&url).send().await.expect("a response");
            assert!(response.content_length().is_some_and(|length| length > 20));
            assert!(response.bytes().await.expect("none").is_empty());
            assert_eq!(
                counter("client_connections_opened"),
                1,
                "one after the other they need one connection"
            );
            assert_eq!(counter("client_connections_reused"), 4);
            drop(client);
            stop(server).await;
        });
    });
}

#[test]
fn what_cannot_be_sent_is_refused_before_anything_is() {
    each_driver(|builder| {
        run(builder, async {
            let client = Client::new();
            let get = |url: &str| client.get(url);
            let here = "http://127.0.0.1:1/";
            for request in [
                get("127.0.0.1:1"),
                get("http://user:secret@127.0.0.1:1/"),
                get("http://127.0.0.1:1/ HTTP/1.1\r\nX: y"),
                get(here).header("x", "a\r\nb: c"),
                get(here).header("x", "a\nb"),
                get(here).header("x", "a\0"),
                get(here).header("x: y\r\nz", "a"),
                get(here).header("", "a"),
                client.request(Method::CONNECT, here),
            ] {
                let error = request.send().await.expect_err("refused");
                assert!(matches!(error, ClientError::Url { .. } | ClientError::Request(_)), "{error:?}");
            }
            let error = get("https://127.0.0.1:1/").send().await.expect_err("no TLS");
            assert!(matches!(&error, ClientError::Tls { .. }) && error.to_string().contains("not built in"));
            assert_eq!(counter("client_connects_failed"), 0);
        });
    });
}

#[test]
fn requests_and_responses_of_the_http_crate_go_through() {
    each_driver(|builder| {
        run(builder, async {
            let (server, url) = start(service(told)).await;
            let client = Client::new();
            // The body of a response is the body of the next request, as in a proxy.
            let first = client.put(&url).body("passed on").send().await.expect("a response");
            let length = first.content_length();
            let request =
                ::http::Request::post(format!("{url}/x")).header("accept", "a").body(first.into_body());
            let response = client.send_http(request.expect("a request")).await.expect("a response");
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
            let said = response.into_body().text().await.expect("a body");
            assert!(said.starts_with("POST\n/x\n") && said.ends_with("\npassed on"), "{said}");
            assert!(said.contains(&format!("\na\n{}\n-\n", length.expect("announced"))), "{said}");
            drop(client);
            stop(server).await;
        });
    });
}

/// Many tasks, few connections, and every answer is the one that was asked for.
#[test]
fn ten_thousand_requests_of_a_hundred_tasks_share_8_connections() {
    const TASKS: u64 = 100;
    let requests = scaled(100, 1_000);
    each_driver(|builder| {
        run(builder, async {
            let executed = Count::default();
            let counted = executed.clone();
            let handler = async move |request: Request| {
                counted.add();
                request.path().to_owned()
            };
            let (server, url) = start(service(handler)).await;
            let client = Client::builder().connections_per_host_max(8).build();
            let tasks: Vec<_> = (0..TASKS)
                .map(|task| {
                    let (client, url) = (client.clone(), url.clone());
                    annulet::spawn_local(async move {
                        for number in 0..requests {
                            let path = format!("/{task}/{number}");
                            let mut response =
                                client.get(&format!("{url}{path}")).send().await.expect("a response");
                            assert_eq!(response.text().await.expect("a body"), path);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
            assert_eq!(executed.get(), TASKS * requests);
            assert_eq!(counter("client_requests"), TASKS * requests);
            assert_eq!(counter("client_connections_opened"), 8);
            assert_eq!(counter("client_connections_reused"), TASKS * requests - 8);
            assert_eq!((counter("client_retries"), counter("client_timeouts")), (0, 0));
            idle_again().await;
            drop(client);
            stop(server).await;
        });
    });
}

#[test]
fn a_unix_socket_takes_every_request() {
    each_driver(|builder| {
        run(builder, async {
            let path = std::env::temp_dir().join(format!("annulet-http-{}-client", std::process::id()));
            let listen = format!("unix:{}", path.display());
            let server = Server::builder().serve(&listen, service(told)).start().await.expect("a server");
            let client = Client::builder().unix(&path).build();
            for host in ["one", "two:81"] {
                let mut response = client.get(&format!("http://{host}/x")).send().await.expect("a response");
                assert!(response.text().await.expect("a body").starts_with(&format!("GET\n/x\n{host}\n")));
            }
            drop(client);
            stop(server).await;
        });
    });
}

#[test]
fn a_connection_that_changes_its_protocol_is_handed_over_with_what_has_arrived() {
    each_driver(|builder| {
        run(builder, async {
            let greeting = async |_: Request| {
                Response::upgrade("chat", async |mut connection| {
                    connection.send("welcome\n").await?;
                    echo(connection).await
                })
            };
            let (server, url) = start(service(greeting)).await;
            let client = Client::new();
            let mut response = client.get(&url).header("upgrade", "chat").send().await.expect("a response");
            assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
            let mut connection = response.upgrade().expect("a connection");
            assert_eq!(counter("client_connections"), 0, "it is the client's no more");
            connection.send("and hello").await.expect("sent");
            let mut said = vec![0; "welcome\nand hello".len()];
            connection.read_exact(&mut said).await.expect("an echo");
            assert_eq!(said, b"welcome\nand hello");
            // A response of another status keeps its connection.
            let mut response = client.get(&url).send().await.expect("a response");
            assert!(response.upgrade().is_none());
            assert_eq!(response.status(), StatusCode::UPGRADE_REQUIRED);
            response.bytes().await.expect("a body");
            drop((client, connection));
            stop(server).await;
        });
    });
}

#[test]
fn a_field_that_was_set_twice_is_sent_and_seen_twice() {
    each_driver(|builder| {
        run(builder, async {
            let handler = async |request: Request| {
                let values =
                    request.headers().filter(|(name, _)| *name == "x").map(|(_, value)| value.to_vec());
                let mut response = Response::text("");
                for value in values {
                    let value = HeaderValue::from_bytes(&value).expect("a value");
                    response = response.header(annulet::http::HeaderName::from_static("y"), value);
                }
                response
            };
            let (server, url) = start(router(move |_| annulet::http::Router::new().get("/", handler))).await;
            let client = Client::new();
            let response =
                client.get(&url).header("x", "1").header("X", "2").send().await.expect("a response");
            let values: Vec<_> =
                response.fields().filter(|(name, _)| *name == "y").map(|(_, value)| value).collect();
            assert_eq!(values, [b"1", b"2"]);
            assert_eq!(response.headers().get_all("y").iter().count(), 2);
            drop((response, client));
            stop(server).await;
        });
    });
}
