//! The library as its users see it: through the facade, on a real kernel, on every driver.
//!
//! See `support` for how scenarios run, what isolation is for, and how to get the big figures.

#[path = "../support/mod.rs"]
mod support;

mod cancellation;
mod clocks;
mod closing;
mod connection;
mod drain;
mod echo;
mod ecosystem;
mod failing;
#[cfg(feature = "http")]
mod http_client;
#[cfg(feature = "http")]
mod http_server;
#[cfg(feature = "http")]
mod http_server_big;
#[cfg(feature = "http")]
mod http_server_bodies;
#[cfg(feature = "http")]
mod http_server_ends;
#[cfg(feature = "http")]
mod http_server_limits;
#[cfg(feature = "http")]
mod http_server_outliving;
#[cfg(feature = "http")]
mod http_server_responses;
#[cfg(feature = "http")]
mod http_server_routes;
mod leaks;
mod limits;
mod memory;
mod options;
mod pool;
mod runtime;
mod sends;
mod server;
mod steady;
mod tasks;
mod watched;
