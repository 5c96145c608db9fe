//! `annulet doctor`: what this machine offers, and what to change for better.

mod advice;
mod report;
mod self_test;
mod system;
mod text;

use std::process::ExitCode;

use crate::cli::DoctorArguments;
use crate::output;
use report::Report;

/// Prints the report. Fails when the driver asked for cannot be had, or a self-test fails.
pub(crate) fn run(arguments: &DoctorArguments) -> anyhow::Result<ExitCode> {
    let mut report = Report::gather(arguments.driver);
    if arguments.self_test {
        report.self_test = Some(self_test::run());
    }
    if arguments.json {
        output::line(&serde_json::to_string(&report)?);
    } else {
        output::line(&text::render(&report));
    }
    Ok(if report.is_failure() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
