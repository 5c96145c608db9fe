//! HTTP/1.1 on may_minihttp, on may: a stackful coroutine per connection, epoll.
//!
//! `--reactors` is the number of may's workers. The library opens its listener itself, so this one is not made like
//! everybody's: it holds 1,024 waiting connections, and `TCP_NODELAY` is set on each connection.

use std::io::{self, Read};
use std::os::fd::{BorrowedFd, RawFd};

use bench_common::args::Args;
use bench_common::server::ServerArgs;
use bench_common::signals;
use may_minihttp::{HttpService, HttpServiceFactory, Request, Response};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let server = ServerArgs::take(&mut args);
    args.finish();
    signals::handle(|| None)?;
    // The stack of the library's own examples: 4,096 words.
    may::config().set_workers(server.reactors).set_pool_capacity(1_000).set_stack_size(0x1000);
    let reserved = reserve(&server)?;
    let address = reserved.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not a TCP address"))?;
    let accepting = Routes.start(address)?;
    println!("listening on {address}");
    accepting.join().map_err(|_| io::Error::other("the listener panicked"))
}

/// A socket that is bound but does not listen: it has the kernel choose the port, which the library would not tell.
fn reserve(server: &ServerArgs) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(server.listen), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&server.listen.into())?;
    Ok(socket)
}

struct Routes;

impl HttpServiceFactory for Routes {
    type Service = Self;

    /// `id` is the connection's descriptor.
    fn new_service(&self, id: usize) -> Self {
        // SAFETY: the library calls this between accepting the connection and serving it, so the descriptor is open.
        let connection = unsafe { BorrowedFd::borrow_raw(id as RawFd) };
        // A failure means that the connection is already gone.
        let _ = SockRef::from(&connection).set_tcp_nodelay(true);
        Self
    }
}

impl HttpService for Routes {
    /// The library has no router: this is what one writes without.
    fn call(&mut self, request: Request<'_, '_, '_>, response: &mut Response<'_>) -> io::Result<()> {
        const TEXT: &str = "Content-Type: text/plain";
        match request.path() {
            "/" => response.header(TEXT).body("Hello, World!"),
            "/echo" => {
                let mut body = Vec::new();
                request.body().read_to_end(&mut body)?;
                response.header(TEXT).body_vec(body);
            }
            "/json" => {
                response.header("Content-Type: application/json").body(r#"{"message":"Hello, World!"}"#);
            }
            path => {
                if let Some(id) = path.strip_prefix("/users/") {
                    response.header(TEXT).body_vec(id.into());
                } else if let Some(Ok(count)) = path.strip_prefix("/stream/").map(str::parse::<u16>) {
                    response.header(TEXT).body_vec(vec![b'x'; usize::from(count)]);
                } else {
                    response.status_code(404, "Not Found");
                }
            }
        }
        Ok(())
    }
}
