//! Logs: through a bounded queue to stderr, so that a slow reader costs lines, never time.

use std::io::{self, Write};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::{LogArguments, LogFormat, LogLevel};
use crate::output;

/// Lines that may wait for stderr; more are dropped and counted.
const QUEUED_LINES_MAX: usize = 4096;

/// The log of this process. Dropping it writes what is queued, for as long as a second.
pub(crate) struct Log {
    dropped: ErrorCounter,
    _guard: WorkerGuard,
}

impl Log {
    /// Starts logging. Once per process.
    pub(crate) fn start(arguments: &LogArguments) -> Self {
        let queue = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(QUEUED_LINES_MAX)
            .thread_name("annulet-log");
        let (writer, guard) = queue.finish(io::stderr());
        let dropped = writer.error_counter();
        let lines = tracing_subscriber::fmt()
            .with_max_level(level(arguments.level))
            .with_target(false)
            .with_ansi(false)
            .with_writer(Escaping(writer));
        match arguments.format {
            LogFormat::Text => lines.init(),
            LogFormat::Json => lines.json().flatten_event(true).init(),
        }
        Self { dropped, _guard: guard }
    }

    /// Counts the lines dropped so far.
    pub(crate) fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Escapes the control characters of each line on its way to the queue.
struct Escaping<W>(W);

impl MakeWriter<'_> for Escaping<NonBlocking> {
    type Writer = Escaping<NonBlocking>;

    fn make_writer(&self) -> Self::Writer {
        Escaping(self.0.clone())
    }
}

impl<W: Write> Write for Escaping<W> {
    /// `bytes` is a whole line with its end: the formatter writes once per event.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let mut escaped = output::escape(&String::from_utf8_lossy(line));
        escaped.push('\n');
        self.0.write_all(escaped.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_whatever_it_quotes() {
        let mut lines = Escaping(Vec::new());
        lines.write_all(b"INFO peer said \"a\nERROR forged\x1b[2J\"\n").expect("written");
        lines.write_all(b"INFO next\n").expect("written");
        assert_eq!(
            String::from_utf8(lines.0).expect("text"),
            "INFO peer said \"a\\nERROR forged\\u{1b}[2J\"\nINFO next\n"
        );
    }
}
