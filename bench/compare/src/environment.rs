//! Where and with what a result was obtained: the head of every table.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Some lines of Markdown.
pub(crate) fn describe(bench: &Path) -> String {
    let kernel = read("/proc/sys/kernel/osrelease");
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let mut text = String::new();
    let mut line =
        |name: &str, value: &str| writeln!(text, "- {name}: {value}").expect("a String takes any text");
    line("date", &output("date", &["-u", "+%Y-%m-%d %H:%M UTC"], bench));
    line("kernel", &kernel);
    line("processor", &format!("{count} × {}", model.trim_matches([' ', '\t', ':'])));
    line("compiler", &output("rustc", &["--version"], bench));
    line("commit", &commit(bench));
    line("versions", &versions(bench));
    let command: Vec<String> = std::env::args().skip(1).collect();
    line("command", &format!("`cargo run --release --bin compare -- {}`", command.join(" ")));
    text
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn output(program: &str, args: &[&str], folder: &Path) -> String {
    let output = Command::new(program).args(args).current_dir(folder).output();
    output.map_or_else(
        |_| String::from("unknown"),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn commit(bench: &Path) -> String {
    let commit = output("git", &["rev-parse", "--short", "HEAD"], bench);
    let changes = output("git", &["status", "--porcelain", "--untracked-files=no"], bench);
    if commit.is_empty() {
        return String::from("none yet");
    }
    if changes.is_empty() { commit } else { format!("{commit}, with uncommitted changes") }
}

/// The peers' versions, from the lock file.
fn versions(bench: &Path) -> String {
    const NAMES: [&str; 10] = [
        "tokio",
        "monoio",
        "compio",
        "glommio",
        "io-uring",
        "hyper",
        "axum",
        "actix-web",
        "may_minihttp",
        "ntex",
    ];
    let lock = fs::read_to_string(bench.join("Cargo.lock")).unwrap_or_default();
    let mut lines = lock.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let name = line.strip_prefix("name = ").unwrap_or_default().trim_matches('"');
        if NAMES.contains(&name) {
            let version = lines.next().and_then(|line| line.strip_prefix("version = ")).unwrap_or_default();
            found.push(format!("{name} {}", version.trim_matches('"')));
        }
    }
    found.join(", ")
}
