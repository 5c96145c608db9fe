//! Reactors of one runtime that talk to each other over sockets, accepted and made by hand.

use std::rc::Rc;
use std::time::Duration;

use annulet::net::TcpListener;
use annulet::time::{sleep, timeout};
use annulet::{Connection, Error, Handle, JoinHandle, Reactor, ReactorId, connect, spawn_local};
use annulet_sim::Sim;

use super::mailbox::Mailbox;
use super::{Life, Live};
use crate::draw::{micros, pattern, percent};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) async fn run(sim: Sim, live: Live, reactors: u32) {
    let Ok(listener) = TcpListener::bind("127.0.0.1:7000").await else { return };
    let listener = Rc::new(listener);
    let accepting: Vec<_> = (0..sim.spread(1, 4))
        .map(|_| {
            let (listener, life, pause) = (Rc::clone(&listener), live.begin(), micros(&sim, 1, 100_000));
            let mut impatience = if percent(&sim, 30) { sim.below(50) } else { 0 };
            spawn_local(async move {
                let _life = life;
                loop {
                    let accepted = if impatience > 0 {
                        impatience -= 1;
                        timeout(pause, listener.accept()).await
                    } else {
                        Ok(listener.accept().await)
                    };
                    match accepted {
                        Ok(Ok((stream, _))) => drop(spawn_local(echo(stream.into_connection()))),
                        Ok(Err(_)) => sleep(Duration::from_millis(10)).await,
                        Err(_) => sleep(pause).await,
                    }
                }
            })
        })
        .collect();
    let done = Mailbox::new();
    let mut expected = 0;
    for number in 0..sim.spread(4, 60) {
        let reactor = ReactorId(sim.below(u64::from(reactors)) as u32);
        let (done, life) = (done.clone(), live.begin());
        let client =
            Client { number, rounds: sim.spread(1, 40), length: sim.spread(1, 3000) as usize, _life: life };
        let begin = move |_: &Reactor| {
            spawn_local(async move {
                let _ = timeout(PATIENCE, client.run()).await;
                done.send(());
            });
        };
        expected += u64::from(Handle::current().run_on(reactor, begin).is_ok());
        sleep(micros(&sim, 1, 20_000)).await;
    }
    for _ in 0..expected {
        done.recv().await;
    }
    accepting.iter().for_each(JoinHandle::abort);
}

async fn echo(mut connection: Connection) -> Result<(), Error> {
    while let Some(chunk) = connection.recv().await? {
        connection.send(chunk).await?;
    }
    Ok(())
}

struct Client {
    number: u64,
    rounds: u64,
    length: usize,
    _life: Life,
}

impl Client {
    async fn run(self) -> std::io::Result<()> {
        let mut connection = connect("127.0.0.1:7000").await?;
        for round in 0..self.rounds {
            let sent = pattern(self.number << 16 | round, self.length);
            connection.write_all(&sent).await?;
            let mut received = vec![0; sent.len()];
            connection.read_exact(&mut received).await?;
            assert!(received == sent, "another answer in round {round}");
        }
        Ok(())
    }
}
