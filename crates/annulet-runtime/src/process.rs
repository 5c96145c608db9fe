//! State that layers above keep once per process.
//!
//! It is reached through a runtime, for a runtime that is [stepped](crate::Stepped) stands for a process of its own, on a host
//! of its own perhaps.

use std::any::{Any, TypeId};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

type Shared = Arc<dyn Any + Send + Sync>;

/// One value of each type. Looked up when servers start and reactors first serve: a list is enough.
#[derive(Default)]
pub(crate) struct Process(Mutex<Vec<(TypeId, Shared)>>);

static THIS: LazyLock<Arc<Process>> = LazyLock::new(Arc::default);

impl Process {
    /// This one.
    pub(crate) fn this() -> Arc<Self> {
        THIS.clone()
    }

    /// The value of type `T`, made at first use.
    pub(crate) fn shared<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let found = find(&self.lock());
        found.unwrap_or_else(|| {
            // Foreign code, so without the lock: another thread may be faster.
            let made = Arc::new(T::default());
            let mut values = self.lock();
            find(&values).unwrap_or_else(|| {
                values.push((TypeId::of::<T>(), made.clone()));
                made
            })
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(TypeId, Shared)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find<T: Send + Sync + 'static>(values: &[(TypeId, Shared)]) -> Option<Arc<T>> {
    let (_, value) = values.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
    Some(value.clone().downcast().expect("found by its type"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Visits(AtomicU32);

    #[test]
    fn a_process_has_one_value_of_a_type_and_shares_none_with_another() {
        let (one, other) = (Process::default(), Process::default());
        for expected in 0..3 {
            assert_eq!(one.shared::<Visits>().0.fetch_add(1, Ordering::Relaxed), expected);
        }
        assert_eq!(one.shared::<AtomicU32>().load(Ordering::Relaxed), 0, "another type");
        assert_eq!(other.shared::<Visits>().0.load(Ordering::Relaxed), 0, "another process");
    }

    #[test]
    fn a_value_may_ask_for_others_while_it_is_made() {
        struct Nested(Arc<Visits>);
        static PROCESS: LazyLock<Process> = LazyLock::new(Process::default);
        impl Default for Nested {
            fn default() -> Self {
                Self(PROCESS.shared())
            }
        }
        assert!(Arc::ptr_eq(&PROCESS.shared::<Nested>().0, &PROCESS.shared::<Visits>()));
    }
}
