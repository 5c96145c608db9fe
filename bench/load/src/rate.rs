//! Open loop: messages leave when a Poisson process says so, whether or not earlier ones have come back. Latency counts
//! from the intended moment, so a stalled server is charged for every message that had to wait (no coordinated
//! omission).

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::client::{Client, Options, TICK};
use crate::pattern::Random;
use crate::window::{Phase, Window};

/// Runs `rate` messages per second, spread at random over all connections.
pub(crate) fn run(options: &Options, size: u64, rate: f64) -> io::Result<(bool, Map<String, Value>)> {
    let mut client = Client::new(options)?;
    client.connect_all(options)?;
    let mut window = Window::new(options.server_pid, options.warm_up, options.length);
    let mut random = Random::new(1);
    // Per connection: the intended moments of the messages on their way, oldest first.
    let mut intended = vec![VecDeque::<Instant>::new(); options.connections];
    let mut next = Instant::now();
    let mut late_most = Duration::ZERO;
    loop {
        let mut now = Instant::now();
        if window.phase(now, client.tally.messages, client.poll.idle())? == Phase::Closed {
            break;
        }
        while next <= now {
            late_most = late_most.max(now - next);
            let index = (random.next() % options.connections as u64) as usize;
            intended[index].push_back(next);
            client.send_more(index, size);
            next += Duration::from_secs_f64(random.exponential(1.0 / rate));
            now = Instant::now();
        }
        let ready = client.poll.wait(TICK.min(next - now).min(window.remaining(now)))?;
        let now = Instant::now();
        let phase = window.phase(now, client.tally.messages, client.poll.idle())?;
        for at in 0..ready {
            let index = client.poll.token(at);
            client.exchange_open(index);
            receive(&mut client, index, size, &mut intended[index], phase);
        }
    }
    window.close(client.tally.messages, client.poll.idle())?;
    client.finish()?;
    let mut fields = client.tally.report(window.measured(), options.waiting);
    fields.insert("intended_rate".into(), json!(rate));
    fields.insert("client_late_max_us".into(), json!(late_most.as_secs_f64() * 1e6));
    Ok((client.tally.is_clean(), fields))
}

/// Counts the messages of a connection whose last byte has arrived.
fn receive(client: &mut Client, index: usize, size: u64, intended: &mut VecDeque<Instant>, phase: Phase) {
    let Some(conn) = client.conn(index) else { return };
    let outstanding = (conn.wanted - conn.received).div_ceil(size) as usize;
    let now = Instant::now();
    while intended.len() > outstanding {
        let Some(moment) = intended.pop_front() else { return };
        client.tally.messages += 1;
        if phase == Phase::Open {
            client.tally.record(now - moment);
        }
    }
}
