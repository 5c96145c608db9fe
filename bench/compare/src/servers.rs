//! The servers that can be compared.

use std::path::{Path, PathBuf};

use bench_common::protocol::Protocol;

/// One server in one configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// The package to build; `None` for Annulet, which is built in its own workspace.
    pub(crate) package: Option<&'static str>,
    speaks: &'static [Protocol],
    args: &'static [&'static str],
    /// What it is compared with unless `--base` says otherwise; `None` for the bases themselves.
    pub(crate) base: Option<&'static str>,
    /// Runs on epoll, so valgrind can count its instructions.
    pub(crate) epoll: bool,
    /// Takes `--buffer`, the size of a connection's read buffer.
    takes_buffer: bool,
    /// Differs from its base in how it parks only: of interest where latency or idle time is measured.
    pub(crate) parking: bool,
}

const DEFAULT: Server = Server {
    name: "",
    package: None,
    speaks: &[Protocol::Echo, Protocol::Http],
    args: &[],
    base: None,
    epoll: false,
    takes_buffer: false,
    parking: false,
};

const URING: Option<&str> = Some("annulet-uring");
const EPOLL: Option<&str> = Some("annulet-epoll");

const ECHO: Server = Server { speaks: &[Protocol::Echo], base: URING, takes_buffer: true, ..DEFAULT };
const HTTP: Server = Server { speaks: &[Protocol::Http], base: URING, ..DEFAULT };

/// All of them, bases first.
pub(crate) const ALL: &[Server] = &[
    Server { name: "annulet-uring", args: &["--driver", "uring", "--park", "adaptive"], ..DEFAULT },
    Server {
        name: "annulet-epoll",
        args: &["--driver", "epoll", "--park", "adaptive"],
        epoll: true,
        ..DEFAULT
    },
    Server {
        name: "annulet-uring-block",
        args: &["--driver", "uring", "--park", "block"],
        base: URING,
        parking: true,
        ..DEFAULT
    },
    Server {
        name: "annulet-epoll-block",
        args: &["--driver", "epoll", "--park", "block"],
        base: EPOLL,
        epoll: true,
        parking: true,
        ..DEFAULT
    },
    Server {
        name: "bare-ring",
        package: Some("bare-ring"),
        args: &["--send", "direct"],
        base: URING,
        ..DEFAULT
    },
    Server {
        name: "bare-ring-sqe",
        package: Some("bare-ring"),
        args: &["--send", "ring"],
        base: URING,
        ..DEFAULT
    },
    Server {
        name: "bare-ring-quiet",
        package: Some("bare-ring"),
        args: &["--send", "quiet"],
        base: URING,
        ..DEFAULT
    },
    Server {
        name: "bare-ring-watch",
        package: Some("bare-ring"),
        args: &["--send", "direct", "--watch-us", "50"],
        base: URING,
        parking: true,
        ..DEFAULT
    },
    Server { name: "bare-epoll", package: Some("bare-epoll"), base: EPOLL, epoll: true, ..DEFAULT },
    Server { name: "tokio", package: Some("peer-tokio"), epoll: true, ..ECHO },
    Server { name: "tokio-untuned", package: Some("peer-tokio"), args: &["--untuned"], epoll: true, ..ECHO },
    Server { name: "monoio", package: Some("peer-monoio"), ..ECHO },
    Server { name: "monoio-untuned", package: Some("peer-monoio"), args: &["--untuned"], ..ECHO },
    Server { name: "compio", package: Some("peer-compio"), ..ECHO },
    Server { name: "compio-owned", package: Some("peer-compio"), args: &["--read", "owned"], ..ECHO },
    Server { name: "compio-untuned", package: Some("peer-compio"), args: &["--untuned"], ..ECHO },
    Server { name: "glommio", package: Some("peer-glommio"), ..ECHO },
    Server { name: "hyper", package: Some("peer-hyper"), epoll: true, ..HTTP },
    Server { name: "hyper-untuned", package: Some("peer-hyper"), args: &["--untuned"], epoll: true, ..HTTP },
    Server { name: "axum", package: Some("peer-axum"), epoll: true, ..HTTP },
    Server { name: "axum-untuned", package: Some("peer-axum"), args: &["--untuned"], epoll: true, ..HTTP },
    Server { name: "actix-web", package: Some("peer-actix-web"), epoll: true, ..HTTP },
    Server { name: "may-minihttp", package: Some("peer-may-minihttp"), epoll: true, ..HTTP },
    Server { name: "ntex-uring", package: Some("peer-ntex"), args: &["--driver", "uring"], ..HTTP },
    Server {
        name: "ntex-polling",
        package: Some("peer-ntex"),
        args: &["--driver", "polling"],
        epoll: true,
        ..HTTP
    },
];

/// The server of this name.
pub(crate) fn find(name: &str) -> Option<Server> {
    ALL.iter().copied().find(|server| server.name == name)
}

/// Where the binaries are.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    /// The folder of the benchmark's own binaries.
    pub(crate) own: PathBuf,
    pub(crate) annulet: PathBuf,
}

impl Server {
    pub(crate) fn is_annulet(&self) -> bool {
        self.package.is_none()
    }

    pub(crate) fn speaks(&self, protocol: Protocol) -> bool {
        self.speaks.contains(&protocol)
    }

    /// Prints its counters on SIGUSR1.
    pub(crate) fn has_counters(&self) -> bool {
        self.package.is_none_or(|package| package.starts_with("bare-"))
    }

    pub(crate) fn binary(&self, binaries: &Binaries) -> PathBuf {
        self.package.map_or_else(|| binaries.annulet.clone(), |package| binaries.own.join(package))
    }

    pub(crate) fn exists(&self, binaries: &Binaries) -> bool {
        Path::new(&self.binary(binaries)).exists()
    }

    /// The command line after the binary's name. `buffer`: size of a connection's read buffer, for
    /// servers that have one.
    pub(crate) fn command_line(&self, protocol: Protocol, buffer: Option<usize>) -> Vec<String> {
        let name = match protocol {
            Protocol::Echo => "echo",
            Protocol::Http => "http",
        };
        let mut line: Vec<String> = Vec::new();
        if self.is_annulet() {
            line.extend(["serve", name].map(String::from));
        } else if self.speaks.len() > 1 {
            line.extend(["--protocol", name].map(String::from));
        }
        line.extend(["--listen", "127.0.0.1:0", "--reactors", "1"].map(String::from));
        line.extend(self.args.iter().map(|arg| String::from(*arg)));
        if let (Some(buffer), true) = (buffer, self.takes_buffer) {
            line.extend([String::from("--buffer"), buffer.to_string()]);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_base_is_a_server_that_has_none() {
        for server in ALL {
            if let Some(base) = server.base {
                assert!(find(base).expect("a known base").base.is_none(), "{}", server.name);
            }
        }
    }
}
