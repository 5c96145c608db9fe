//! What blocks, and names: a host's jobs run between steps, when the scheduler comes to them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use annulet_runtime::{Outside, Refused};

/// A piece of work.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Addresses of all hosts by their names.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<BTreeMap<String, Vec<IpAddr>>>);

impl Names {
    pub(crate) fn add(&self, name: &str, addresses: Vec<IpAddr>) {
        lock(&self.0).insert(name.to_owned(), addresses);
    }
}

/// One host's.
pub(crate) struct Jobs {
    names: Arc<Names>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    given: VecDeque<Job>,
    is_closed: bool,
    /// The resolver does not answer at present.
    is_lost: bool,
}

impl Jobs {
    pub(crate) fn new(names: Arc<Names>) -> Self {
        Self { names, state: Mutex::default() }
    }

    /// Takes the jobs given since the last call.
    pub(crate) fn take(&self) -> VecDeque<Job> {
        std::mem::take(&mut lock(&self.state).given)
    }

    /// Whether names are resolved.
    pub(crate) fn set_lost(&self, is_lost: bool) {
        lock(&self.state).is_lost = is_lost;
    }
}

impl Outside for Jobs {
    fn run_blocking(&self, job: Job) -> Result<(), Refused> {
        let mut state = lock(&self.state);
        if state.is_closed {
            return Err(Refused);
        }
        state.given.push_back(job);
        Ok(())
    }

    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if lock(&self.state).is_lost {
            return Err(io::Error::other("the name servers do not answer"));
        }
        match lock(&self.names.0).get(host) {
            Some(addresses) => Ok(addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()),
            None => Err(io::Error::new(io::ErrorKind::NotFound, format!("no host is called {host}"))),
        }
    }

    fn close(&self) {
        let given = {
            let mut state = lock(&self.state);
            state.is_closed = true;
            std::mem::take(&mut state.given)
        };
        drop(given);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
