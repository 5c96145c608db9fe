//! Requests, ready to be sent: an endless stream that cycles through prepared heads.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::pattern::Pattern;

/// Whose heads are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// The load generator's of the nghttp2 project, as `h2load --h1` sends it: a host and a user agent.
    H2load,
    /// Browsers': twelve fields, whose values and order change from request to request.
    Browser,
}

/// The prepared requests, one after the other.
pub(crate) struct Requests {
    bytes: Pattern,
    /// The length of each.
    lengths: Vec<u64>,
}

impl Requests {
    pub(crate) fn new(head: Head, server: SocketAddr) -> Self {
        let variants = match head {
            Head::H2load => [H2LOAD].as_slice(),
            Head::Browser => BROWSERS.as_slice(),
        };
        let requests: Vec<String> = variants.iter().map(|fields| request(fields, server)).collect();
        let lengths = requests.iter().map(|request| request.len() as u64).collect();
        Self { bytes: Pattern::repeating(requests.concat().into_bytes()), lengths }
    }

    pub(crate) fn bytes(&self) -> &Pattern {
        &self.bytes
    }

    /// The length of the `number`-th request of the stream.
    #[inline]
    pub(crate) fn length(&self, number: u64) -> u64 {
        self.lengths[(number % self.lengths.len() as u64) as usize]
    }

    /// Where the stream of a connection begins, so that not all begin with the same head: the number of its first request
    /// and the position of that.
    pub(crate) fn beginning(&self, connection: usize) -> (u64, u64) {
        let number = connection % self.lengths.len();
        (number as u64, self.lengths[..number].iter().sum())
    }
}

type Fields = &'static [(&'static str, &'static str)];

/// A request for `/` with these fields. An empty value stands for the server's address.
fn request(fields: Fields, server: SocketAddr) -> String {
    let mut text = String::from("GET / HTTP/1.1\r\n");
    for (name, value) in fields {
        if value.is_empty() {
            write!(text, "{name}: {server}\r\n")
        } else {
            write!(text, "{name}: {value}\r\n")
        }
        .expect("a String takes any text");
    }
    text.push_str("\r\n");
    text
}

const H2LOAD: Fields = &[("Host", ""), ("user-agent", "h2load nghttp2/1.52.0")];

const BROWSERS: [Fields; 8] = [
    // Chromium on Linux.
    &[
        ("Host", ""),
        ("Connection", "keep-alive"),
        ("Cache-Control", "max-age=0"),
        ("Upgrade-Insecure-Requests", "1"),
        ("User-Agent", CHROMIUM_LINUX),
        ("Accept", ACCEPT_CHROMIUM),
        ("Sec-Fetch-Site", "none"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-User", "?1"),
        ("Sec-Fetch-Dest", "document"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Accept-Language", "en-US,en;q=0.9"),
    ],
    // Firefox on Linux.
    &[
        ("Host", ""),
        ("User-Agent", FIREFOX_LINUX),
        ("Accept", ACCEPT_FIREFOX),
        ("Accept-Language", "de,en-US;q=0.7,en;q=0.3"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Connection", "keep-alive"),
        ("Upgrade-Insecure-Requests", "1"),
        ("Sec-Fetch-Dest", "document"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-User", "?1"),
        ("Priority", "u=0, i"),
    ],
    // Safari on macOS.
    &[
        ("Host", ""),
        ("Sec-Fetch-Dest", "document"),
        ("User-Agent", SAFARI_MAC),
        ("Upgrade-Insecure-Requests", "1"),
        ("Accept", ACCEPT_SAFARI),
        ("Sec-Fetch-Site", "none"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Accept-Language", "en-GB,en;q=0.9"),
        ("Priority", "u=0, i"),
        ("Accept-Encoding", "gzip, deflate"),
        ("Cookie", "session=Zm9vYmFyMTIzNDU2Nzg5MA; theme=light"),
        ("Connection", "keep-alive"),
    ],
    // Chromium on Windows, a script's request from a page.
    &[
        ("Host", ""),
        ("Connection", "keep-alive"),
        ("sec-ch-ua-platform", "\"Windows\""),
        ("User-Agent", CHROMIUM_WINDOWS),
        ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\""),
        ("sec-ch-ua-mobile", "?0"),
        ("Accept", "*/*"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Mode", "cors"),
        ("Referer", "http://localhost/articles/2026/11"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Accept-Language", "fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7"),
    ],
    // Firefox on Windows, with a condition and cookies.
    &[
        ("Host", ""),
        ("User-Agent", FIREFOX_WINDOWS),
        ("Accept", ACCEPT_FIREFOX),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Accept-Encoding", "gzip, deflate"),
        ("DNT", "1"),
        ("Connection", "keep-alive"),
        ("Cookie", "_ga=GA1.1.1234567890.1700000000; consent=yes; lang=en"),
        ("Upgrade-Insecure-Requests", "1"),
        ("If-Modified-Since", "Fri, 20 Nov 2026 08:12:31 GMT"),
        ("If-None-Match", "\"5e9b-63f1c0a2\""),
        ("Cache-Control", "max-age=0"),
    ],
    // Safari on a phone.
    &[
        ("Host", ""),
        ("Accept", ACCEPT_SAFARI),
        ("Sec-Fetch-Site", "same-origin"),
        ("Accept-Encoding", "gzip, deflate"),
        ("Sec-Fetch-Mode", "navigate"),
        ("User-Agent", SAFARI_PHONE),
        ("Referer", "http://localhost/"),
        ("Sec-Fetch-Dest", "document"),
        ("Accept-Language", "es-ES,es;q=0.9"),
        ("Priority", "u=0, i"),
        ("Upgrade-Insecure-Requests", "1"),
        ("Connection", "keep-alive"),
    ],
    // Chromium on a phone.
    &[
        ("Host", ""),
        ("Connection", "keep-alive"),
        ("sec-ch-ua-mobile", "?1"),
        ("sec-ch-ua-platform", "\"Android\""),
        ("Upgrade-Insecure-Requests", "1"),
        ("User-Agent", CHROMIUM_PHONE),
        ("Accept", ACCEPT_CHROMIUM),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Accept-Language", "pt-BR,pt;q=0.9,en;q=0.6"),
        ("Cookie", "sid=8f14e45fceea167a5a36dedd4bea2543; cart=3; seen=1763740800"),
    ],
    // Chromium on macOS, an image of a page.
    &[
        ("Host", ""),
        ("Connection", "keep-alive"),
        ("Pragma", "no-cache"),
        ("Cache-Control", "no-cache"),
        ("User-Agent", CHROMIUM_MAC),
        ("Accept", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Mode", "no-cors"),
        ("Sec-Fetch-Dest", "image"),
        ("Referer", "http://localhost/gallery?page=2&sort=newest"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Accept-Language", "ja,en-US;q=0.9,en;q=0.8"),
    ],
];

const CHROMIUM_LINUX: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
const CHROMIUM_WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                                Chrome/142.0.0.0 Safari/537.36";
const CHROMIUM_MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) \
                            Chrome/141.0.0.0 Safari/537.36";
const CHROMIUM_PHONE: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
                              Chrome/142.0.0.0 Mobile Safari/537.36";
const FIREFOX_LINUX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const FIREFOX_WINDOWS: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0";
const SAFARI_MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                          Version/26.1 Safari/605.1.15";
const SAFARI_PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 \
                            (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1";
const ACCEPT_CHROMIUM: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
                               image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7";
const ACCEPT_FIREFOX: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const ACCEPT_SAFARI: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2load_heads_are_those_of_h2load() {
        let server = SocketAddr::from(([127, 0, 0, 1], 18978));
        assert_eq!(
            request(H2LOAD, server),
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:18978\r\nuser-agent: h2load nghttp2/1.52.0\r\n\r\n"
        );
    }

    #[test]
    fn browser_heads_differ_and_have_twelve_fields() {
        for (at, fields) in BROWSERS.iter().enumerate() {
            assert_eq!(fields.len(), 12, "{at}");
            assert!(!BROWSERS[..at].contains(fields), "{at}");
        }
    }

    #[test]
    fn a_connection_begins_with_a_whole_request() {
        let requests = Requests::new(Head::Browser, SocketAddr::from(([127, 0, 0, 1], 80)));
        for connection in 0..20 {
            let (number, position) = requests.beginning(connection);
            let text = requests.bytes().at(position, requests.length(number) as usize);
            assert!(text.starts_with(b"GET / HTTP/1.1\r\n") && text.ends_with(b"\r\n\r\n"), "{connection}");
        }
    }
}
