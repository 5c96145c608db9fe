//! Where a request goes.

use annulet_proto::http1::{is_host, write_request_line};
use http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::error::ClientError;

/// What [`Uri`] lets pass in a path or query and servers do not. Whatever is not ASCII is encoded besides.
const NOT_IN_A_TARGET: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'#');

/// The port of `http`.
const PORT: u16 = 80;

/// A URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Host and port: who is connected to.
    pub(super) host: String,
    /// Host, and port unless it is that of the scheme: the Host field.
    pub(super) authority: String,
    /// Path and query: the request's target (RFC 9112 §3.2.1).
    pub(super) path: String,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, ClientError> {
        let uri = url.parse::<Uri>().map_err(|_| refused(&without_user(url), "it is malformed"))?;
        Self::of(&uri)
    }

    pub(super) fn of(uri: &Uri) -> Result<Self, ClientError> {
        let refused = |reason| refused(&shown(uri), reason);
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(ClientError::Tls { url: shown(uri) }),
            Some(_) => return Err(refused("its scheme is not http")),
            None => return Err(refused("it does not begin with http://")),
        }
        let authority = uri.authority().ok_or_else(|| refused("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refused("it has a user in front of its host: send credentials in a field"));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(refused("it names no host"));
        }
        // What `Uri` takes for a host with a port behind it is more than there is to connect to.
        if !is_host(authority.as_str().as_bytes()) {
            return Err(refused("its host or port is malformed"));
        }
        let port = match &authority.as_str()[host.len()..] {
            "" | ":" => PORT,
            port => port
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .filter(|number| *number != 0)
                .ok_or_else(|| refused("its port is no port"))?,
        };
        let host = host.to_ascii_lowercase();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let slash = if path.starts_with('/') { "" } else { "/" };
        let path = format!("{slash}{}", utf8_percent_encode(path, NOT_IN_A_TARGET));
        if !write_request_line(&mut Vec::new(), "GET", &path) {
            return Err(refused("its path or query is malformed"));
        }
        Ok(Self {
            authority: if port == PORT { host.clone() } else { format!("{host}:{port}") },
            host: format!("{host}:{port}"),
            path,
        })
    }

    /// The URL.
    pub(super) fn url(&self) -> String {
        format!("http://{}{}", self.authority, self.path)
    }

    /// What a reference within this resource means (RFC 3986 §5.2).
    pub(super) fn join(&self, reference: &str) -> Result<Self, ClientError> {
        let reference = reference.split('#').next().unwrap_or_default();
        if has_scheme(reference) {
            return Self::parse(reference);
        }
        if reference.starts_with("//") {
            return Self::parse(&format!("http:{reference}"));
        }
        let (path, query) = split_query(reference);
        let (own_path, own_query) = split_query(&self.path);
        let (path, query) = if path.is_empty() {
            (own_path.to_owned(), query.or(own_query))
        } else if path.starts_with('/') {
            (without_dots(path), query)
        } else {
            let folder = own_path.rfind('/').map_or("/", |slash| &own_path[..=slash]);
            (without_dots(&format!("{folder}{path}")), query)
        };
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Self::parse(&format!("http://{}{path}{query}", self.authority))
    }
}

#[cold]
fn refused(url: &str, reason: &'static str) -> ClientError {
    ClientError::Url { url: url.to_owned(), reason }
}

/// A URL as errors repeat it, and errors end up in logs: without a user, who may have a password.
#[cold]
fn shown(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    match authority.rfind('@') {
        Some(at) => uri.to_string().replacen(&authority[..=at], "", 1),
        None if is_host(authority.as_bytes()) => uri.to_string(),
        None => without_user(&uri.to_string()),
    }
}

/// The same of a text that is no URL, so that nobody knows where a user in it would end.
#[cold]
pub(super) fn without_user(text: &str) -> String {
    let Some((user, rest)) = text.rsplit_once('@') else { return text.to_owned() };
    let scheme = user.find("//").map_or("", |slashes| &user[..slashes + 2]);
    format!("{scheme}{rest}")
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)))
}

/// Whether a reference is a whole URL.
fn has_scheme(reference: &str) -> bool {
    let Some((scheme, _)) = reference.split_once(':') else { return false };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// An absolute path with its `.` and `..` done (RFC 3986 §5.2.4).
fn without_dots(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let is_folder = matches!(path.rsplit('/').next(), Some("." | ".."));
    format!("/{}{}", segments.join("/"), if is_folder && !segments.is_empty() { "/" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (String, String, String) {
        let Target { host, authority, path } = Target::parse(url).expect(url);
        (host, authority, path)
    }

    fn check(url: &str, host: &str, authority: &str, path: &str) {
        assert_eq!(parts(url), (host.into(), authority.into(), path.into()), "{url}");
    }

    #[test]
    fn urls_are_taken_apart() {
        check("http://example.org", "example.org:80", "example.org", "/");
        check("http://Example.ORG:80/a?b=c", "example.org:80", "example.org", "/a?b=c");
        check("http://example.org:8080?b", "example.org:8080", "example.org:8080", "/?b");
        check("http://example.org:/a#part", "example.org:80", "example.org", "/a");
        check("http://[::1]:7000/", "[::1]:7000", "[::1]:7000", "/");
        check("http://[::1]/", "[::1]:80", "[::1]", "/");
        check("http://[::1]:/", "[::1]:80", "[::1]", "/");
        check("HTTP://127.0.0.1/%20", "127.0.0.1:80", "127.0.0.1", "/%20");
        check("http://a/caf\u{e9}?\u{e9}", "a:80", "a", "/caf%C3%A9?%C3%A9");
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        for url in [
            "",
            "/",
            "example.org",
            "example.org/a",
            "example.org:80",
            "ftp://example.org/",
            "http:///a",
            "http://",
            "http://:80/",
            "http://user@example.org/",
            "http://user:secret@example.org/",
            "http://example.org:99999/",
            "http://example.org:0/",
            "http://example.org:+80/",
            "http://example.org:x/",
            "http://[::1/",
            "http://[::1]8080/",
            "http://[::1]allowed.example:8080/",
            "http://[::1]:80:80/",
            "http://[127.0.0.1]/",
            "http://[example.org]/",
            "http://[fe80::1%2]/",
            "http://[fe80::1%252]/",
            "http://[]/",
            "http://a[::1]/",
            "http://a:80:81/",
            "http://a,b/",
            "http://a%2eb/",
            "http://exa mple.org/",
            "http://example.org/a b",
            "http://example.org/\r\nX: y",
            "http://example.org\r\n/",
            "http://example.org/\0",
        ] {
            let error = Target::parse(url).expect_err(url);
            assert!(matches!(error, ClientError::Url { .. }), "{url:?}: {error}");
        }
        let error = Target::parse("https://example.org/").expect_err("https");
        assert!(matches!(error, ClientError::Tls { .. }) && error.to_string().contains("TLS"), "{error}");
    }

    #[test]
    fn errors_do_not_tell_a_users_password() {
        for (url, told) in [
            ("http://user:secret@example.org/a@b", "http://example.org/a@b"),
            ("https://user:secret@example.org/", "https://example.org/"),
            ("https://example.org/@scope", "https://example.org/@scope"),
            ("ftp://user:secret@example.org/", "ftp://example.org/"),
            ("user:secret@example.org", "example.org"),
            ("http://user:secret@example.org/ ", "http://example.org/ "),
            ("http://user:sec/ret@example.org/", "http://example.org/"),
            ("http://user:sec@ret@example.org/", "http://example.org/"),
            ("http:user:secret@example.org", "example.org"),
        ] {
            match Target::parse(url).expect_err(url) {
                ClientError::Url { url: said, .. } | ClientError::Tls { url: said } => assert_eq!(said, told),
                error => panic!("{error:?}"),
            }
        }
    }

    /// The examples of RFC 3986 §5.4 that mean something for http.
    #[test]
    fn references_are_resolved_as_the_rfc_has_it() {
        let base = Target::parse("http://a/b/c/d;p?q").expect("base");
        for (reference, url) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g?y/./x", "http://a/b/c/g?y/./x"),
            ("http://h:81/i", "http://h:81/i"),
        ] {
            assert_eq!(base.join(reference).expect(reference).url(), url, "{reference}");
        }
        for reference in ["https://a/", "ftp://a/", "mailto:a", "//user@a/", "//[::1]a/", "a b", "\r\n"] {
            assert!(base.join(reference).is_err(), "{reference:?}");
        }
    }
}
