//! How a failure is run again.

use crate::panics;

/// A command that runs the test that called again, with one seed alone where it would run several. Cargo and the test
/// harness say what test that is. What is no test is started as it was.
pub(crate) fn command(test: Option<&str>, seed: Option<u64>) -> String {
    let seed = seed.map_or_else(String::new, |seed| format!("ANNULET_SEED={seed} "));
    let thread = std::thread::current();
    // The harness calls a test's thread by the test's name, unless it runs one test at a time.
    let by_thread = thread.name().filter(|name| *name != "main" && !name.starts_with(panics::THREAD));
    match (std::env::var("CARGO_PKG_NAME"), test.or(by_thread)) {
        (Ok(package), Some(test)) => format!("{seed}cargo test -p {package} {test} -- --exact"),
        (Ok(package), None) if is_test() => format!("{seed}cargo test -p {package}"),
        _ => format!("{seed}{}", std::env::args().collect::<Vec<_>>().join(" ")),
    }
}

/// Cargo keeps programs that are tests apart.
fn is_test() -> bool {
    std::env::current_exe()
        .is_ok_and(|program| program.parent().is_some_and(|folder| folder.ends_with("deps")))
}
