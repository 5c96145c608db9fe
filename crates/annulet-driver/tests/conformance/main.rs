//! One suite, run on io_uring, on epoll and on a simulated kernel: what a driver promises does not depend on the kernel
//! behind it.
//!
//! A test names the behaviour it protects. None depends on speed: a test that waits for something gives it ten seconds,
//! and one that shows that nothing happens may miss a fault on a slow machine but never reports one that is not there.

mod accept;
mod bench;
mod case;
mod connect;
mod differential;
mod environment;
mod lifecycle;
mod numbers;
mod pool;
mod queue;
mod reset;
mod sends;
mod sockets;
mod stream;
mod wake;
mod writable;
