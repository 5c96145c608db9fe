//! A server and its client in hundreds of simulated worlds, in which networks break: a bug of the server's is found, told
//! and gone.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example simulation
//! ```
//!
//! The server keeps a purse. A client that does not hear that its payment has arrived pays again, under the same number;
//! so the server has to remember the numbers it has seen. The forgetful one does not. Tests without broken connections
//! never find out. In a project this is a test, with `#[annulet::sim_test]`: see `docs/simulation.md`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annulet::proto::lines::Lines;
use annulet::sim::{Check, Sim};
use annulet::time::{sleep, timeout};
use annulet::{Connection, HandlerResult, Server, connect, serving};

fn main() {
    match Check::default().seeds(300).try_run(async |sim| payments(sim, Purse::forgetful()).await) {
        Ok(_) => println!("the forgetful purse is as good as any"),
        Err(failure) => println!("{failure}"),
    }
    let totals = Check::default().seeds(300).run(async |sim| payments(sim, Purse::careful()).await);
    let (seeds, faults, time) = (totals.seeds, totals.faults(), totals.time.as_secs());
    println!(
        "the careful purse: {seeds} seeds, {faults} faults, {time} seconds of simulated time, no failure"
    );
}

/// What is tested: whatever fails, the purse holds what was paid into it.
async fn payments(sim: Sim, purse: Purse) {
    let served = purse.clone();
    let _bank = sim.host("bank").start(async move || {
        // It may find no descriptors, for example: then it tries again, as a supervisor would.
        while serve(served.clone()).await.is_err() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    let mut paid = 0;
    for number in 0..10 {
        let amount = 1 + sim.below(100);
        pay(number, amount).await;
        paid += amount;
    }
    assert_eq!(purse.sum(), paid, "what is in the purse, and what was paid");
}

/// Pays, and again until there is an answer.
async fn pay(number: u64, amount: u64) {
    while !matches!(timeout(Duration::from_secs(5), try_to_pay(number, amount)).await, Ok(Ok(()))) {
        sleep(Duration::from_millis(100)).await;
    }
}

async fn try_to_pay(number: u64, amount: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut lines = connect("bank:7000").await?.framed(Lines::new(64));
    lines.send(format!("{number} {amount}")).await?;
    lines.recv().await?.ok_or("no answer")?;
    Ok(())
}

/// The server: a line for each payment, a line for each answer.
async fn serve(purse: Purse) -> Result<(), annulet::ServeError> {
    let handler = async move |connection: Connection| -> HandlerResult {
        let mut lines = connection.framed(Lines::new(64));
        while let Some(line) = lines.recv().await? {
            let line = String::from_utf8_lossy(&line.bytes).into_owned();
            match line.split_once(' ').map(|(number, amount)| (number.parse(), amount.parse())) {
                Some((Ok(number), Ok(amount))) => lines.send(purse.put(number, amount).to_string()).await?,
                _ => lines.send("NUMBER AMOUNT, please").await?,
            }
        }
        Ok(())
    };
    serving(Server::builder().listen(":7000", handler)).await.map(drop)
}

#[derive(Clone)]
struct Purse {
    contents: Arc<Mutex<Contents>>,
    is_forgetful: bool,
}

#[derive(Default)]
struct Contents {
    sum: u64,
    seen: HashSet<u64>,
}

impl Purse {
    fn careful() -> Self {
        Self { contents: Arc::default(), is_forgetful: false }
    }

    fn forgetful() -> Self {
        Self { is_forgetful: true, ..Self::careful() }
    }

    /// Adds a payment, unless its number was seen before. Returns what is in the purse.
    fn put(&self, number: u64, amount: u64) -> u64 {
        let mut contents = self.contents.lock().expect("not poisoned");
        if contents.seen.insert(number) || self.is_forgetful {
            contents.sum += amount;
        }
        contents.sum
    }

    fn sum(&self) -> u64 {
        self.contents.lock().expect("not poisoned").sum
    }
}
