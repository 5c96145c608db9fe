//! Everything the doctor found, in the form of its JSON output.

use annulet::driver::{self, DriverChoice, DriverOptions, Feature, StepDown};
use serde::Serialize;

use super::advice;
use super::self_test::SelfTest;
use super::system::System;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The version of this program.
    pub(super) annulet: &'static str,
    pub(super) kernel: String,
    pub(super) architecture: &'static str,
    pub(super) driver: Driver,
    #[serde(flatten)]
    pub(super) system: System,
    /// What to change, a sentence each.
    pub(super) advice: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) self_test: Option<Vec<SelfTest>>,
}

/// The driver a server would get, and what there is beside it.
#[derive(Debug, Serialize)]
pub(super) struct Driver {
    /// `auto`, `uring` or `epoll`.
    pub(super) asked: &'static str,
    /// `io_uring` or `epoll`; none when the one asked for cannot be had.
    pub(super) kind: Option<String>,
    /// The choice and its reason.
    pub(super) summary: String,
    /// The io_uring set-up.
    pub(super) rung: Option<&'static str>,
    /// What was refused before that, in order.
    pub(super) refused: Vec<Refusal>,
    /// Every io_uring set-up, best first.
    pub(super) rungs: Vec<RungReport>,
    pub(super) features: Vec<FeatureReport>,
    pub(super) opcodes: Vec<FeatureReport>,
    /// The queues of a ring with default options.
    pub(super) ring: Option<Ring>,
    /// Why no such ring could be opened.
    pub(super) ring_error: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    pub(super) tried: String,
    pub(super) reason: String,
}

#[derive(Debug, Serialize)]
pub(super) struct RungReport {
    pub(super) name: &'static str,
    /// Why it cannot be had; none when it can.
    pub(super) refused: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct FeatureReport {
    pub(super) name: &'static str,
    pub(super) present: bool,
    /// The kernel it came with.
    pub(super) since: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Ring {
    pub(super) submission_entries: u32,
    pub(super) completion_entries: u32,
    pub(super) buffers: u32,
}

impl Report {
    pub(super) fn gather(asked: DriverChoice) -> Self {
        let probed = driver::probe(&DriverOptions::default());
        let system = System::gather();
        let driver = Driver::gather(asked, &probed);
        let advice = advice::give(&probed, &system);
        Self {
            annulet: env!("CARGO_PKG_VERSION"),
            kernel: probed.kernel,
            architecture: std::env::consts::ARCH,
            driver,
            system,
            advice,
            self_test: None,
        }
    }

    pub(super) fn is_failure(&self) -> bool {
        self.driver.kind.is_none() || self.self_test.iter().flatten().any(SelfTest::is_failure)
    }
}

impl Driver {
    fn gather(asked: DriverChoice, probed: &driver::Report) -> Self {
        let chosen = driver::select(asked, &DriverOptions::default());
        let steps = match &chosen {
            Ok(selection) => selection.steps(),
            Err(error) => error.steps(),
        };
        let (ring, ring_error) = match &probed.ring {
            Some(Ok(sizes)) => (Some(Ring::from(*sizes)), None),
            Some(Err(error)) => (None, Some(error.clone())),
            None => (None, None),
        };
        Self {
            asked: match asked {
                DriverChoice::Auto => "auto",
                DriverChoice::Uring => "uring",
                DriverChoice::Epoll => "epoll",
            },
            refused: steps.iter().map(Refusal::from).collect(),
            kind: chosen.as_ref().ok().map(|selection| selection.kind().to_string()),
            rung: chosen.as_ref().ok().and_then(|selection| selection.rung()).map(driver::Rung::name),
            summary: chosen.map_or_else(|error| error.to_string(), |selection| selection.summary()),
            rungs: probed
                .rungs
                .iter()
                .map(|(rung, refused)| RungReport { name: rung.name(), refused: refused.clone() })
                .collect(),
            features: probed.features.iter().map(FeatureReport::from).collect(),
            opcodes: probed.opcodes.iter().map(FeatureReport::from).collect(),
            ring,
            ring_error,
        }
    }
}

impl From<&StepDown> for Refusal {
    fn from(step: &StepDown) -> Self {
        Self { tried: step.tried.clone(), reason: step.reason.clone() }
    }
}

impl From<&Feature> for FeatureReport {
    fn from(feature: &Feature) -> Self {
        Self { name: feature.name, present: feature.present, since: feature.since }
    }
}

impl From<driver::RingSizes> for Ring {
    fn from(sizes: driver::RingSizes) -> Self {
        Self {
            submission_entries: sizes.submission_entries,
            completion_entries: sizes.completion_entries,
            buffers: sizes.buffers,
        }
    }
}
