//! A server's counters at one moment.

use std::fmt;

use annulet_runtime::Handle;

/// Every counter of a runtime's reactors, drivers and connections, summed over the reactors. Names are those of
/// [`NetCounters`](crate::NetCounters), `ReactorCounters` and `DriverCounters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats(Vec<(&'static str, u64)>);

impl Stats {
    /// The counters of a runtime.
    pub fn of(handle: &Handle) -> Self {
        let mut sums: Vec<(&'static str, u64)> = Vec::new();
        handle.visit_counters(|_, name, value| match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += value,
            None => sums.push((name, value)),
        });
        Self(sums)
    }

    /// A counter's value; `None` when there is none of that name.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// All counters.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().copied()
    }
}

/// One line of JSON: an object of names and numbers.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}\"{name}\":{value}")?;
        }
        f.write_str("}")
    }
}
