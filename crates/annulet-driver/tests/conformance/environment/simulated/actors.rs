//! Whoever acts beside the driver does so step by step, each step an event of the world.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use annulet_driver::sim::{Happened, OUTSIDE, Outside};

use super::super::{Actor, PATIENCE};
use super::Machine;

/// What passes between two steps of an actor.
const STEP: Duration = Duration::from_micros(50);

/// What an actor does in one step; what it read when it is done.
type Step = Box<dyn FnMut() -> Option<Vec<u8>>>;

/// Those who are not done, by number.
#[derive(Default)]
pub(super) struct Actors {
    steps: RefCell<BTreeMap<u64, Step>>,
    started: Cell<u64>,
}

impl Actors {
    /// Ends all of them where they are.
    pub(super) fn forget(&self) {
        drop(self.steps.take());
    }
}

impl Machine {
    /// Has `step` done again and again until it is done.
    pub(super) fn start(
        self: &Rc<Self>,
        delay: Duration,
        mut step: impl FnMut() -> Option<Vec<u8>> + 'static,
    ) -> Actor {
        let number = self.actors.started.replace(self.actors.started.get() + 1);
        let result = Rc::new(RefCell::new(None));
        let to = Rc::clone(&result);
        let step = move || {
            let bytes = step()?;
            to.replace(Some(bytes));
            Some(Vec::new())
        };
        self.actors.steps.borrow_mut().insert(number, Box::new(step));
        self.schedule(delay, number);
        let machine = Rc::clone(self);
        Actor::new(move || {
            let deadline = machine.world().now() + PATIENCE;
            loop {
                if let Some(bytes) = result.take() {
                    return bytes;
                }
                assert!(machine.is_due(deadline), "an act does not end");
                machine.go_on();
            }
        })
    }

    fn schedule(&self, delay: Duration, number: u64) {
        let event = Outside { kind: OUTSIDE, a: number, b: 0 };
        self.world().schedule(self.world().now() + delay, event);
    }

    /// Sees to what is none of the kernel's business.
    pub(super) fn see_to(&self, happened: Happened) {
        match happened {
            Happened::Nothing => {}
            Happened::Outside(Outside { kind: OUTSIDE, a: number, .. }) => self.act(number),
            other => panic!("{other:?} is for nobody"),
        }
    }

    fn act(&self, number: u64) {
        // Taken out, so that a step may start another actor.
        let Some(mut step) = self.actors.steps.borrow_mut().remove(&number) else { return };
        if step().is_none() {
            self.actors.steps.borrow_mut().insert(number, step);
            self.schedule(STEP, number);
        }
        self.simulation.collect();
    }
}
