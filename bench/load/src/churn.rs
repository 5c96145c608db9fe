//! Short connections: connect, some exchanges, our end, the server's end, close; then the next.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::client::{Client, Options, STALL, TICK};
use crate::window::{Phase, Window};

/// Loopback addresses the connections come from in turn, so that ports in TIME_WAIT do not run out.
const SOURCES: u64 = 64;

/// How far a connection is.
#[derive(Debug, Clone, Copy)]
struct Life {
    began: Instant,
    exchanges_left: u32,
    ending: bool,
}

/// Runs `options.connections` at a time, each with `exchanges` round trips. A message is a whole connection.
pub(crate) fn run(
    options: &Options,
    exchanges: u32,
    connections_max: Option<u64>,
) -> io::Result<(bool, Map<String, Value>)> {
    let mut client = Client::new(options)?;
    let mut window = Window::new(options.server_pid, options.warm_up, options.length);
    let goal = connections_max.unwrap_or(u64::MAX);
    let fresh = || Life { began: Instant::now(), exchanges_left: exchanges, ending: false };
    let mut lives = vec![fresh(); options.connections];
    let mut opened = 0;
    for index in 0..options.connections {
        open(&mut client, options, index, opened)?;
        opened += 1;
    }
    let mut progress = Instant::now();
    loop {
        let ready = client.poll.wait(TICK)?;
        let now = Instant::now();
        let phase = window.phase(now, client.tally.messages, client.poll.idle())?;
        if phase == Phase::Closed || client.tally.messages >= goal {
            break;
        }
        if ready > 0 {
            progress = now;
        } else if now - progress > STALL {
            client.tally.error("no connection for 10 s");
            break;
        }
        for at in 0..ready {
            let index = client.poll.token(at);
            if !step(&mut client, index, &mut lives[index]) {
                continue;
            }
            if phase == Phase::Open {
                client.tally.record(lives[index].began.elapsed());
            }
            if opened < goal {
                lives[index] = fresh();
                open(&mut client, options, index, opened)?;
                opened += 1;
            }
        }
    }
    window.close(client.tally.messages, client.poll.idle())?;
    let mut fields = client.tally.report(window.measured(), options.waiting);
    fields.insert("exchanges_per_connection".into(), json!(exchanges));
    Ok((client.tally.is_clean(), fields))
}

fn open(client: &mut Client, options: &Options, index: usize, number: u64) -> io::Result<()> {
    let source = match options.server.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => {
            Some(SocketAddr::from((Ipv4Addr::new(127, 0, 1, (number % SOURCES) as u8 + 1), 0)))
        }
        _ => None,
    };
    client.open(index, options.server, source)?;
    client.send_message(index);
    Ok(())
}

/// Takes a connection as far as it goes now; whether it is over.
fn step(client: &mut Client, index: usize, life: &mut Life) -> bool {
    let received = client.exchange(index);
    let Some(conn) = client.conn(index) else {
        return true; // failed, and counted
    };
    if received.ended {
        if conn.received < conn.wanted || !life.ending {
            client.fail(index, "the server closed the connection too early");
            return true;
        }
        client.tally.messages += 1;
        client.close(index);
        return true;
    }
    if conn.received < conn.wanted || life.ending {
        return false;
    }
    life.exchanges_left -= 1;
    if life.exchanges_left > 0 {
        client.send_message(index);
    } else if let Err(error) = conn.shut_down_write() {
        client.fail(index, &format!("shutdown: {error}"));
        return true;
    } else {
        life.ending = true;
    }
    false
}
