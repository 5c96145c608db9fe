//! What many connections send in one turn: whole and in order to those that read, whatever becomes of the others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use annulet::driver::select;
use annulet::{Chunk, Connection, DriverChoice, DriverOptions, HandlerResult, Limits, Payload, Server};
use bytes::Bytes;

use crate::support::*;

/// Sends `length` bytes in payloads of every kind, of sizes that look random, most of them alone in their turn, next to those
/// of the other connections.
async fn answer(connection: &mut Connection, seed: u64, length: usize) -> HandlerResult {
    let (mut pattern, mut numbers) = (Pattern::new(seed), Pattern::new(!seed));
    let mut left = length;
    while left > 0 {
        let number = u32::from_le_bytes(numbers.take(4).try_into().expect("four bytes")) as usize;
        let piece = pattern.take((1 + number % 3000).min(left));
        left -= piece.len();
        match number / 3000 % 4 {
            0 => connection.send(piece).await?,
            1 => connection.send(Chunk::from(piece)).await?,
            2 => connection.send(Payload::from(Bytes::from(piece))).await?,
            _ => connection.write_all(&piece).await?,
        }
        if !number.is_multiple_of(5) {
            annulet::yield_now().await;
        }
    }
    Ok(())
}

/// Answers a byte that says which answer is wanted, from a send buffer that is as small as can be.
async fn answer_narrowly(mut connection: Connection, length: usize) -> HandlerResult {
    connection.set_send_buffer_size(1)?;
    let seed = connection.recv().await?.expect("a byte")[0];
    answer(&mut connection, u64::from(seed), length).await
}

/// True when this driver, which `sqes` tell, has a queue for sends.
fn has_queue() -> bool {
    let selection = select(DriverChoice::Uring, &DriverOptions::default());
    let is_proved = |feature: &annulet::driver::Feature| feature.name == "quiet sends" && feature.present;
    counter("sqes") > 0 && selection.is_ok_and(|selection| selection.features().iter().any(is_proved))
}

fn assert_queued() {
    assert_eq!(counter("sends_queued") > 0, has_queue(), "{} sends were queued", counter("sends_queued"));
}

/// Reads from each in turn, a little at a time, so that most are always behind.
fn read_slowly(mut clients: Vec<(u64, TcpStream)>, length: usize) {
    let mut patterns: Vec<_> = clients.iter().map(|(seed, _)| Pattern::new(*seed)).collect();
    let mut bytes = vec![0; 2048];
    while !clients.is_empty() {
        let mut index = 0;
        while index < clients.len() {
            match clients[index].1.read(&mut bytes).expect("read") {
                0 => {
                    assert_eq!(patterns.swap_remove(index).position(), length as u64);
                    clients.swap_remove(index);
                }
                count => {
                    patterns[index].check(&bytes[..count]);
                    index += 1;
                }
            }
        }
    }
}

/// Clients that all ask before the server looks: they are served in the same turns.
fn ask_all(address: std::net::SocketAddr, count: u64) -> Vec<(u64, TcpStream)> {
    let mut clients: Vec<_> = (0..count).map(|seed| (seed, connect_narrow(address, 4096))).collect();
    for (seed, client) in &mut clients {
        client.write_all(&[*seed as u8]).expect("write");
    }
    clients
}

#[test]
fn slow_readers_get_every_byte_in_order_however_much_of_each_send_is_taken() {
    const CONNECTIONS: u64 = 200;
    let length = scaled(40_000, 1_000_000);
    each_driver(|builder| {
        run(builder, async {
            let handler = async move |connection| answer_narrowly(connection, length).await;
            let limits = Limits::default().unsent_max(2000);
            let server = Server::builder()
                .limits(limits)
                .listen("127.0.0.1:0", handler)
                .start()
                .await
                .expect("a server");
            let clients = ask_all(address(&server), CONNECTIONS);
            thread(move || read_slowly(clients, length)).await;
            assert_queued();
            stop(server).await;
            assert_eq!(counter("bytes_sent"), CONNECTIONS * length as u64);
            assert!(counter("writers_waited") > 0, "nobody was slow");
            assert_eq!(counter("connections_undelivered"), 0);
        });
    });
}

#[test]
fn peers_that_reset_what_is_staged_for_them_spare_the_others() {
    const CONNECTIONS: u64 = 120;
    const LENGTH: usize = 30_000;
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |connection| answer_narrowly(connection, LENGTH).await).await;
            let clients = ask_all(address(&server), CONNECTIONS);
            let resets = thread(move || {
                let (leaving, staying): (Vec<_>, Vec<_>) =
                    clients.into_iter().partition(|(seed, _)| seed % 2 == 0);
                let count = leaving.len() as u64;
                for (seed, mut client) in leaving {
                    read_exactly(&mut client, seed as usize);
                    let socket = socket2::Socket::from(client);
                    socket.set_linger(Some(Duration::ZERO)).expect("linger");
                }
                read_slowly(staying, LENGTH);
                count
            })
            .await;
            assert_queued();
            stop(server).await;
            let undelivered = counter("connections_undelivered");
            assert!((1..=resets).contains(&undelivered), "{undelivered} of {resets} had something staged");
        });
    });
}

#[test]
fn connections_dropped_in_the_turn_they_staged_in_send_all_of_it() {
    const CONNECTIONS: u64 = 200;
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                let seed = connection.recv().await?.expect("a byte")[0];
                // Half of them in the turn after: their payload is with the driver by then.
                connection.send(Pattern::new(u64::from(seed)).take(1000)).await?;
                if seed % 2 == 0 {
                    annulet::yield_now().await;
                }
                Ok(())
            })
            .await;
            let clients = ask_all(address(&server), CONNECTIONS);
            thread(move || read_slowly(clients, 1000)).await;
            stop(server).await;
            assert_eq!(counter("connections_undelivered") + counter("resets_sent"), 0);
        });
    });
}
