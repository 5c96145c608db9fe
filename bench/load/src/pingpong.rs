//! Closed loop: each connection sends a message, awaits its echo or its answers and sends the next. In lockstep, all
//! connections send together and the next round begins when everything is there.

use std::io;
use std::time::Instant;

use serde_json::{Map, Value};

use crate::client::{Client, Options, STALL, TICK};
use crate::window::{Phase, Window};

/// Runs for the window, or until `messages` are answered if that is given (the window is then the whole run).
pub(crate) fn run(
    options: &Options,
    messages: Option<u64>,
    lockstep: bool,
) -> io::Result<(bool, Map<String, Value>)> {
    let mut client = Client::new(options)?;
    client.connect_all(options)?;
    let mut window = Window::new(options.server_pid, options.warm_up, options.length);
    let mut sent_at = vec![Instant::now(); options.connections];
    for index in 0..options.connections {
        client.send_message(index);
    }
    let goal = messages.unwrap_or(u64::MAX);
    let weight = options.message.weight();
    let mut started = options.connections as u64 * weight;
    let mut progress = Instant::now();
    loop {
        let ready = client.poll.wait(TICK)?;
        let mut now = Instant::now();
        let phase = window.phase(now, client.tally.messages, client.poll.idle())?;
        if phase == Phase::Closed || client.tally.messages >= goal {
            break;
        }
        if ready > 0 {
            progress = now;
        } else if now - progress > STALL {
            client.tally.error("no message for 10 s");
            break;
        }
        for at in 0..ready {
            let index = client.poll.token(at);
            if client.exchange_open(index) == 0 {
                continue;
            }
            let Some(conn) = client.conn(index) else { continue };
            if conn.received < conn.wanted {
                continue;
            }
            now = Instant::now();
            client.tally.messages += weight;
            if phase == Phase::Open {
                client.tally.record(now - sent_at[index]);
            }
            sent_at[index] = now;
            if started < goal && !lockstep {
                started += weight;
                client.send_message(index);
            }
        }
        if lockstep && started == client.tally.messages {
            for (index, sent_at) in sent_at.iter_mut().enumerate() {
                *sent_at = Instant::now();
                client.send_message(index);
            }
            started += options.connections as u64 * weight;
        }
    }
    window.close(client.tally.messages, client.poll.idle())?;
    client.finish()?;
    Ok((client.tally.is_clean(), client.tally.report(window.measured(), options.waiting)))
}
