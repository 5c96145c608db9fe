//! The table of a document, rewritten.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::machine::system;
use crate::run::RunReport;

/// Writes the figures between the marks of their driver.
pub(crate) fn write(path: &Path, report: &RunReport) -> anyhow::Result<()> {
    ensure!(report.violations.is_empty(), "a run with violations is not recorded");
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let date = system(&["date", "-u", "+%F"])?;
    let section = section(date.trim(), report);
    let text = replaced(&text, report.driver, &section).with_context(|| path.display().to_string())?;
    fs::write(path, text)?;
    Ok(())
}

/// The text with another section between the marks.
fn replaced(text: &str, driver: &str, section: &str) -> anyhow::Result<String> {
    let (begin, end) = (format!("<!-- begin {driver} -->\n"), format!("<!-- end {driver} -->\n"));
    let (before, rest) = text.split_once(&begin).with_context(|| format!("no line {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("no line {end}"))?;
    Ok([before, &begin, section, &end, after].concat())
}

fn section(date: &str, report: &RunReport) -> String {
    let RunReport { driver, kernel, minutes, .. } = report;
    let mut text = format!("{date}, Linux {kernel}, driver {driver}, {minutes:.0} minutes.\n\n");
    text += "| scenario | rounds | connections | faults | bytes | restarts | answered | failed | leaks | hangs | lost |\n";
    text += "|---|---|---|---|---|---|---|---|---|---|---|\n";
    let rows = report.scenarios.iter().map(|(scenario, figures)| (scenario.name(), figures));
    for (name, figures) in rows.chain([("total".to_owned(), &report.total)]) {
        // "other" is never recorded: a run with any is none to record.
        let cells: Vec<String> = figures.named()[..10].iter().map(|(_, number)| grouped(*number)).collect();
        writeln!(text, "| {name} | {} |", cells.join(" | ")).expect("a string takes it");
    }
    for (scenario, why) in &report.skipped {
        writeln!(text, "\nSkipped: {}, {why}.", scenario.name()).expect("a string takes it");
    }
    for why in &report.left_out {
        writeln!(text, "\nLeft out: {why}.").expect("a string takes it");
    }
    text
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let text =
            "a\n<!-- begin uring -->\nold\n<!-- end uring -->\nb\n<!-- begin epoll -->\n<!-- end epoll -->\n";
        let text = replaced(text, "uring", "new\n").expect("both marks");
        assert_eq!(
            text,
            "a\n<!-- begin uring -->\nnew\n<!-- end uring -->\nb\n<!-- begin epoll -->\n<!-- end epoll -->\n"
        );
        assert!(replaced(&text, "scripted", "new\n").is_err());
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
