//! The programs.

mod clients;
pub(crate) mod clocks;
pub(crate) mod command;
pub(crate) mod echo;
pub(crate) mod http_client;
pub(crate) mod http_server;
pub(crate) mod length_prefixed;
pub(crate) mod lines;
mod manner;
pub(crate) mod proxy;
pub mod rate;
pub(crate) mod runtime;
pub(crate) mod unix;

use std::future::{Future, poll_fn};
use std::pin::pin;

use annulet_sim::maybe_panic;

/// A handler that panics where the seed has it.
async fn shaky<T>(handler: impl Future<Output = T>) -> T {
    let mut handler = pin!(handler);
    poll_fn(|cx| {
        maybe_panic();
        handler.as_mut().poll(cx)
    })
    .await
}
