//! Command lines: `--name value`, `--flag` and bare words, nothing more.

use std::fmt::Display;
use std::str::FromStr;

/// The arguments not yet asked for.
#[derive(Debug, Clone)]
pub struct Args {
    rest: Vec<String>,
}

impl Args {
    /// The arguments of this process, without its name.
    pub fn from_env() -> Self {
        Self { rest: std::env::args().skip(1).collect() }
    }

    /// Takes `--name value`; `None` if the option is absent. Exits with code 2 if the value is bad.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Option<T>
    where
        T::Err: Display,
    {
        let at = self.rest.iter().position(|arg| arg == name)?;
        if at + 1 == self.rest.len() {
            usage(&format!("{name} needs a value"));
        }
        let text = self.rest.remove(at + 1);
        self.rest.remove(at);
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => usage(&format!("{name} {text}: {error}")),
        }
    }

    /// Takes `--name value` or the default.
    pub fn value_or<T: FromStr>(&mut self, name: &str, default: T) -> T
    where
        T::Err: Display,
    {
        self.value(name).unwrap_or(default)
    }

    /// Takes `--name`; whether it was there.
    pub fn flag(&mut self, name: &str) -> bool {
        let at = self.rest.iter().position(|arg| arg == name);
        at.map(|at| self.rest.remove(at)).is_some()
    }

    /// Takes the first bare word, if the next argument is one.
    pub fn word(&mut self) -> Option<String> {
        let is_word = self.rest.first().is_some_and(|arg| !arg.starts_with("--"));
        is_word.then(|| self.rest.remove(0))
    }

    /// Exits with code 2 if anything is left that nobody asked for.
    pub fn finish(self) {
        if let Some(arg) = self.rest.first() {
            usage(&format!("unknown argument {arg}"));
        }
    }
}

/// Reports a wrong command line and exits with code 2.
pub fn usage(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(2)
}
