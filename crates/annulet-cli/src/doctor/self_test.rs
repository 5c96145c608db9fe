//! An echo over loopback on each driver: does it work here, rather than should it.

use std::fmt;
use std::time::Duration;

use annulet::driver::{self, Rung};
use annulet::time::timeout;
use annulet::{Connection, DriverChoice, DriverOptions, HandlerResult, Runtime, Server};
use anyhow::{Context, bail, ensure};
use serde::Serialize;

/// Messages sent and received.
const ROUNDS: u32 = 100;
const MESSAGE_BYTES: usize = 1024;
/// Far more than the slowest emulator needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a driver's test went.
#[derive(Debug, Serialize)]
pub(super) struct SelfTest {
    driver: &'static str,
    result: Verdict,
    /// The io_uring set-up, or why there is none, or what failed.
    detail: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// The kernel refuses the driver: no failure of ours.
    Unavailable,
    Failed,
}

impl SelfTest {
    pub(super) fn is_failure(&self) -> bool {
        self.result == Verdict::Failed
    }
}

/// `self-test uring: ok (rung COOP_TASKRUN)`
impl fmt::Display for SelfTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.result {
            Verdict::Ok => "ok",
            Verdict::Unavailable => "unavailable",
            Verdict::Failed => "failed",
        };
        write!(f, "self-test {}: {verdict}", self.driver)?;
        match &self.detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

/// Tests each driver.
pub(super) fn run() -> Vec<SelfTest> {
    vec![test("uring", DriverChoice::Uring), test("epoll", DriverChoice::Epoll)]
}

fn test(driver: &'static str, choice: DriverChoice) -> SelfTest {
    let rung = match driver::select(choice, &DriverOptions::default()) {
        Ok(selection) => selection.rung(),
        Err(error) => {
            return SelfTest { driver, result: Verdict::Unavailable, detail: Some(error.to_string()) };
        }
    };
    match echo_on(choice) {
        Ok(()) => SelfTest { driver, result: Verdict::Ok, detail: rung.map(describe) },
        Err(error) => SelfTest { driver, result: Verdict::Failed, detail: Some(format!("{error:#}")) },
    }
}

fn describe(rung: Rung) -> String {
    format!("rung {rung}")
}

/// Runs server and client on a runtime of their own, which must end without leaving anything behind.
fn echo_on(choice: DriverChoice) -> anyhow::Result<()> {
    let runtime = Runtime::builder().reactors(1).driver(choice).build()?;
    let (result, reports) = runtime.block_on_reporting(timeout_echo());
    result??;
    match reports.iter().find(|report| !report.is_clean()) {
        Some(leak) => bail!("leak: {leak}"),
        None => Ok(()),
    }
}

async fn timeout_echo() -> anyhow::Result<()> {
    let server = Server::builder().listen("127.0.0.1:0", echo).start().await?;
    let target = server.addresses()[0].to_string();
    timeout(PATIENCE, converse(&target)).await.context("no answer within a minute")??;
    let report = server.stop().await;
    ensure!(report.is_clean(), "{report}");
    Ok(())
}

async fn echo(mut connection: Connection) -> HandlerResult {
    while let Some(chunk) = connection.recv().await? {
        connection.send(chunk).await?;
    }
    Ok(())
}

/// The client: every message must come back as it was, and after this side's end, the other's.
async fn converse(target: &str) -> anyhow::Result<()> {
    let mut connection = annulet::connect(target).await.context("connecting")?;
    for round in 0..ROUNDS {
        let sent: Vec<u8> =
            (0..MESSAGE_BYTES).map(|at| (at as u32).wrapping_mul(31).wrapping_add(round) as u8).collect();
        connection.write_all(&sent).await.with_context(|| format!("sending message {round}"))?;
        let mut received = vec![0; MESSAGE_BYTES];
        connection.read_exact(&mut received).await.with_context(|| format!("receiving message {round}"))?;
        ensure!(received == sent, "message {round} came back changed");
    }
    connection.shutdown().await.context("ending this side")?;
    ensure!(
        connection.recv().await.context("waiting for the end")?.is_none(),
        "bytes from nowhere at the end"
    );
    Ok(())
}
