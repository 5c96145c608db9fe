//! Which kernel interface this process gets, and why.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::driver::Driver;
use crate::epoll::EpollDriver;
use crate::options::DriverOptions;
use crate::uring::{self, Feature, Rung, Setup, UringDriver};

/// Which driver the user asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DriverChoice {
    /// io_uring where it works, else epoll.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// epoll.
    Epoll,
}

/// A word that names no driver.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown driver '{}': expected auto, uring or epoll", .0.escape_debug())]
pub struct ParseDriverError(String);

/// `auto`, `uring` (or `io_uring`), `epoll`.
impl FromStr for DriverChoice {
    type Err = ParseDriverError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "auto" => Ok(Self::Auto),
            "uring" | "io_uring" => Ok(Self::Uring),
            "epoll" => Ok(Self::Epoll),
            _ => Err(ParseDriverError(word.to_owned())),
        }
    }
}

/// Which implementation a driver is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DriverKind {
    /// io_uring.
    Uring,
    /// epoll.
    Epoll,
    /// A test's script.
    Scripted,
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
            Self::Scripted => "scripted",
        })
    }
}

/// A step of the ladder that was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepDown {
    /// What was tried, such as `SINGLE_ISSUER|DEFER_TASKRUN`.
    pub tried: String,
    /// Why it is not used, such as `io_uring_setup: EPERM, blocked by seccomp or kernel.io_uring_disabled`.
    pub reason: String,
}

/// A driver chosen for this process: made once, then opened on each reactor's thread.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The io_uring set-up, or none for epoll.
    setup: Option<Setup>,
    /// There was no choice.
    given: Option<DriverKind>,
    /// Whether epoll will do where io_uring, though it works, cannot be opened for one more reactor.
    may_fall_back: bool,
    steps: Vec<StepDown>,
    options: DriverOptions,
}

/// No driver of the kind asked for can be had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenError {
    steps: Vec<StepDown>,
}

impl OpenError {
    /// What was tried and why it was refused, in order.
    pub fn steps(&self) -> &[StepDown] {
        &self.steps
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("io_uring cannot be used")?;
        for StepDown { tried, reason } in &self.steps {
            write!(f, "; {tried}: {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for OpenError {}

/// Chooses a driver: tries io_uring from its best set-up downwards, proves by a short self-test (well under a
/// millisecond) that it behaves, and falls back to epoll.
///
/// # Errors
/// When io_uring was demanded and cannot be had.
pub fn select(choice: DriverChoice, options: &DriverOptions) -> Result<Selection, OpenError> {
    match choice {
        DriverChoice::Auto => Ok(descend(&Rung::ALL, true, options)),
        DriverChoice::Uring => demand(&Rung::ALL, options),
        DriverChoice::Epoll => Ok(descend(&[], false, options)),
    }
}

/// Chooses io_uring with this set-up and no other, for tests and diagnosis.
///
/// # Errors
/// When it cannot be had.
pub fn select_rung(rung: Rung, options: &DriverOptions) -> Result<Selection, OpenError> {
    demand(&[rung], options)
}

fn demand(rungs: &[Rung], options: &DriverOptions) -> Result<Selection, OpenError> {
    let selection = descend(rungs, false, options);
    match selection.setup {
        Some(_) => Ok(selection),
        None => Err(OpenError { steps: selection.steps }),
    }
}

fn descend(rungs: &[Rung], may_fall_back: bool, options: &DriverOptions) -> Selection {
    let (setup, steps) = uring::climb(rungs);
    Selection { setup, given: None, may_fall_back, steps, options: options.clone() }
}

impl Selection {
    /// No choice, but drivers of this kind that somebody opened already.
    pub fn given(kind: DriverKind) -> Self {
        let options = DriverOptions::default();
        Self { setup: None, given: Some(kind), may_fall_back: false, steps: Vec::new(), options }
    }

    /// Which implementation was chosen.
    pub fn kind(&self) -> DriverKind {
        match (self.given, self.setup) {
            (Some(given), _) => given,
            (None, Some(_)) => DriverKind::Uring,
            (None, None) => DriverKind::Epoll,
        }
    }

    /// How rings are set up; none for epoll.
    pub fn rung(&self) -> Option<Rung> {
        self.setup.map(|setup| setup.rung)
    }

    /// What the self-test found beyond what is required; empty for epoll.
    pub fn features(&self) -> Vec<Feature> {
        self.setup.map_or_else(Vec::new, |setup| setup.traits.features().to_vec())
    }

    /// What was refused before this, and why.
    pub fn steps(&self) -> &[StepDown] {
        &self.steps
    }

    /// The choice and its reason in a line for the log: `io_uring (SINGLE_ISSUER|DEFER_TASKRUN, receive cap)`, or
    /// `epoll: io_uring_setup: EPERM, blocked by seccomp`, or `epoll` when it was asked for.
    pub fn summary(&self) -> String {
        match (&self.setup, self.steps.last()) {
            (Some(Setup { rung, traits }), _) if traits.receive_cap => {
                format!("io_uring ({rung}, receive cap)")
            }
            (Some(Setup { rung, .. }), _) => format!("io_uring ({rung})"),
            (None, Some(step)) => format!("epoll: {}", step.reason),
            (None, None) => self.kind().to_string(),
        }
    }

    /// Opens a driver of the chosen kind for the calling thread.
    ///
    /// Rings count towards the limit on locked memory (`ulimit -l`, from 6.14 for every user together): where that is
    /// short, smaller ones are tried, and then, unless io_uring was demanded, epoll. Both are logged as warnings.
    ///
    /// # Errors
    /// The kernel's: descriptors or locked memory ran out. `Unsupported` when drivers were [given](Self::given).
    pub fn open(&self) -> io::Result<Box<dyn Driver>> {
        if self.given.is_some() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if let Some(setup) = self.setup {
            match UringDriver::new(setup, &self.options) {
                Ok(driver) => return Ok(Box::new(driver)),
                Err(error) if self.may_fall_back => {
                    tracing::warn!(%error, "io_uring cannot be opened for this reactor, which gets epoll instead");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Box::new(EpollDriver::new(&self.options)?))
    }

    pub(crate) fn setup(&self) -> Option<Setup> {
        self.setup
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(setup: Option<Setup>, steps: &[(&str, &str)]) -> Selection {
        let step =
            |(tried, reason): &(&str, &str)| StepDown { tried: (*tried).into(), reason: (*reason).into() };
        let steps = steps.iter().map(step).collect();
        Selection { setup, given: None, may_fall_back: true, steps, options: DriverOptions::default() }
    }

    #[test]
    fn every_name_of_a_driver_is_understood_and_nothing_else() {
        for (word, choice) in [
            ("auto", DriverChoice::Auto),
            ("uring", DriverChoice::Uring),
            ("io_uring", DriverChoice::Uring),
            ("epoll", DriverChoice::Epoll),
        ] {
            assert_eq!(word.parse(), Ok(choice));
        }
        let error = "kqueue\n".parse::<DriverChoice>().expect_err("no driver");
        assert_eq!(error.to_string(), "unknown driver 'kqueue\\n': expected auto, uring or epoll");
    }

    #[test]
    fn a_summary_gives_the_choice_and_the_last_reason() {
        let traits = uring::Traits { receive_cap: true, ..uring::Traits::default() };
        let setup = Setup { rung: Rung::DeferredIndexed, traits };
        let refused = [("a", "io_uring_setup: EINVAL, not known to this kernel"), ("b", "self-test: no")];
        assert_eq!(
            chosen(Some(setup), &refused).summary(),
            "io_uring (SINGLE_ISSUER|DEFER_TASKRUN, receive cap)"
        );
        assert_eq!(chosen(None, &refused).summary(), "epoll: self-test: no");
        assert_eq!(chosen(None, &[]).summary(), "epoll");
    }

    #[test]
    fn an_error_tells_every_step() {
        let steps = chosen(None, &[("a", "b"), ("c", "d")]).steps;
        assert_eq!(OpenError { steps }.to_string(), "io_uring cannot be used; a: b; c: d");
    }

    #[test]
    fn drivers_that_were_given_are_named_and_not_opened_again() {
        let selection = Selection::given(DriverKind::Scripted);
        assert_eq!((selection.kind(), selection.rung()), (DriverKind::Scripted, None));
        assert_eq!(selection.summary(), "scripted");
        assert_eq!(selection.open().err().expect("refused").kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn epoll_is_never_refused() {
        let selection = select(DriverChoice::Epoll, &DriverOptions::default()).expect("epoll");
        assert_eq!((selection.kind(), selection.rung()), (DriverKind::Epoll, None));
        assert!(selection.features().is_empty() && selection.steps().is_empty());
        assert_eq!(selection.open().expect("a driver").kind(), DriverKind::Epoll);
    }
}
