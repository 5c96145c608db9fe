//! What goes to stdout and stderr.

use std::io::{self, ErrorKind, Write};

/// Prints a line to stdout, at once. Nobody reading any more is a normal end, no failure.
pub(crate) fn line(text: &str) {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    match written {
        Err(problem) if problem.kind() != ErrorKind::BrokenPipe => {
            tracing::warn!(%problem, "stdout cannot be written")
        }
        _ => {}
    }
}

/// Says in one line on stderr why the command failed.
pub(crate) fn error(error: &anyhow::Error) {
    let text = escape(&format!("{error:#}"));
    // Nowhere is left to say that stderr is gone.
    let _ = writeln!(io::stderr(), "annulet: {text}");
}

/// Control characters as `\n`, `\u{1b}`: what a peer or a file name brings along neither forges lines nor moves cursors.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            escaped.extend(c.escape_debug());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_nothing_else() {
        assert_eq!(escape("a\nb\x1b[31m\u{85}\0\x7f"), "a\\nb\\u{1b}[31m\\u{85}\\0\\u{7f}");
        assert_eq!(escape("Zürich \"a\\b\" 'c'"), "Zürich \"a\\b\" 'c'");
    }
}
