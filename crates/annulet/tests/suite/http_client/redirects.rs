//! Being sent elsewhere.

use std::io::Write;
use std::time::Duration;

use annulet::http::{
    Client, ClientError, HeaderName, HeaderValue, Processed, Request, Response, Router, StatusCode, router,
};
use annulet::spawn_local;

use super::peer::*;
use super::*;

fn to(status: u16, location: &str) -> Response {
    Response::text("over there\n")
        .status(StatusCode::from_u16(status).expect("a status"))
        .header(HeaderName::from_static("location"), HeaderValue::from_str(location).expect("a location"))
}

/// Redirects `/STATUS/…` to `/…`; everything else is told what it was. `?to=` is where instead.
async fn moved(request: Request) -> Result<Response, annulet::HandlerError> {
    let mut words = request.path().splitn(3, '/').skip(1);
    let status = words.next().and_then(|word| word.parse::<u16>().ok());
    if let Some(status) = status {
        let place = request.query_value("to").map(|to| to.into_owned());
        let rest = words.next().unwrap_or_default();
        return Ok(to(status, &place.unwrap_or(format!("/{rest}"))));
    }
    let field = |name: &str| request.header_str(name).unwrap_or("-").to_owned();
    let fields = ["authorization", "cookie", "x-mine", "content-type"].map(field).join(" ");
    let (method, path) = (request.method(), request.path().to_owned());
    let body = request.into_body().text().await?;
    Ok(Response::text(format!("{method} {path} {fields} {body}")))
}

fn mover() -> Service {
    router(|_| Router::new().fallback(moved))
}

#[test]
fn redirects_are_responses_unless_they_are_to_be_followed() {
    each_driver(|builder| {
        run(builder, async {
            let (server, url) = start(mover()).await;
            let client = Client::new();
            let mut response = client.get(&format!("{url}/302/x")).send().await.expect("a response");
            assert_eq!((response.status(), response.header_str("location")), (StatusCode::FOUND, Some("/x")));
            assert_eq!(response.text().await.expect("a body"), "over there\n");
            assert_eq!(counter("client_redirects"), 0);
            drop(client);
            stop(server).await;
        });
    });
}

#[test]
fn each_status_decides_the_method_and_the_body() {
    each_driver(|builder| {
        run(builder, async {
            let (server, url) = start(mover()).await;
            let client = Client::builder().redirects_max(3).build();
            for (status, method, becomes, keeps_body) in [
                (301, Method::GET, "GET", true),
                (301, Method::POST, "GET", false),
                (301, Method::PUT, "PUT", true),
                (302, Method::POST, "GET", false),
                (302, Method::DELETE, "DELETE", true),
                (303, Method::POST, "GET", false),
                (303, Method::PUT, "GET", false),
                (307, Method::POST, "POST", true),
                (308, Method::POST, "POST", true),
            ] {
                let request = client.request(method, &format!("{url}/{status}/x"));
                let request =
                    request.header("content-type", "a/b").header("authorization", "me").body("body");
                let mut response = request.send().await.expect("a response");
                let (kind, body) = if keeps_body { ("a/b", "body") } else { ("-", "") };
                let said = response.text().await.expect("a body");
                assert_eq!(said, format!("{becomes} /x me - - {kind} {body}"), "{status}");
                assert_eq!(response.url(), format!("{url}/x"));
            }
            assert_eq!(counter("client_connections_opened"), 1);
            let head = client.head(&format!("{url}/303/x")).send().await.expect("a response");
            assert_eq!((head.status(), head.url()), (StatusCode::OK, format!("{url}/x")));
            drop((client, head));
            stop(server).await;
        });
    });
}

#[test]
fn another_host_learns_no_secrets() {
    each_driver(|builder| {
        run(builder, async {
            let (server, url) = start(mover()).await;
            let (other, elsewhere) = start(mover()).await;
            let client = Client::builder().redirects_max(1).build();
            for (place, secrets) in [(format!("{elsewhere}/x"), "- -"), (format!("{url}/x"), "me c=d")] {
                let request = client.get(&format!("{url}/302")).query([("to", place)]);
                let request =
                    request.header("authorization", "me").header("cookie", "c=d").header("x-mine", "y");
                let said = request.send().await.expect("a response").text().await.expect("a body");
                assert_eq!(said, format!("GET /x {secrets} y - "));
            }
            drop(client);
            stop(server).await;
            stop(other).await;
        });
    });
}

#[test]
fn a_redirect_to_nowhere_or_without_end_is_an_error() {
    each_driver(|builder| {
        run(builder, async {
            let (server, url) = start(mover()).await;
            let client = Client::builder().redirects_max(2).build();
            for (place, told) in [
                ("https://127.0.0.1/", "https://127.0.0.1/"),
                ("ftp://x/", "ftp://x/"),
                ("http://user:secret@x/", "http://x/"),
                ("http://[::1]x:80/", "http://[::1]x:80/"),
                ("http://:80/", "http://:80/"),
                ("a b", "a b"),
            ] {
                let request = client.get(&format!("{url}/302")).query([("to", place)]);
                let error = request.send().await.expect_err("nowhere");
                assert!(
                    matches!(&error, ClientError::Redirect { location, .. } if location == told),
                    "{error:?}"
                );
            }
            let error = client.get(&format!("{url}/301/302/303/x")).send().await.expect_err("too often");
            assert!(matches!(error, ClientError::Redirect { reason: "too often", .. }), "{error:?}");
            // A redirect without a place to go to is what it is.
            let response = client.get(&format!("{url}/304")).send().await.expect("a response");
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
            drop((client, response));
            stop(server).await;
        });
    });
}

/// The server that redirected did what it was asked for: what then finds no connection is not safe to be sent again.
#[test]
fn what_fails_after_a_redirect_was_sent_before() {
    let time = Duration::from_millis(500);
    // How many may wait, how long for a connection, how long in all; and whether it is a matter of time.
    let cases =
        [(0, time * 100, time * 100, false), (1, time, time * 100, true), (1, time * 100, time, true)];
    each_driver(|builder| {
        for (waiting_max, acquire, in_all, is_timeout) in cases {
            run(builder.clone(), async move {
                let gate = Gate::new();
                let (server, url) = start(mover()).await;
                let (busy, elsewhere) = gated(&gate).await;
                let client = Client::builder().redirects_max(1).connections_per_host_max(1);
                let client = client.waiting_max(waiting_max).acquire_timeout(acquire).build();
                let holder = spawn_local({
                    let request = client.get(&elsewhere);
                    async move { request.send().await.expect("a response").bytes().await.expect("a body") }
                });
                until("it is at the server", || counter("client_connections") == 1).await;
                let request = client.post(&format!("{url}/303")).query([("to", &elsewhere)]).timeout(in_all);
                let error = request.send().await.expect_err("all connections are in use");
                let ClientError::Again { source, processed: Processed::Maybe } = &error else {
                    panic!("{error:?}")
                };
                assert!(source.is_connect(), "{error:?}");
                assert!(!error.is_retry_safe() && !error.is_connect(), "{error:?}");
                assert_eq!((error.is_timeout(), counter("client_timeouts") == 1), (is_timeout, is_timeout));
                gate.open();
                holder.await.expect("no panic");
                drop(client);
                stop(server).await;
                stop(busy).await;
            });
        }
    });
}

#[test]
fn a_redirect_to_where_nobody_listens_was_sent_before() {
    each_driver(|builder| {
        run(builder, async {
            let (server, url) = start(mover()).await;
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
            let nowhere = format!("http://{}/", listener.local_addr().expect("an address"));
            drop(listener);
            let client = Client::builder().redirects_max(1).build();
            let request = client.post(&format!("{url}/303")).query([("to", &nowhere)]);
            let error = request.send().await.expect_err("refused");
            assert!(matches!(error, ClientError::Again { processed: Processed::Maybe, .. }), "{error:?}");
            assert!(!error.is_retry_safe() && !error.is_connect() && !error.is_timeout());
            drop(client);
            stop(server).await;
        });
    });
}

/// The second server may not have seen anything of it. The first one has.
#[test]
fn a_redirect_that_meets_a_connection_just_closed_was_sent_before() {
    each_driver(|builder| {
        run(builder, async {
            let (server, url) = start(mover()).await;
            let peer = peer(1, |_, mut stream| {
                read_request(&mut stream).expect("a request");
                stream.write_all(OK.as_bytes()).expect("written");
                read_request(&mut stream).expect("another request");
            });
            let client = Client::builder().redirects_max(1).build();
            client.get(&peer.url()).send().await.expect("a response").bytes().await.expect("a body");
            let request = client.post(&format!("{url}/303")).query([("to", peer.url())]);
            let error = request.send().await.expect_err("closed");
            assert!(
                matches!(error, ClientError::NoResponse { processed: Processed::Maybe, .. }),
                "{error:?}"
            );
            drop(client);
            peer.ended().await;
            stop(server).await;
        });
    });
}

/// A body that is gone cannot be sent to where it should go instead: the redirect is the response.
#[test]
fn a_streamed_body_is_not_sent_twice() {
    each_driver(|builder| {
        run(builder, async {
            let (server, url) = start(mover()).await;
            let client = Client::builder().redirects_max(2).build();
            for (status, seen) in [(307, StatusCode::TEMPORARY_REDIRECT), (303, StatusCode::OK)] {
                let request = client.post(&format!("{url}/{status}/x"));
                let request = request.stream(async |mut body| Ok(body.send("once").await?));
                assert_eq!(request.send().await.expect("a response").status(), seen);
            }
            drop(client);
            stop(server).await;
        });
    });
}
