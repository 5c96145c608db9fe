//! Work that takes long, or blocks, belongs on a thread of its own: a reactor serves many connections.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example spawn_blocking
//! printf '30000000\n' | nc -N 127.0.0.1 7000
//! ```

use annulet::proto::lines::Lines;
use annulet::{Connection, HandlerResult, spawn_blocking};

fn main() -> Result<(), annulet::ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    println!("send a number to {address}: how many primes are below it?");
    annulet::serve(&address, primes)
}

async fn primes(connection: Connection) -> HandlerResult {
    let mut lines = connection.framed(Lines::default());
    while let Some(line) = lines.recv().await? {
        let Ok(Ok(limit)) = std::str::from_utf8(&line.bytes).map(|text| text.trim().parse::<u32>()) else {
            lines.send("That is no number.").await?;
            continue;
        };
        // Up to 64 threads work and 1024 jobs wait; beyond that the answer is an error at once, not a longer queue.
        match spawn_blocking(move || primes_below(limit.min(100_000_000))).await {
            Ok(count) => lines.send(count.to_string()).await?,
            Err(error) if error.is_refused() => lines.send("Too busy, try again later.").await?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The sieve of Eratosthenes.
fn primes_below(limit: u32) -> usize {
    let limit = limit as usize;
    let mut is_prime = vec![true; limit];
    for number in (2..).take_while(|number| number * number < limit) {
        if is_prime[number] {
            (number * number..limit).step_by(number).for_each(|multiple| is_prime[multiple] = false);
        }
    }
    is_prime.into_iter().skip(2).filter(|is_prime| *is_prime).count()
}
