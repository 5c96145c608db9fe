//! The report for people.

use std::fmt::Write;

use super::report::{FeatureReport, Report, Ring};
use super::system::SYSCTLS;

/// The report in lines of text, the last one without its end.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    let title = format!("annulet {} on Linux {} ({})", report.annulet, report.kernel, report.architecture);
    line(&mut text, &title);
    driver(&mut text, report);
    system(&mut text, report);
    heading(&mut text, "What to change");
    if report.advice.is_empty() {
        line(&mut text, "  nothing");
    }
    for advice in &report.advice {
        line(&mut text, &format!("  - {advice}"));
    }
    if let Some(tests) = &report.self_test {
        line(&mut text, "");
        tests.iter().for_each(|test| line(&mut text, &test.to_string()));
    }
    text.truncate(text.trim_end().len());
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn heading(text: &mut String, name: &str) {
    text.push('\n');
    line(text, name);
}

fn driver(text: &mut String, report: &Report) {
    let driver = &report.driver;
    heading(text, "Driver");
    row(text, "asked for", driver.asked);
    row(text, "chosen", if driver.kind.is_some() { &driver.summary } else { "none: it cannot be had" });
    for refusal in &driver.refused {
        row(text, "refused", &format!("{}: {}", refusal.tried, refusal.reason));
    }
    if let Some(Ring { submission_entries, completion_entries, buffers }) = driver.ring {
        let sizes = format!(
            "{submission_entries} submissions, {completion_entries} completions, {buffers} receive buffers"
        );
        row(text, "ring", &sizes);
    }
    if let Some(error) = &driver.ring_error {
        row(text, "ring", &format!("cannot be opened: {error}"));
    }
    heading(text, "io_uring set-ups, best first");
    for rung in &driver.rungs {
        match &rung.refused {
            None => row(text, "works", rung.name),
            Some(reason) => row(text, "refused", &format!("{}: {reason}", rung.name)),
        }
    }
    if !driver.features.is_empty() {
        heading(text, "Features (proved by a self-test)");
        driver.features.iter().for_each(|feature| feature_row(text, feature));
    }
    if !driver.opcodes.is_empty() {
        let missing: Vec<_> =
            driver.opcodes.iter().filter(|opcode| !opcode.present).map(|opcode| opcode.name).collect();
        heading(text, "Opcodes");
        row(text, "known", &format!("{} of {}", driver.opcodes.len() - missing.len(), driver.opcodes.len()));
        if !missing.is_empty() {
            row(text, "missing", &missing.join(" "));
        }
    }
}

fn feature_row(text: &mut String, feature: &FeatureReport) {
    row(
        text,
        if feature.present { "yes" } else { "no" },
        &format!("{} (Linux {})", feature.name, feature.since),
    );
}

fn system(text: &mut String, report: &Report) {
    let system = &report.system;
    let or_unknown =
        |number: Option<u64>| number.map_or_else(|| "unknown".into(), |number| number.to_string());
    heading(text, "Limits");
    let (soft, hard) = (system.limits.descriptors_soft, system.limits.descriptors_hard);
    row(text, "descriptors", &format!("{}, raised by a server to {}", or_unknown(soft), or_unknown(hard)));
    let locked = system
        .limits
        .locked_memory
        .map_or_else(|| "no limit".into(), |bytes| format!("{} KiB", bytes / 1024));
    row(text, "locked mem.", &locked);
    let cores: Vec<_> = system.cores.iter().map(ToString::to_string).collect();
    row(text, "cores", &format!("{} ({})", cores.len(), cores.join(" ")));
    let seccomp = match system.seccomp {
        Some(true) => "a filter is active",
        Some(false) => "no filter",
        None => "unknown",
    };
    row(text, "seccomp", seccomp);
    heading(text, "Settings of the kernel (sysctl)");
    for (name, meaning) in SYSCTLS {
        let value = system.sysctl(name).unwrap_or("not there");
        let _ = writeln!(text, "  {name} = {value}  ({meaning})");
    }
}

fn row(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:<11}  {value}");
}
