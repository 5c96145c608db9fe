//! The shortest description of a failure: the fewest faults that it takes.

use annulet_driver::sim::Plan;

use crate::builder::Builder;
use crate::failure::Failure;
use crate::sim::Sim;

/// Steps of reactors that looking may take. A failure that takes long is told as it was found.
const STEPS_MAX: u64 = 20_000_000;

/// A failure like `failure`, with as few kinds of faults as will do, and the fewest strikes of these.
pub(crate) fn shrink<F>(builder: &Builder, failure: Box<Failure>, program: &F) -> Box<Failure>
where
    F: AsyncFn(Sim) + Clone + Send + 'static,
{
    let mut search = Search { builder, program, failure, steps: 0 };
    let kinds: Vec<_> = search.failure.faults.on().collect();
    for fault in kinds {
        let fewer = search.failure.faults.clone().without(fault);
        search.fails_with(fewer);
    }
    if search.failure.strikes > 0 {
        search.end_early();
        search.begin_late();
    }
    search.failure
}

struct Search<'a, F> {
    builder: &'a Builder,
    program: &'a F,
    /// The shortest so far.
    failure: Box<Failure>,
    steps: u64,
}

impl<F> Search<'_, F>
where
    F: AsyncFn(Sim) + Clone + Send + 'static,
{
    /// Whether the failure is the same with this plan; then it is the shortest so far.
    fn fails_with(&mut self, plan: Plan) -> bool {
        if self.steps > STEPS_MAX {
            return false;
        }
        let builder = self.builder.clone().faults(plan);
        match builder.run_once(self.program.clone(), None) {
            Ok((report, _)) => {
                self.steps += report.steps;
                false
            }
            Err(failure) => {
                self.steps += failure.steps;
                let is_same = failure.gist() == self.failure.gist();
                if is_same {
                    self.failure = failure;
                }
                is_same
            }
        }
    }

    /// The least number of strikes after which the rest can be left out.
    fn end_early(&mut self) {
        let (mut too_few, mut enough) = (None, self.failure.strikes);
        while too_few.map_or(0, |few: u64| few + 1) < enough {
            let low = too_few.map_or(0, |few| few + 1);
            let middle = low + (enough - low) / 2;
            let plan = self.failure.faults.clone().in_all_at_most(middle);
            if self.fails_with(plan) { enough = middle } else { too_few = Some(middle) }
        }
        if enough == self.failure.strikes {
            self.fails_with(self.failure.faults.clone().in_all_at_most(enough));
        }
    }

    /// The greatest number of strikes that can be left out before.
    fn begin_late(&mut self) {
        let all = self.failure.strikes;
        let plan = self.failure.faults.clone();
        let (mut few, mut too_many) = (0, all);
        while few + 1 < too_many {
            let middle = few + (too_many - few) / 2;
            let later = plan.clone().sparing(middle).in_all_at_most(all - middle);
            if self.fails_with(later) { few = middle } else { too_many = middle }
        }
    }
}
