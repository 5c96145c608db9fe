//! Being sent elsewhere.

use annulet::http::{
    Client, ClientError, HeaderName, HeaderValue, Request, Response, Router, StatusCode, router,
};

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
