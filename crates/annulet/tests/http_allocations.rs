//! The request path does not allocate: counted, in a process of its own.
//!
//! Only the reactor's thread is counted; the client's is another.

#![cfg(feature = "http")]

#[path = "support/mod.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

use annulet::http::{HandlerError, Request, Router, Service, StatusCode, router};

use support::http_peer::{post, request, serve_http};
use support::{address, connect, each_driver, run, stop, thread};

/// The system's allocator, counting what the threads marked [`COUNTED`] ask of it.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    // A thread that ends has no marks any more.
    if COUNTED.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: all is the system's allocator's doing, which is handed what came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Too large to be copied behind its head.
static LARGE: [u8; 10_000] = {
    let mut bytes = [b'x'; 10_000];
    bytes[9_999] = b'.';
    bytes
};

/// Five routes, with all limits and clocks on. The reactor that asks for them is counted from then on.
fn routes() -> Service {
    router(|_| {
        COUNTED.set(true);
        Router::new()
            .get("/", async |_| "Hello, World!")
            .get("/users/{id}", async |request: Request| match request.param("id").as_deref() {
                Some("42") => StatusCode::OK,
                _ => StatusCode::NOT_FOUND,
            })
            .get("/static", async |_| &LARGE[..])
            .get("/search", async |request: Request| match request.query_value("q").as_deref() {
                Some("ring") => "found",
                _ => "nothing",
            })
            .post("/notes", async |mut request: Request| {
                let mut length = 0;
                while let Some(chunk) = request.body().recv().await? {
                    length += chunk.len();
                }
                Ok::<_, HandlerError>(if length == 11 { "taken" } else { "not all of it" })
            })
    })
}

/// Sends `requests` again and again, each time when the last answer's last byte is there.
fn ask(stream: &mut TcpStream, requests: &[u8], answer: &[u8], times: usize) {
    let mut bytes = [0; 64 * 1024];
    for _ in 0..times {
        stream.write_all(requests).expect("write");
        let mut received = 0;
        while !bytes[..received].ends_with(answer) {
            let count = stream.read(&mut bytes[received..]).expect("read");
            assert!(count > 0, "ended after {:?}", String::from_utf8_lossy(&bytes[..received]));
            received += count;
        }
        assert!(bytes.starts_with(b"HTTP/1.1 "));
    }
}

/// Allocations of the reactor while a client that has asked the same before asks `times` times.
fn allocations(address: SocketAddr, requests: &str, answer: &str, times: usize) -> u64 {
    let mut stream = connect(address);
    ask(&mut stream, requests.as_bytes(), answer.as_bytes(), 200);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    ask(&mut stream, requests.as_bytes(), answer.as_bytes(), times);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[test]
fn a_request_allocates_nothing() {
    const BROWSER: &str = "Connection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
        Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
        Accept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef\r\nDNT: 1\r\n\
        Referer: http://test/\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nCache-Control: no-cache\r\n";
    each_driver(|builder| {
        run(builder, async {
            let server = serve_http(routes()).await;
            let address = address(&server);
            let hello = request("GET", "/", "", "");
            let cases = [
                ("a request of the usual kind", hello.clone(), "World!"),
                ("a browser's head", request("GET", "/", BROWSER, ""), "World!"),
                ("a parameter", request("GET", "/users/42", "", ""), "Length: 0\r\n\r\n"),
                ("a query", request("GET", "/search?q=ring", "", ""), "found"),
                ("a body that is not copied", request("GET", "/static", "", ""), "x."),
                ("HEAD", request("HEAD", "/", "", ""), "Length: 13\r\n\r\n"),
                ("a body", post("/notes", "eleven byte"), "taken"),
                (
                    "sixteen at a time",
                    format!("{}{}", hello.repeat(15), request("GET", "/search?q=ring", "", "")),
                    "found",
                ),
            ];
            for (what, requests, answer) in cases {
                let times = if what == "a body that is not copied" { 500 } else { 5000 };
                let counted = thread(move || allocations(address, &requests, answer, times)).await;
                assert_eq!(counted, 0, "{what}: {counted} allocations in {times} rounds");
            }
            // The count counts.
            let counted =
                thread(move || allocations(address, &request("DELETE", "/", "", ""), "Allowed", 1000)).await;
            assert!(counted >= 1000, "a field of a response's own allocates: {counted}");
            stop(server).await;
        });
    });
}
