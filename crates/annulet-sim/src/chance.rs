//! What a seed does not decide, and how that is told.

use annulet_driver::sim::Simulation;

use crate::failure::History;

/// Where chance comes from that no seed reaches, and what to do about it.
const SOURCES: &str = "something else than the seed decides. It may be: the real clock (std::time::Instant::now; take \
                       annulet::time::now), a thread (take annulet::spawn_blocking), tokio::select! or futures::select! \
                       without `biased`, an address in memory, a file or socket of the real system, a static that \
                       remembers the run before";

/// Two runs of one seed differ. Tells where they do first, if it is kept.
pub(crate) fn of_two_histories(simulation: &Simulation, former: &History, latter: &History) -> String {
    let Some(at) = former.first_difference(latter) else {
        return format!("two runs of this seed have different histories: {SOURCES}");
    };
    // The former's files and connections are those of the latter so far.
    let tell = |history: &History| match history.entries.get(at) {
        Some(entry) => simulation.tell(std::slice::from_ref(entry)).concat(),
        None => "the end".to_owned(),
    };
    format!(
        "two runs of this seed have different histories, from event {} on: {SOURCES}.\n  the first run: {}\n  the \
         second run: {}",
        at + 1,
        tell(former),
        tell(latter)
    )
}
