//! Where requests go, and what handlers see of them.

use annulet::http::{Method, Request, Response, Router, Service, StatusCode, TargetForm, router, service};

use crate::support::http_peer::*;
use crate::support::*;

fn routes() -> Service {
    let param =
        |request: &Request, name: &str| request.param(name).map_or("-".into(), |value| value.into_owned());
    router(move |_| {
        Router::new()
            .get("/", async |_| "root")
            .get("/users/{id}", async move |request: Request| format!("user {}", param(&request, "id")))
            .get("/users/me", async |_| "me")
            .put("/users/{id}", async move |request: Request| format!("put {}", param(&request, "id")))
            .get("/a/{one}/b/{two}", async move |request: Request| {
                ["one", "two", "three"].map(|name| param(&request, name)).join(" ")
            })
            .get("/files/{*path}", async move |request: Request| format!("file {}", param(&request, "path")))
            .any("/any", async |request: Request| format!("any {}", request.method()))
            .delete("/any", async |_| "deleted")
            .head("/own-head", async |_| Response::new(StatusCode::ACCEPTED))
            .get("/own-head", async |_| "got")
            .options("/own-options", async |_| "my options")
            .route(Method::from_bytes(b"BREW").expect("a method"), "/pot", async |_| StatusCode::IM_A_TEAPOT)
    })
}

/// Asks for all of this on one connection: request line, status, body.
fn answers(service: Service, cases: &'static [(&str, u16, &str)]) {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service.clone()).await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                for (line, status, body) in cases {
                    let (method, target) = line.split_once(' ').expect("method and target");
                    let answer = peer.ask(request(method, target, "", ""));
                    assert_eq!((answer.status, answer.text()), (*status, *body), "{line}");
                }
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn paths_and_methods_decide_and_parameters_are_decoded() {
    answers(
        routes(),
        &[
            ("GET /", 200, "root"),
            ("GET /?query", 200, "root"),
            ("GET http://test/users/7?a", 200, "user 7"),
            ("GET /users/7", 200, "user 7"),
            ("GET /users/me", 200, "me"),
            ("GET /users/a%20b%2Fc%C3%A9", 200, "user a b/c\u{e9}"),
            ("GET /users/%FF", 200, "user \u{fffd}"),
            ("PUT /users/7", 200, "put 7"),
            ("PUT /users/me", 405, "Method Not Allowed"),
            ("GET /a/x/b/y", 200, "x y -"),
            ("GET /files/a/b%20c", 200, "file a/b c"),
            ("GET /files/", 404, "Not Found"),
            ("GET /users/", 404, "Not Found"),
            ("GET /users/7/", 404, "Not Found"),
            ("GET /Users/7", 404, "Not Found"),
            ("GET //", 404, "Not Found"),
            ("GET /any", 200, "any GET"),
            ("PATCH /any", 200, "any PATCH"),
            ("DELETE /any", 200, "deleted"),
            ("BREW /pot", 418, "I'm a teapot"),
            ("GET /pot", 405, "Method Not Allowed"),
            ("NONSENSE /", 501, "Not Implemented"),
            ("NONSENSE /nowhere", 501, "Not Implemented"),
            ("HEAD /users/7", 200, ""),
            ("HEAD /own-head", 202, ""),
            ("OPTIONS /own-options", 200, "my options"),
        ],
    );
}

#[test]
fn allow_names_the_methods_there_are() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(routes()).await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                for (line, status, allowed) in [
                    ("DELETE /users/7", 405, "GET, PUT, HEAD, OPTIONS"),
                    ("DELETE /users/me", 405, "GET, HEAD, OPTIONS"),
                    ("TRACE /pot", 405, "BREW, OPTIONS"),
                    ("NONSENSE /pot", 501, "BREW, OPTIONS"),
                    ("OPTIONS /users/7", 204, "GET, PUT, HEAD, OPTIONS"),
                    ("OPTIONS /own-head", 204, "HEAD, GET, OPTIONS"),
                    ("OPTIONS *", 204, "GET, HEAD, OPTIONS, PUT, DELETE, BREW"),
                ] {
                    let (method, target) = line.split_once(' ').expect("method and target");
                    let answer = peer.ask(request(method, target, "", ""));
                    assert_eq!((answer.status, answer.field("allow")), (status, Some(allowed)), "{line}");
                }
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn a_fallback_answers_what_no_path_stands_for() {
    let service = router(|_| {
        Router::new()
            .get("/here", async |_| "here")
            .fallback(async |request: Request| (StatusCode::NOT_FOUND, format!("no {}", request.path())))
    });
    answers(
        service,
        &[
            ("GET /here", 200, "here"),
            ("POST /here", 405, "Method Not Allowed"),
            ("GET /there", 404, "no /there"),
            ("NONSENSE /there", 404, "no /there"),
        ],
    );
}

#[test]
fn a_request_shows_what_was_sent() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service(async |request: Request| {
                let form = match request.target_form() {
                    TargetForm::Origin => "origin",
                    TargetForm::Absolute => "absolute",
                    TargetForm::Authority => "authority",
                    TargetForm::Asterisk => "asterisk",
                };
                let headers: Vec<_> = request
                    .headers()
                    .map(|(name, value)| format!("{name}={}", value.escape_ascii()))
                    .collect();
                let lines = [
                    format!("{} {} {form} {:?}", request.method(), request.target(), request.version()),
                    format!("{} {:?} {:?}", request.path(), request.query(), request.host()),
                    format!("{:?}", request.query_pairs().collect::<Vec<_>>()),
                    format!("{:?} {:?}", request.query_value("b"), request.query_value("none")),
                    format!("{:?}", request.cookies().collect::<Vec<_>>()),
                    format!("{:?} {:?}", request.header_str("X-ONE"), request.header("none")),
                    headers.join("|"),
                ];
                lines.join("\n")
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut peer = Peer::connect(address);
                let fields = "x-one:  1 \r\nX-One: 2\r\nX-Bytes: \u{e9}\r\nCookie: a=1; b=\"2\"; c\r\ncookie: d=e=f\r\n";
                let answer = peer.ask(request("GET", "/a%20b?a=1&b=x+y%21&b=z&c", fields, ""));
                let expected = [
                    "GET /a%20b?a=1&b=x+y%21&b=z&c origin HTTP/1.1",
                    r#"/a%20b Some("a=1&b=x+y%21&b=z&c") Some("test")"#,
                    r#"[("a", "1"), ("b", "x y!"), ("b", "z"), ("c", "")]"#,
                    r#"Some("x y!") None"#,
                    r#"[("a", "1"), ("b", "\"2\""), ("d", "e=f")]"#,
                    r#"Some("1") None"#,
                    r#"Host=test|x-one=1|X-One=2|X-Bytes=\xc3\xa9|Cookie=a=1; b=\"2\"; c|cookie=d=e=f"#,
                ];
                assert_eq!(answer.text(), expected.join("\n"));
                let answer = peer.ask(request("OPTIONS", "http://other:8080?q", "", ""));
                let lines: Vec<_> = answer.text().lines().take(2).collect();
                assert_eq!(lines, [
                    "OPTIONS http://other:8080?q absolute HTTP/1.1",
                    r#"/ Some("q") Some("other:8080")"#,
                ]);
                let answer = peer.ask("GET / HTTP/1.0\r\n\r\n");
                assert!(answer.text().starts_with("GET / origin HTTP/1.0\n/ None None\n"), "{}", answer.text());
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn who_asks_is_known_by_number_and_address() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(service(async |request: Request| {
                let peer = request.peer_address().map(|address| address.to_string());
                format!("{} {}", request.connection_number(), peer.unwrap_or_default())
            }))
            .await;
            let address = address(&server);
            thread(move || {
                let mut numbers = Vec::new();
                for _ in 0..3 {
                    let mut peer = Peer::connect(address);
                    let mine = peer.stream.local_addr().expect("an address").to_string();
                    let answer = peer.ask(get("/"));
                    let (number, seen) = answer.text().split_once(' ').expect("two words");
                    assert_eq!(seen, mine);
                    assert_eq!(peer.ask(get("/")), answer);
                    numbers.push(number.to_owned());
                }
                numbers.dedup();
                assert_eq!(numbers.len(), 3);
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn handlers_return_what_is_convenient() {
    let service = router(|_| {
        Router::new()
            .get("/unit", async |_| ())
            .get("/text", async |_| "static")
            .get("/string", async |_| String::from("owned"))
            .get("/bytes", async |_| bytes::Bytes::from_static(b"bytes"))
            .get("/vec", async |_| vec![b'v'])
            .get("/status", async |_| StatusCode::NOT_FOUND)
            .get("/created", async |_| StatusCode::CREATED)
            .get("/both", async |_| (StatusCode::CREATED, "made"))
            .get("/some", async |_| Some("some"))
            .get("/result", async |_| Err::<&str, _>((StatusCode::CONFLICT, "taken")))
            .get("/other", async |_| Response::see_other("/text"))
            .get("/html", async |_| Response::html("<p>"))
    });
    answers(
        service,
        &[
            ("GET /unit", 200, ""),
            ("GET /text", 200, "static"),
            ("GET /string", 200, "owned"),
            ("GET /bytes", 200, "bytes"),
            ("GET /vec", 200, "v"),
            ("GET /status", 404, "Not Found"),
            ("GET /created", 201, ""),
            ("GET /both", 201, "made"),
            ("GET /some", 200, "some"),
            ("GET /result", 409, "taken"),
            ("GET /other", 303, ""),
            ("GET /html", 200, "<p>"),
        ],
    );
}

#[test]
#[should_panic(expected = "GET /twice has a handler already")]
fn a_route_that_is_there_twice_is_a_mistake() {
    let _ = Router::new().get("/twice", async |_| "one").get("/twice", async |_| "two");
}

#[test]
#[should_panic(expected = "route /{b}")]
fn routes_that_mean_the_same_are_a_mistake() {
    let _ = Router::new().get("/{a}", async |_| "one").get("/{b}", async |_| "two");
}
