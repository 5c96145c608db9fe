//! A demonstration of HTTP.

use std::time::Duration;

use annulet::HandlerError;
use annulet::http::{
    HeaderValue, IntoResponse, Method, Request, Response, Router, Service, Settings, StatusCode, header,
    router,
};
use annulet::time::sleep;

/// How long `/delay/{ms}` waits at most.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// Sent again and again by `/stream/{bytes}`.
static STREAMED: [u8; 64 * 1024] = [b'.'; 64 * 1024];

/// The service of `annulet serve http`.
pub fn http(settings: Settings) -> Service {
    router(|_| {
        Router::new()
            .get("/", hello)
            .post("/", echo_body)
            .get("/echo", echo_head)
            .post("/echo", echo_head)
            .get("/cookie", cookies)
            .get("/delay/{ms}", delay)
            .get("/stream/{bytes}", stream)
            .get("/json", json)
            .body_max(u64::MAX)
            .post("/upload", upload)
            .route(Method::PUT, "/upload", upload)
            .route(Method::PUT, "/upload/{*name}", upload)
    })
    .settings(settings)
}

async fn hello(request: Request) -> Response {
    // Who wants to speak WebSocket is to know that it is not spoken here.
    if request.asks_for_upgrade() && request.header("sec-websocket-version").is_some() {
        return StatusCode::NOT_IMPLEMENTED.into_response();
    }
    Response::text("Hello, World!")
}

async fn echo_body(mut request: Request) -> Result<Response, HandlerError> {
    Ok(Response::bytes(request.bytes().await?))
}

async fn echo_head(request: Request) -> Response {
    let mut lines = Vec::new();
    for (name, value) in request.headers() {
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value);
        lines.push(b'\n');
    }
    Response::bytes(lines).content_type("text/plain; charset=utf-8")
}

async fn cookies(request: Request) -> String {
    request.cookies().map(|(name, value)| format!("{name}={value}\n")).collect()
}

async fn delay(request: Request) -> Response {
    let Some(delay) = number(&request, "ms").map(Duration::from_millis) else {
        return bad_request("/delay/{ms} takes milliseconds\n");
    };
    if delay > DELAY_MAX {
        return bad_request("/delay/{ms} takes a minute at most\n");
    }
    sleep(delay).await;
    Response::text("waited\n")
}

async fn upload(mut request: Request) -> Result<String, HandlerError> {
    let mut bytes = 0;
    while let Some(chunk) = request.body().recv().await? {
        bytes += chunk.len();
    }
    Ok(format!("{bytes} bytes\n"))
}

async fn stream(request: Request) -> Response {
    let Some(length) = number(&request, "bytes") else {
        return bad_request("/stream/{bytes} takes a number of bytes\n");
    };
    Response::stream_sized(length, async move |mut body| {
        let mut left = length;
        while left > 0 {
            let piece = &STREAMED[..STREAMED.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            body.send(piece).await?;
            left -= piece.len() as u64;
        }
        Ok(())
    })
}

async fn json(request: Request) -> Result<Response, HandlerError> {
    let message = serde_json::json!({ "message": "Hello, World!", "path": request.path() });
    Response::json(&message)
        .map(|response| response.header(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

fn number(request: &Request, name: &str) -> Option<u64> {
    request.param(name)?.parse().ok()
}

fn bad_request(why: &'static str) -> Response {
    Response::text(why).status(StatusCode::BAD_REQUEST)
}
