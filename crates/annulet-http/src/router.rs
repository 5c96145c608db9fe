//! Which handler a request goes to.

use std::fmt;
use std::rc::Rc;

use annulet_proto::http1::TargetForm;
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

use crate::endpoint::Endpoint;
use crate::request::{Parts, Request};
use crate::response::{IntoResponse, Response};

/// Routes: paths, methods, and the handlers of both. Built on each reactor by what [`router`](crate::router()) is given.
///
/// A path is literal but for `{name}`, which stands for one segment, and `{*name}`, which stands for all that follows and is
/// the end. [`Request::param`] has what they stood for. The literal goes before the parameter. Paths are compared as they were
/// sent, without decoding and without a second look at a trailing `/`.
///
/// What no route has is answered 404; a route without the method, 405 with `Allow`; OPTIONS, where no route has it, 204 with
/// `Allow`; CONNECT and methods nobody has heard of, 501. HEAD goes to the handler of GET where it has none of its own: its body is not sent.
#[derive(Default)]
#[must_use]
pub struct Router {
    paths: matchit::Router<usize>,
    usual: Usual,
    routes: Vec<Route>,
    fallback: Option<Rc<Endpoint>>,
    /// What the methods added next take for the bound on their bodies.
    body_max: Option<u64>,
}

/// A path.
struct Route {
    path: String,
    names: Rc<[Box<str>]>,
    /// In the order they were added.
    methods: Vec<(Box<str>, Rc<Endpoint>)>,
    /// For any method without one of its own.
    any: Option<Rc<Endpoint>>,
}

/// Where a request goes.
pub(crate) enum Found<'a> {
    Endpoint(&'a Rc<Endpoint>),
    /// Boxed: it is seldom, and what is returned is small without it.
    Answer(Box<Response>),
}

impl Found<'_> {
    fn answer(response: Response) -> Self {
        Self::Answer(Box::new(response))
    }
}

/// Adds a handler for a method.
macro_rules! methods {
    ($($name:ident $method:ident),*) => {$(
        #[doc = concat!("Has ", stringify!($method), " requests for `path` answered by `handler`.")]
        ///
        /// # Panics
        /// As for [`route`](Self::route).
        pub fn $name<H, R>(self, path: &str, handler: H) -> Self
        where
            H: AsyncFn(Request) -> R + 'static,
            R: IntoResponse + 'static,
        {
            self.route(Method::$method, path, handler)
        }
    )*};
}

impl Router {
    /// Without routes.
    pub fn new() -> Self {
        Self::default()
    }

    methods!(get GET, post POST, put PUT, patch PATCH, delete DELETE, head HEAD, options OPTIONS);

    /// Has requests of a method for `path` answered by `handler`.
    ///
    /// # Panics
    /// When the path is malformed, when it and another path would both be meant by some target, or when it has the method
    /// already: what is wrong with the program shows when it starts.
    pub fn route<H, R>(mut self, method: Method, path: &str, handler: H) -> Self
    where
        H: AsyncFn(Request) -> R + 'static,
        R: IntoResponse + 'static,
    {
        let endpoint = self.endpoint(handler);
        let route = self.at(path);
        let is_new = !route.methods.iter().any(|(known, _)| **known == *method.as_str());
        assert!(is_new, "{method} {path} has a handler already");
        route.methods.push((method.as_str().into(), endpoint.clone()));
        if !path.contains(['{', '}']) {
            self.usual.add(&method, path, endpoint);
        }
        self
    }

    /// Has requests for `path` answered by `handler`, whatever their method, unless that has one of its own.
    ///
    /// # Panics
    /// As for [`route`](Self::route).
    pub fn any<H, R>(mut self, path: &str, handler: H) -> Self
    where
        H: AsyncFn(Request) -> R + 'static,
        R: IntoResponse + 'static,
    {
        let endpoint = self.endpoint(handler);
        let route = self.at(path);
        assert!(route.any.is_none(), "{path} has a handler for any method already");
        route.any = Some(endpoint);
        self
    }

    /// Has what no path stands for answered by `handler`, instead of with 404.
    pub fn fallback<H, R>(mut self, handler: H) -> Self
    where
        H: AsyncFn(Request) -> R + 'static,
        R: IntoResponse + 'static,
    {
        self.fallback = Some(self.endpoint(handler));
        self
    }

    /// The bound on the bodies of the routes added from here on, instead of that of the [`Settings`](crate::Settings).
    pub fn body_max(mut self, bytes: u64) -> Self {
        self.body_max = Some(bytes);
        self
    }

    fn endpoint<H, R>(&self, handler: H) -> Rc<Endpoint>
    where
        H: AsyncFn(Request) -> R + 'static,
        R: IntoResponse + 'static,
    {
        let mut endpoint = Endpoint::new(handler);
        endpoint.body_max = self.body_max;
        Rc::new(endpoint)
    }

    fn at(&mut self, path: &str) -> &mut Route {
        if let Some(index) = self.routes.iter().position(|route| route.path == path) {
            return &mut self.routes[index];
        }
        if let Err(error) = self.paths.insert(path, self.routes.len()) {
            panic!("route {path}: {error}");
        }
        self.routes.push(Route { path: path.to_owned(), names: names(path), methods: Vec::new(), any: None });
        self.routes.last_mut().expect("just added")
    }

    #[inline]
    pub(crate) fn find(&self, parts: &mut Parts) -> Found<'_> {
        match self.usual.find(parts.head.method_and_path()) {
            Some(endpoint) => Found::Endpoint(endpoint),
            None => self.find_by_path(parts),
        }
    }

    #[inline(never)]
    fn find_by_path(&self, parts: &mut Parts) -> Found<'_> {
        let Parts { head, params, .. } = parts;
        let path = head.path();
        match self.paths.at(path) {
            Ok(matched) => {
                let route = &self.routes[*matched.value];
                if !route.names.is_empty() {
                    params.set(&route.names, path, matched.params.iter().map(|(_, value)| value));
                }
                route.find(head.method())
            }
            Err(_) => self.find_other(head.method(), head.target_form()),
        }
    }

    /// Where a request goes whose path is none of those.
    #[cold]
    fn find_other(&self, method: &str, form: TargetForm) -> Found<'_> {
        if form == TargetForm::Asterisk {
            let methods = self.routes.iter().flat_map(Route::allowed);
            return Found::answer(options(methods));
        }
        match &self.fallback {
            Some(endpoint) => Found::Endpoint(endpoint),
            // CONNECT asks for no path, but for what this server is not: a proxy.
            None if is_known(method) && form != TargetForm::Authority => {
                Found::answer(StatusCode::NOT_FOUND.into_response())
            }
            None => Found::answer(StatusCode::NOT_IMPLEMENTED.into_response()),
        }
    }
}

/// Endpoints by method and path as they stand in a request's line, of all lengths from 0 on. Most requests are for a path
/// without parameters, and a literal goes before a parameter.
#[derive(Default)]
struct Usual(Vec<Vec<UsualRequest>>);

/// Method, space and path, and who answers that.
type UsualRequest = (Box<[u8]>, Rc<Endpoint>);

impl Usual {
    fn add(&mut self, method: &Method, path: &str, endpoint: Rc<Endpoint>) {
        let request = format!("{method} {path}").into_bytes();
        if self.0.len() <= request.len() {
            self.0.resize_with(request.len() + 1, Vec::new);
        }
        self.0[request.len()].push((request.into(), endpoint));
    }

    #[inline]
    fn find(&self, request: &[u8]) -> Option<&Rc<Endpoint>> {
        let same_length = self.0.get(request.len())?;
        same_length.iter().find(|(known, _)| is_same(known, request)).map(|(_, endpoint)| endpoint)
    }
}

/// Whether these, of one length, are the same. Those of 4 to 16 bytes, the usual ones, are compared as two overlapping words.
#[inline]
fn is_same(known: &[u8], request: &[u8]) -> bool {
    match request.len() {
        4..8 => {
            known.first_chunk::<4>() == request.first_chunk()
                && known.last_chunk::<4>() == request.last_chunk()
        }
        8..=16 => {
            known.first_chunk::<8>() == request.first_chunk()
                && known.last_chunk::<8>() == request.last_chunk()
        }
        _ => known == request,
    }
}

impl Route {
    fn find(&self, method: &str) -> Found<'_> {
        match self.methods.iter().find(|(known, _)| **known == *method) {
            Some((_, endpoint)) => Found::Endpoint(endpoint),
            None => self.find_other(method),
        }
    }

    #[cold]
    fn find_other(&self, method: &str) -> Found<'_> {
        if method == "HEAD"
            && let Some((_, endpoint)) = self.methods.iter().find(|(known, _)| **known == *"GET")
        {
            return Found::Endpoint(endpoint);
        }
        if let Some(endpoint) = &self.any {
            return Found::Endpoint(endpoint);
        }
        if method == "OPTIONS" {
            return Found::answer(options(self.allowed()));
        }
        let status =
            if is_known(method) { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_IMPLEMENTED };
        Found::answer(status.into_response().header(ALLOW, allow(self.allowed())))
    }

    /// The methods it answers.
    fn allowed(&self) -> impl Iterator<Item = &str> {
        let gets = self.methods.iter().any(|(method, _)| **method == *"GET");
        let own = self.methods.iter().map(|(method, _)| &**method);
        own.chain(gets.then_some("HEAD")).chain(["OPTIONS"])
    }
}

fn options<'a>(methods: impl Iterator<Item = &'a str>) -> Response {
    Response::new(StatusCode::NO_CONTENT).header(ALLOW, allow(methods))
}

/// The value of `Allow`.
fn allow<'a>(methods: impl Iterator<Item = &'a str>) -> HeaderValue {
    let mut known: Vec<&str> = Vec::new();
    for method in methods {
        if !known.contains(&method) {
            known.push(method);
        }
    }
    HeaderValue::from_str(&known.join(", ")).expect("methods are tokens")
}

/// Whether a method is one of those every server has heard of (RFC 9110 §9.3, RFC 5789).
fn is_known(method: &str) -> bool {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"].contains(&method)
}

/// The parameters' names, in their order.
fn names(path: &str) -> Rc<[Box<str>]> {
    let escaped = path.replace("{{", "  ");
    let mut names = Vec::new();
    let mut rest = escaped.as_str();
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        names.push(name.trim_start_matches('*').into());
        rest = after;
    }
    names.into()
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.routes.iter().map(|route| &route.path).collect();
        f.debug_struct("Router").field("paths", &paths).finish_non_exhaustive()
    }
}
