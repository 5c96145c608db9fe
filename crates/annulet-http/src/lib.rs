//! HTTP/1.1 for Annulet: servers and clients.
//!
//! * [`service`]: one handler for every request. [`router()`]: handlers by path and method.
//! * [`Request`]: the head, looked at where it lies, and its streaming [`Body`].
//! * [`Response`]: what a handler answers, at hand or [streamed](Response::stream).
//! * [`Settings`]: limits and clocks, all on by default.
//! * [`Client`]: requests over pooled connections.
//!
//! # Whose answer it is
//!
//! A handler decides what is answered, the server how that is framed. What breaks the rules of HTTP is answered by the server,
//! whatever the handler would say: a head that is none never reaches a handler, and a body that turns out malformed, too
//! large or too slow replaces the handler's response, unless its head is on the way already; then the connection is cut.
//! After such an answer the connection closes.
//!
//! # The life of a connection
//!
//! | state | clock | when it runs out |
//! |---|---|---|
//! | nothing received yet | `setup` of the listener, 10 s | closed |
//! | within a head | [`Settings::head_timeout`], 30 s, and `inactivity` of the listener, 60 s | 408, closed |
//! | handler waits for the body | `inactivity`, 60 s, and [`Settings::body_rate_min`] | 408, closed |
//! | handler is busy with something else | none | |
//! | response waits for the client | `write` of the listener, 30 s without progress | reset |
//! | between requests | [`Settings::keep_alive`], 75 s | closed |
//!
//! While the server drains, responses say `Connection: close`, connections without a request close at once, and bodies are
//! received to their end.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod body;
mod client;
mod content_type;
mod counters;
mod endpoint;
mod exchange;
mod incoming;
mod local;
mod log;
mod outgoing;
mod params;
mod request;
mod respond;
mod response;
mod router;
mod service;
mod serving;
mod settings;
mod spares;
mod trailers;
mod writer;

pub use annulet_net::{HandlerError, HandlerResult};
pub use annulet_proto::http1::{Fields, HeadLimits, TargetForm};
pub use body::{Body, BodyError};
pub use client::{
    BodySender, Client, ClientBody, ClientBuilder, ClientCounters, ClientError, ClientResponse, Phase,
    Processed, RequestBuilder,
};
pub use counters::HttpCounters;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
pub use request::Request;
pub use response::{IntoResponse, Response, Text};
pub use router::Router;
pub use service::{Service, Site, router, service};
pub use settings::Settings;
pub use writer::{BodyWriter, WriteError};
