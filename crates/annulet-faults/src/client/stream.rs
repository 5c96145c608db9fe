//! Exchanges with an echo server.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use super::Orders;
use super::wire::{PATIENCE, Trouble, Wire, broken};
use crate::pattern::Pattern;
use crate::random::Random;

/// Sends a piece, reads it back, and so on; then both sides end.
pub(crate) fn back_and_forth(
    wire: &mut Wire,
    orders: &Orders,
    random: &mut Random,
    answered: &mut u64,
) -> Result<(), Trouble> {
    let pattern = Pattern::new(random.next());
    let mut offset = 0;
    for _ in 0..random.within(1..=orders.exchanges_max) {
        // More would not fit into what a server holds of one connection while nobody reads.
        let length = random.size(1..=orders.bytes_max.min(48 * 1024));
        wire.send(&pattern.bytes(offset, length))?;
        pattern.check(offset, &wire.receive_exactly(length)?).map_err(Trouble::Lost)?;
        offset += length as u64;
        *answered += 1;
    }
    wire.finish()?;
    wire.expect_end()
}

/// Sends everything and ends, and reads everything at the same time.
pub(crate) fn full_duplex(
    wire: &mut Wire,
    orders: &Orders,
    random: &mut Random,
    answered: &mut u64,
) -> Result<(), Trouble> {
    let pattern = Pattern::new(random.next());
    let length = random.size(1..=orders.bytes_max * 4);
    let sender = wire.sender()?;
    thread::scope(|scope| {
        let sending = scope.spawn(move || send_all(sender, &pattern.bytes(0, length)));
        let received = receive_all(wire, pattern, length);
        if received.is_err() {
            // The other thread may wait for a peer that takes nothing more.
            let _ = wire.sender().map(|stream| stream.shutdown(Shutdown::Both));
        }
        let (sent, end) = sending.join().expect("sending does not panic");
        wire.count_sent(sent);
        // Whoever gave up first says why.
        received.and(end)
    })?;
    *answered += 1;
    Ok(())
}

fn receive_all(wire: &mut Wire, pattern: Pattern, length: usize) -> Result<(), Trouble> {
    let mut offset = 0;
    let mut buffer = vec![0; 32 * 1024];
    while offset < length {
        match wire.receive(&mut buffer)? {
            0 => return Err(Trouble::CutShort(format!("an orderly end after {offset} of {length} bytes"))),
            count => {
                pattern.check(offset as u64, &buffer[..count]).map_err(Trouble::Lost)?;
                offset += count;
            }
        }
    }
    wire.expect_end()
}

fn send_all(mut stream: TcpStream, bytes: &[u8]) -> (u64, Result<(), Trouble>) {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return (
                    sent as u64,
                    Err(Trouble::Hang(format!("nothing was taken for {PATIENCE:?} after {sent}"))),
                );
            }
            Err(error) => return (sent as u64, Err(broken(&error))),
        }
    }
    (sent as u64, stream.shutdown(Shutdown::Write).map_err(|error| broken(&error)))
}
