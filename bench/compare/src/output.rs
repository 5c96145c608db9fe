//! Tables in Markdown and one line of JSON per comparison.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::options::Options;
use crate::pairs::{Figure, Pairs};
use crate::scenarios::Scenario;
use crate::stats::Spread;

/// The figures of a pair that are compared.
const FIGURES: [&str; 7] =
    ["server_cpu_us", "both_cpu_us", "rate", "p50_us", "p99_us", "enters_per_message", "cqes_per_message"];

/// Others' share of a CPU above which a reader should know.
const OTHERS_WORTH_A_NOTE: f64 = 0.05;

/// Collects the results of one scenario and writes them.
pub(crate) struct Report {
    folder: PathBuf,
    name: &'static str,
    /// Name of the files, without what follows the dot.
    file: String,
    markdown: String,
    lines: Vec<Value>,
}

impl Report {
    pub(crate) fn new(options: &Options, scenario: &Scenario, environment: &str, conditions: &str) -> Self {
        let head = format!(
            "# {}\n\n{}.\n\n{environment}- conditions: {conditions}\n\n",
            scenario.name, scenario.what
        );
        let file = options
            .tag
            .as_ref()
            .map_or_else(|| scenario.name.into(), |tag| format!("{}-{tag}", scenario.name));
        Self { folder: options.results.clone(), name: scenario.name, file, markdown: head, lines: Vec::new() }
    }

    /// A line of the table or of the text around it.
    pub(crate) fn line(&mut self, text: &str) {
        println!("{text}");
        writeln!(self.markdown, "{text}").expect("a String takes any text");
    }

    pub(crate) fn json(&mut self, line: Value) {
        self.lines.push(line);
    }

    /// The head of a table of pairs.
    pub(crate) fn pairs_head(&mut self) {
        self.line(
            "Each cell: base / other, then base ÷ other with the 95 % interval of the pairs' ratios.\n",
        );
        self.line(
            "| base | other | pairs | server CPU µs/msg | client + server CPU µs/msg | rate /s | p50 µs | p99 µs \
             | enters/msg | notes |",
        );
        self.line("|---|---|---|---|---|---|---|---|---|---|");
    }

    /// A row of a table of pairs.
    pub(crate) fn pairs_row(&mut self, pairs: &Pairs) {
        let figure = |name: &str, digits: usize| cell(pairs.figure(name), digits);
        let row = format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            pairs.comparison.base.name,
            pairs.comparison.other.name,
            pairs.pairs.len(),
            figure("server_cpu_us", 2),
            figure("both_cpu_us", 2),
            figure("rate", 0),
            figure("p50_us", 1),
            figure("p99_us", 1),
            figure("enters_per_message", 3),
            notes(pairs),
        );
        self.line(&row);
        let mut line = json!({
            "scenario": self.name,
            "base": pairs.comparison.base.name,
            "other": pairs.comparison.other.name,
            "pairs": pairs.pairs.len(),
            "disturbed": pairs.disturbed,
            "repeated": pairs.repeated,
            "others_busy": pairs.others_busy(),
            "client_limited": pairs.client_limited(),
        });
        for name in FIGURES {
            if let Some(figure) = pairs.figure(name) {
                line[name] = as_json(figure);
            }
        }
        self.json(line);
    }

    /// Every run of the pairs, for those who want to look closer; not kept in the repository.
    pub(crate) fn raw(&self, pairs: &Pairs) -> io::Result<()> {
        let folder = self.folder.join("raw");
        fs::create_dir_all(&folder)?;
        let names = (pairs.comparison.base.name, pairs.comparison.other.name);
        let mut text = String::new();
        for pair in &pairs.pairs {
            writeln!(text, "{}\n{}", pair.base, pair.other).expect("a String takes any text");
        }
        fs::write(folder.join(format!("{}-{}-{}.jsonl", self.file, names.0, names.1)), text)
    }

    /// Writes `SCENARIO.md` and `SCENARIO.jsonl`, or with the tag in their names.
    pub(crate) fn write(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        fs::write(self.folder.join(format!("{}.md", self.file)), &self.markdown)?;
        let lines: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(self.folder.join(format!("{}.jsonl", self.file)), lines)
    }
}

fn cell(figure: Option<Figure>, digits: usize) -> String {
    figure.map_or_else(
        || String::from("–"),
        |figure| {
            let Figure { base, other, ratio } = figure;
            format!("{base:.digits$} / {other:.digits$}, {}", interval(ratio))
        },
    )
}

/// `1.02 [0.99–1.05]`
fn interval(spread: Spread) -> String {
    format!("**{:.3}** [{:.3}–{:.3}]", spread.median, spread.low, spread.high)
}

fn as_json(figure: Figure) -> Value {
    let Figure { base, other, ratio } = figure;
    json!({ "base": base, "other": other, "ratio": ratio.median, "low": ratio.low, "high": ratio.high })
}

fn notes(pairs: &Pairs) -> String {
    let mut notes = Vec::new();
    let (base, other) = pairs.client_limited();
    if base + other > 0 {
        notes.push(format!("client was the limit {base}× / {other}×"));
    }
    if pairs.disturbed > 0 {
        notes.push(format!("{} pairs disturbed", pairs.disturbed));
    }
    if pairs.others_busy() > OTHERS_WORTH_A_NOTE {
        notes.push(format!("others used {:.0} % of a CPU", pairs.others_busy() * 100.0));
    }
    notes.join("; ")
}
