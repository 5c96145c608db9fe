//! What no test thought of: the same calls on every kernel, and what each of them came to. Of two that differ, the one of
//! this machine is right.

mod calls;
mod random;

use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use annulet_driver::{Completion, Domain, DriverOptions, Outcome, Socket, SocketOption, Wait};

use crate::bench::Bench;
use crate::case::Kernel;
use crate::environment::{Environment, Peer};

/// How long nothing has to happen for all to have happened. A difference that goes away with more time is none.
const MOMENTS: [Duration; 3] =
    [Duration::from_micros(300), Duration::from_millis(5), Duration::from_millis(50)];

/// What was done and what it came to, line by line.
struct History {
    bench: Bench,
    moment: Duration,
    lines: Vec<String>,
}

impl History {
    fn new(environment: Rc<dyn Environment>, moment: Duration) -> Self {
        Self { bench: Bench::new(environment, &DriverOptions::default()), moment, lines: Vec::new() }
    }

    fn note(&mut self, what: impl Debug) {
        self.lines.push(format!("{what:?}"));
    }

    /// Turns until nothing happens any more; what was completed.
    fn settle(&mut self) -> Vec<Completion> {
        let mut completions = Vec::new();
        let mut quiet = 0;
        while quiet < 2 {
            let before = completions.len();
            let deadline = self.bench.driver.clock() + self.moment;
            self.bench.driver.turn(Wait::Until(Some(deadline)), &mut completions).expect("turn");
            quiet = if completions.len() == before { quiet + 1 } else { 0 };
        }
        completions
    }

    /// A connection on which nothing waits for an acknowledgement that is held back.
    fn pair(&mut self, domain: Domain) -> (Socket, Box<dyn Peer>) {
        let (socket, peer) = self.bench.pair(domain);
        if domain != Domain::Unix {
            self.bench.driver.sockets().set_option(socket, SocketOption::NoDelay(true)).expect("option");
        }
        (socket, peer)
    }
}

/// Asserts that something has the same history on all of these kernels that there are.
fn assert_same(
    what: &str,
    kernels: &[Kernel],
    history: impl Fn(Rc<dyn Environment>, Duration) -> Vec<String>,
) {
    let mut difference = None;
    for moment in MOMENTS {
        let environments = kernels.iter().flat_map(|kernel| kernel.environments().unwrap_or_default());
        let mut histories =
            environments.map(|environment| (environment.to_string(), history(environment, moment)));
        let (_, expected) = histories.next().expect("the simulated one at least");
        difference = histories.find_map(|(name, lines)| first_difference(&name, &lines, &expected));
        if difference.is_none() {
            return;
        }
    }
    panic!("{what}: {}", difference.expect("just seen"));
}

fn first_difference(name: &str, lines: &[String], expected: &[String]) -> Option<String> {
    let at = (0..lines.len().max(expected.len())).find(|at| lines.get(*at) != expected.get(*at))?;
    let before = expected[..at].join("\n");
    Some(format!("{before}\non {name}: {:?}\ninstead of: {:?}", lines.get(at), expected.get(at)))
}

/// A result by the kernel's number.
fn number<T>(result: io::Result<T>) -> Result<T, i32> {
    result.map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => libc::EAGAIN,
        ErrorKind::InvalidInput => libc::EINVAL,
        _ => error.raw_os_error().expect("an errno"),
    })
}

fn shown(outcome: Outcome) -> String {
    match outcome {
        Outcome::Accepted(_) => "accepted".to_owned(),
        Outcome::Received(chunk) => format!("received {}", chunk.len()),
        Outcome::Failed(error) => format!("failed {:?}", error.raw_os_error()),
        other => format!("{other:?}"),
    }
}
