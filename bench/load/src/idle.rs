//! Idle connections: many are opened, each exchanges one message, all rest; then the server's memory is read,
//! and each must answer once more.

use std::io;
use std::time::Instant;

use bench_common::cpu;
use bench_common::memory::{Memory, memory_of};
use serde_json::{Map, Value, json};

use crate::client::{Client, Options, STALL, TICK};

/// Holds the connections for `options.length`.
pub(crate) fn run(options: &Options) -> io::Result<(bool, Map<String, Value>)> {
    let Some(pid) = options.server_pid else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "idle needs --server-pid"));
    };
    let before = memory_of(pid);
    let mut client = Client::new(options)?;
    client.connect_all(options)?;
    exchange_all(&mut client)?;
    let busy_before = memory_of(pid);
    let cpu_before = cpu::process_cpu(pid)?;
    std::thread::sleep(options.length);
    let held = cpu::process_cpu(pid)? - cpu_before;
    let after = memory_of(pid);
    exchange_all(&mut client)?;

    let mut fields = client.tally.report(None, options.waiting);
    let mut put = |name: &str, value: Value| fields.insert(name.into(), value);
    let per_connection =
        |after: u64, before: u64| (after as f64 - before as f64) * 1024.0 / options.connections as f64;
    put("seconds", json!(options.length.as_secs_f64()));
    put("server_idle_cpu_ms", json!(held.as_secs_f64() * 1e3));
    put("rss_per_connection", json!(per_connection(after.rss_kib, before.rss_kib)));
    put("rollup_rss_per_connection", json!(per_connection(after.rollup_rss_kib, before.rollup_rss_kib)));
    put("anonymous_per_connection", json!(per_connection(after.anonymous_kib, before.anonymous_kib)));
    for (name, memory) in [("before", before), ("connected", busy_before), ("after", after)] {
        put(&format!("memory_{name}"), as_json(memory));
    }
    Ok((client.tally.is_clean(), fields))
}

fn as_json(memory: Memory) -> Value {
    json!({
        "rss_kib": memory.rss_kib,
        "rollup_rss_kib": memory.rollup_rss_kib,
        "pss_kib": memory.pss_kib,
        "anonymous_kib": memory.anonymous_kib,
    })
}

/// One message on each connection, some hundred at a time.
fn exchange_all(client: &mut Client) -> io::Result<()> {
    const PORTION: usize = 256;
    for first in (0..client.len()).step_by(PORTION) {
        let last = client.len().min(first + PORTION);
        let mut pending = last - first;
        for index in first..last {
            client.send_message(index);
        }
        let mut deadline = Instant::now() + STALL;
        while pending > 0 && Instant::now() < deadline {
            for at in 0..client.poll.wait(TICK)? {
                let index = client.poll.token(at);
                if client.exchange_open(index) == 0 {
                    continue;
                }
                let done = client.conn(index).is_none_or(|conn| conn.received == conn.wanted);
                if done {
                    client.tally.messages += 1;
                    pending -= 1;
                }
                deadline = Instant::now() + STALL;
            }
        }
        if pending > 0 {
            client.tally.error(format!("{pending} connections did not answer"));
        }
    }
    Ok(())
}
