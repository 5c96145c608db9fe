//! `annulet serve`: a server from its start line to its exit code.

mod counters;
mod settings;

use std::process::ExitCode;
use std::time::Duration;

use annulet::driver::limits::raise_descriptor_limit;
use annulet::time::timeout;
use annulet::{DriverChoice, DriverKind, ExitReport, Handle, Server, spawn_blocking, spawn_local};

use crate::cli::ServeArguments;
use crate::logging::Log;
use crate::{explain, output};
use counters::Counters;

/// Serves until SIGINT or SIGTERM, drains, and says how it went.
pub(crate) fn run(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let log = Log::start(&arguments.log);
    // Without it the connection limit is lower; nothing else depends on it.
    if let Err(error) = raise_descriptor_limit() {
        tracing::warn!(%error, "the descriptor limit cannot be raised");
    }
    let runtime = settings::runtime(arguments).build().map_err(|error| explain::runtime(&error))?;
    let (served, reports) = runtime.block_on_reporting(serve(arguments, &log));
    served.map_err(|error| explain::runtime(&error))??;
    Ok(verdict(&reports))
}

async fn serve(arguments: &ServeArguments, log: &Log) -> anyhow::Result<()> {
    let counters = Counters::new(Handle::current(), log.dropped());
    // From here on these signals no longer end the process by themselves.
    let stop = annulet::stop_signals();
    let printer = spawn_local(counters.clone().print_on_signal());
    start_blocking_thread().await?;
    let server = settings::server(arguments)?.start().await.map_err(|error| explain::serve(&error))?;
    print(start_line(&server, arguments.runtime.driver)).await;

    let report = annulet::stop_on_signal(server, stop).await;
    tracing::info!(connections = report.connections, cut = report.cut, "drained");
    printer.abort();
    if arguments.log.stats_at_exit {
        print(counters.to_string()).await;
    }
    Ok(())
}

/// Without a thread that may block nothing gets printed, and no name resolved: that is found out before anybody is served. The
/// pool keeps its last thread.
async fn start_blocking_thread() -> anyhow::Result<()> {
    spawn_blocking(|| ()).await.map_err(|error| {
        anyhow::anyhow!(
            "{error}: no thread can be had; are there limits on threads or memory (ulimit -u, -v)?"
        )
    })
}

/// How long a line may wait for whoever reads stdout.
const STDOUT_PATIENCE: Duration = Duration::from_secs(2);

/// Prints a line from a thread that may block: stdout can be a pipe that nobody reads.
async fn print(line: String) {
    match timeout(STDOUT_PATIENCE, spawn_blocking(move || output::line(&line))).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a line for stdout was not printed"),
        Err(_) => tracing::warn!("stdout is full; a line waits for its reader"),
    }
}

/// `listening on 127.0.0.1:7000 - driver epoll, as asked - 2 reactors`
fn start_line(server: &Server, asked: DriverChoice) -> String {
    let handle = Handle::current();
    let addresses: Vec<_> = server.addresses().iter().map(ToString::to_string).collect();
    let why = match (asked, handle.selection().kind()) {
        (DriverChoice::Auto, DriverKind::Uring) => ", as it works here",
        // The summary names the reason.
        (DriverChoice::Auto, _) => "",
        _ => ", as asked",
    };
    let reactors = handle.reactors();
    let plural = if reactors == 1 { "" } else { "s" };
    format!(
        "listening on {} - driver {}{why} - {reactors} reactor{plural}",
        addresses.join(" and "),
        handle.selection().summary(),
    )
}

/// Nothing may be left behind. In a debug build a leak fails the run, so that tests notice.
fn verdict(reports: &[ExitReport]) -> ExitCode {
    let leaks: Vec<_> = reports.iter().filter(|report| !report.is_clean()).collect();
    for leak in &leaks {
        tracing::error!("leak: {leak}");
    }
    if cfg!(debug_assertions) && !leaks.is_empty() {
        for leak in &leaks {
            output::error(&anyhow::anyhow!("leak: {leak}"));
        }
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
