//! Exchanges with the line servers: some lines at a time, then as many answers.

use super::Orders;
use super::wire::{Trouble, Wire};
use crate::pattern::Pattern;
use crate::random::Random;

/// Lines that come back in upper case.
pub(crate) fn upper(
    wire: &mut Wire,
    orders: &Orders,
    random: &mut Random,
    answered: &mut u64,
) -> Result<(), Trouble> {
    greeting(wire)?;
    for _ in 0..random.within(1..=orders.exchanges_max) {
        let lines: Vec<String> = (0..random.size(1..=16)).map(|_| text(random, 1500) + "\n").collect();
        wire.send(lines.concat().as_bytes())?;
        for line in lines {
            expect(wire, &line.to_uppercase())?;
            *answered += 1;
        }
    }
    wire.finish()?;
    wire.expect_end()
}

/// The grammar of PING, ECHO and QUIT.
pub(crate) fn command(
    wire: &mut Wire,
    orders: &Orders,
    random: &mut Random,
    answered: &mut u64,
) -> Result<(), Trouble> {
    expect(wire, "READY\n")?;
    for _ in 0..random.within(1..=orders.exchanges_max) {
        let pairs: Vec<(String, String)> = (0..random.size(1..=32)).map(|_| request(random)).collect();
        let requests: String = pairs.iter().map(|(request, _)| request.as_str()).collect();
        wire.send(requests.as_bytes())?;
        for (_, answer) in pairs {
            expect(wire, &answer)?;
            *answered += 1;
        }
    }
    wire.send(b"QUIT\n")?;
    expect(wire, "BYE\n")?;
    *answered += 1;
    wire.expect_end()
}

fn request(random: &mut Random) -> (String, String) {
    if random.happens(300) {
        return ("PING\n".into(), "PONG\n".into());
    }
    let text = text(random, 1000);
    (format!("ECHO {text}\n"), format!("OK {text}\n"))
}

/// Letters and digits that say where they belong.
fn text(random: &mut Random, longest: u64) -> String {
    let length = random.size(1..=longest);
    let bytes = Pattern::new(random.next()).bytes(0, length.div_ceil(2));
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(length);
    text
}

/// Whatever it says.
fn greeting(wire: &mut Wire) -> Result<(), Trouble> {
    while wire.receive_exactly(1)? != b"\n" {}
    Ok(())
}

fn expect(wire: &mut Wire, expected: &str) -> Result<(), Trouble> {
    let answer = wire.receive_exactly(expected.len())?;
    if answer == expected.as_bytes() {
        return Ok(());
    }
    Err(Trouble::Lost(format!("{:?} instead of {expected:?}", String::from_utf8_lossy(&answer))))
}
