//! Bulk echo: each connection keeps a window of bytes on its way and checks what comes back. A message is 64 KiB.

use std::io;
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::client::{Client, Options, STALL, TICK};
use crate::window::{Phase, Window};

const BLOCK: u64 = 64 * 1024;

/// Keeps `in_flight` bytes per connection on their way.
pub(crate) fn run(options: &Options, in_flight: u64) -> io::Result<(bool, Map<String, Value>)> {
    let mut client = Client::new(options)?;
    client.connect_all(options)?;
    let mut window = Window::new(options.server_pid, options.warm_up, options.length);
    for index in 0..options.connections {
        client.send_more(index, in_flight);
    }
    let mut bytes = 0u64;
    let mut progress = Instant::now();
    loop {
        let ready = client.poll.wait(TICK)?;
        let now = Instant::now();
        if window.phase(now, bytes / BLOCK, client.poll.idle())? == Phase::Closed {
            break;
        }
        if ready > 0 {
            progress = now;
        } else if now - progress > STALL {
            client.tally.error("no byte for 10 s");
            break;
        }
        for at in 0..ready {
            let index = client.poll.token(at);
            let received = client.exchange_open(index) as u64;
            bytes += received;
            client.send_more(index, received);
        }
    }
    client.tally.messages = bytes / BLOCK;
    window.close(client.tally.messages, client.poll.idle())?;
    client.finish()?;
    let mut fields = client.tally.report(window.measured(), options.waiting);
    if let Some(measured) = window.measured() {
        let mib = (measured.messages * BLOCK) as f64 / f64::from(1 << 20);
        fields.insert("mib_per_s".into(), json!(mib / measured.wall.as_secs_f64()));
    }
    Ok((client.tally.is_clean(), fields))
}
