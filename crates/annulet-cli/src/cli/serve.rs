//! The arguments of `annulet serve`. Each can also be given as an environment variable.

use annulet::DriverChoice;
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::values::{Bytes, Limit, ParkPolicy, Reactors, listen_address};

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum App {
    /// What arrives goes back.
    Echo,
    /// A greeting, then each line in upper case (its ASCII letters), ended by LF.
    Lines,
    /// READY, then: PING gives PONG, ECHO x gives OK x, QUIT gives BYE.
    Command,
    /// HTTP/1.1: GET / says hello, POST / sends the body back, /echo the request's header, /cookie its cookies, /delay/{ms}
    /// waits, /upload counts what it is sent, /stream/{bytes} sends so many, /json is JSON.
    Http,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The protocol.
    pub(crate) app: App,

    #[command(flatten)]
    pub(crate) listen: ListenArguments,

    #[command(flatten)]
    pub(crate) texts: TextArguments,

    #[command(flatten)]
    pub(crate) runtime: RuntimeArguments,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,

    #[command(flatten)]
    pub(crate) clocks: ClockArguments,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Listening")]
pub(crate) struct ListenArguments {
    /// Where to listen: 127.0.0.1:7000, [::1]:7000, :7000 (all addresses, IPv6 and IPv4), unix:/path, unix:@name. Port 0
    /// lets the kernel choose. May be repeated, or a list with commas.
    #[arg(
        long = "listen",
        value_name = "ADDR",
        value_delimiter = ',',
        value_parser = listen_address,
        default_value = "127.0.0.1:7000",
        env = "ANNULET_LISTEN"
    )]
    pub(crate) addresses: Vec<String>,

    /// Length of the accept queue; the kernel caps it at net.core.somaxconn.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = 1024, env = "ANNULET_BACKLOG")]
    pub(crate) backlog: u32,

    /// Let other processes listen at the same address, if they say so too.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "ANNULET_SHARE_PORT")]
    pub(crate) share_port: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Texts")]
pub(crate) struct TextArguments {
    /// echo: a line sent on connect, before anything is echoed.
    #[arg(long, value_name = "TEXT", env = "ANNULET_BANNER")]
    pub(crate) banner: Option<String>,

    /// lines: the greeting line.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "Hello! Each line comes back in upper case.",
        env = "ANNULET_GREETING"
    )]
    pub(crate) greeting: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Runtime")]
pub(crate) struct RuntimeArguments {
    /// Threads, each with a ring and connections of its own: a number, or one per core this process may use.
    #[arg(long, value_name = "N|cores", default_value = "cores", env = "ANNULET_REACTORS")]
    pub(crate) reactors: Reactors,

    /// Pin each reactor to a core of its own.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "ANNULET_PIN")]
    pub(crate) pin: bool,

    /// Kernel interface: auto (io_uring where it works, else epoll), uring (or fail), epoll.
    #[arg(long, value_name = "DRIVER", default_value = "auto", env = "ANNULET_DRIVER")]
    pub(crate) driver: DriverChoice,

    /// What a reactor does before it sleeps: adaptive (watches for work while that pays), block, spin:50us.
    #[arg(long, value_name = "POLICY", default_value = "adaptive", env = "ANNULET_PARK")]
    pub(crate) park: ParkPolicy,

    /// Receive buffers of each reactor at the start, 4 to 32768 [default: 128].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=32768), env = "ANNULET_BUFFERS")]
    pub(crate) buffers: Option<u32>,

    /// Receive buffers a reactor's pool may grow to, 4 to 32768 [default: 4096].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=32768), env = "ANNULET_BUFFERS_MAX")]
    pub(crate) buffers_max: Option<u32>,

    /// Bytes of one receive buffer, 512 to 1MiB.
    #[arg(long, value_name = "BYTES", default_value = "4KiB", env = "ANNULET_BUFFER_SIZE")]
    pub(crate) buffer_size: Bytes,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArguments {
    /// Connections open at a time; one more is closed at once and counted [default: the descriptor limit less 2 %].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), env = "ANNULET_MAX_CONNECTIONS")]
    pub(crate) max_connections: Option<u32>,

    /// command, lines: bytes of a line, its end not counted [default: 1024 for command, 4096 for lines].
    #[arg(long, value_name = "BYTES", env = "ANNULET_MAX_LINE")]
    pub(crate) max_line: Option<Bytes>,

    /// Bytes per connection waiting to be sent, before the handler has to wait.
    #[arg(long, value_name = "BYTES", default_value = "64KiB", env = "ANNULET_MAX_UNSENT")]
    pub(crate) max_unsent: Bytes,

    /// http: bytes of a request's body, but for /upload.
    #[arg(long, value_name = "BYTES", default_value = "1MiB", env = "ANNULET_MAX_BODY")]
    pub(crate) max_body: Bytes,

    /// http: bytes of a request's head.
    #[arg(long, value_name = "BYTES", default_value = "16KiB", env = "ANNULET_MAX_HEAD")]
    pub(crate) max_head: Bytes,

    /// http: requests on one connection; 0 is no limit.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, env = "ANNULET_MAX_REQUESTS")]
    pub(crate) max_requests: u32,

    /// Memory per connection holding bytes not yet read by the handler, before the peer is slowed down.
    #[arg(long, value_name = "BYTES", default_value = "64KiB", env = "ANNULET_MAX_UNREAD")]
    pub(crate) max_unread: Bytes,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Clocks (1s, 250ms; 0 = off)")]
pub(crate) struct ClockArguments {
    /// Until the first byte of a connection.
    #[arg(long, value_name = "TIME", default_value = "10s", env = "ANNULET_SETUP_TIMEOUT")]
    pub(crate) setup_timeout: Limit,

    /// Without a byte while waiting for input: before the first, between messages, within one [default: 60s within a
    /// message, else off].
    #[arg(long, value_name = "TIME", env = "ANNULET_IDLE_TIMEOUT")]
    pub(crate) idle_timeout: Option<Limit>,

    /// For a whole message, from its first byte to its last; http: for a request's head.
    #[arg(long, value_name = "TIME", default_value = "30s", env = "ANNULET_REQUEST_TIMEOUT")]
    pub(crate) request_timeout: Limit,

    /// http: between a response and the next request.
    #[arg(long, value_name = "TIME", default_value = "75s", env = "ANNULET_KEEP_ALIVE")]
    pub(crate) keep_alive: Limit,

    /// While the peer takes nothing of what is to be sent.
    #[arg(long, value_name = "TIME", default_value = "30s", env = "ANNULET_WRITE_TIMEOUT")]
    pub(crate) write_timeout: Limit,

    /// For the peer's end, after this side has ended.
    #[arg(long, value_name = "TIME", default_value = "2s", env = "ANNULET_LINGER_TIMEOUT")]
    pub(crate) linger_timeout: Limit,

    /// For connections to end after SIGTERM or SIGINT, before they are cut.
    #[arg(long, value_name = "TIME", default_value = "30s", env = "ANNULET_DRAIN_TIMEOUT")]
    pub(crate) drain_timeout: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Logs and counters")]
pub(crate) struct LogArguments {
    /// Form of the log lines on stderr.
    #[arg(long = "log", value_name = "FORMAT", value_enum, default_value = "text", env = "ANNULET_LOG")]
    pub(crate) format: LogFormat,

    /// Least weight of the lines logged; each connection is debug.
    #[arg(
        long = "log-level",
        value_name = "LEVEL",
        value_enum,
        default_value = "info",
        env = "ANNULET_LOG_LEVEL"
    )]
    pub(crate) level: LogLevel,

    /// http: log each request.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "ANNULET_ACCESS_LOG")]
    pub(crate) access_log: bool,

    /// Print the counters to stdout as one JSON line at the end. SIGUSR1 prints them at any time.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "ANNULET_STATS_AT_EXIT")]
    pub(crate) stats_at_exit: bool,
}

/// Sizes a receive buffer may have.
const BUFFER_SIZES: std::ops::RangeInclusive<usize> = 512..=1 << 20;

impl ServeArguments {
    /// What one argument alone cannot tell. `is_typed` says whether an argument was on the command line.
    pub(crate) fn check(&self, is_typed: impl Fn(&str) -> bool) -> Result<(), &'static str> {
        let app = self.app;
        if app != App::Echo && is_typed("banner") {
            return Err("--banner is for 'serve echo'");
        }
        if app != App::Lines && is_typed("greeting") {
            return Err("--greeting is for 'serve lines'");
        }
        if !matches!(app, App::Lines | App::Command) && is_typed("max_line") {
            return Err("--max-line is for 'serve lines' and 'serve command'");
        }
        let for_http = ["max_body", "max_head", "max_requests", "keep_alive", "access_log"];
        if app != App::Http && for_http.into_iter().any(&is_typed) {
            return Err(
                "--max-body, --max-head, --max-requests, --keep-alive and --access-log are for 'serve http'",
            );
        }
        if self.texts.greeting.contains('\n') {
            return Err("--greeting is one line");
        }
        if self.runtime.buffers > self.runtime.buffers_max.or(Some(u32::MAX)) {
            return Err("--buffers is more than --buffers-max");
        }
        if !BUFFER_SIZES.contains(&self.runtime.buffer_size.0) {
            return Err("--buffer-size is from 512 to 1MiB");
        }
        Ok(())
    }
}
