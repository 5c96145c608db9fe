//! What a diagnosis wants to know of the kernel.

use crate::choice::{DriverChoice, StepDown, select, select_rung};
use crate::options::DriverOptions;
use crate::sys;
use crate::uring::{self, Feature, Rung, UringDriver};

/// Everything about the drivers of this machine and process, for people to read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// What [`DriverChoice::Auto`] gives, as [`Selection::summary`](crate::Selection::summary) says it.
    pub summary: String,
    /// The set-up chosen; none for epoll.
    pub rung: Option<Rung>,
    /// What was refused before it.
    pub steps: Vec<StepDown>,
    /// Every set-up, and why it would be refused, if it would.
    pub rungs: Vec<(Rung, Option<String>)>,
    /// What the self-test found beyond what is required.
    pub features: Vec<Feature>,
    /// Opcodes the kernel says it has; empty without io_uring.
    pub opcodes: Vec<Feature>,
    /// The queues of a ring opened for this thread with these options, or why none could be; none for epoll.
    pub ring: Option<Result<RingSizes, String>>,
}

/// Sizes of one ring, as the kernel granted them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RingSizes {
    /// Entries of the submission queue.
    pub submission_entries: u32,
    /// Entries of the completion queue.
    pub completion_entries: u32,
    /// Buffers the buffer ring has room for.
    pub buffers: u32,
}

/// Looks at everything anew: takes some milliseconds, and opens and closes a few rings.
pub fn probe(options: &DriverOptions) -> Report {
    let selection = select(DriverChoice::Auto, options).expect("automatic choice takes epoll at worst");
    let refusal = |rung| match select_rung(rung, options) {
        Ok(_) => None,
        Err(error) => error.steps().last().map(|step| step.reason.clone()),
    };
    Report {
        kernel: sys::kernel_release(),
        summary: selection.summary(),
        rung: selection.rung(),
        steps: selection.steps().to_vec(),
        rungs: Rung::ALL.into_iter().map(|rung| (rung, refusal(rung))).collect(),
        features: selection.features(),
        opcodes: selection.rung().map_or_else(Vec::new, uring::examine),
        ring: selection.setup().map(|setup| {
            let driver = UringDriver::new(setup, options).map_err(|error| error.to_string())?;
            let (submission_entries, completion_entries, buffers) = driver.sizes();
            Ok(RingSizes { submission_entries, completion_entries, buffers })
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_agrees_with_the_choice_it_describes() {
        let options = DriverOptions::default();
        let report = probe(&options);
        let selection = select(DriverChoice::Auto, &options).expect("a driver");
        assert_eq!(report.summary, selection.summary());
        assert_eq!(report.rung, selection.rung());
        assert!(
            report.kernel.chars().next().is_some_and(|first| first.is_ascii_digit()),
            "{}",
            report.kernel
        );
        let holding = report.rungs.iter().find(|(_, refusal)| refusal.is_none()).map(|(rung, _)| *rung);
        assert_eq!(holding, report.rung);
        if let Some(Ok(sizes)) = report.ring {
            assert_eq!((sizes.submission_entries, sizes.completion_entries), (256, 4096));
            assert!(report.opcodes.iter().any(|opcode| opcode.name == "RECV" && opcode.present));
        }
    }
}
