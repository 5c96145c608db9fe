//! One connection, and calls on both of its ends as they are drawn.

use std::io::Write;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use annulet_driver::{Completion, Domain, Key, Op, Outcome, Payload, Socket, SocketOption};

use super::{History, assert_same, number, shown};
use crate::bench::DOMAINS;
use crate::case::Kernel;
use crate::environment::{Environment, Peer};
use crate::numbers::Numbers;

const SEEDS: u64 = 20;
const STEPS: usize = 40;
const HOWS: [Shutdown; 3] = [Shutdown::Read, Shutdown::Write, Shutdown::Both];

struct Connection {
    history: History,
    socket: Option<Socket>,
    peer: Option<Box<dyn Peer>>,
    receive: Option<Key>,
    writable: Option<Key>,
}

impl Connection {
    fn lines(environment: Rc<dyn Environment>, moment: Duration, domain: Domain, seed: u64) -> Vec<String> {
        let mut history = History::new(environment, moment);
        let (socket, peer) = history.pair(domain);
        let (socket, peer) = (Some(socket), Some(peer));
        let mut connection = Self { history, socket, peer, receive: None, writable: None };
        let mut numbers = Numbers(seed);
        for _ in 0..STEPS {
            let (draw, length) = (numbers.below(100), 1 + numbers.below(3000));
            let how = HOWS[numbers.below(3)];
            connection.act(draw, length, how);
            connection.settle();
        }
        connection.history.lines
    }

    fn act(&mut self, draw: usize, length: usize, how: Shutdown) {
        match (draw, self.socket) {
            (0..40, _) => self.act_at_the_far_end(draw, length, how),
            (_, Some(socket)) => self.act_at_the_drivers(socket, draw, length, how),
            _ => {}
        }
    }

    fn act_at_the_far_end(&mut self, draw: usize, length: usize, how: Shutdown) {
        let Some(peer) = &mut self.peer else { return };
        match draw {
            0..14 => {
                let result = number(peer.write(&vec![1; length]));
                self.history.note(("peer writes", length, result));
            }
            14..32 => {
                let result = number(peer.try_read(&mut vec![0; 2 * length]));
                self.history.note(("peer reads", 2 * length, result));
            }
            32..35 => {
                let result = number(peer.shutdown(how));
                self.history.note(("peer shuts", how, result));
            }
            35 => {
                self.peer.take().expect("just seen").reset();
                self.history.note("peer resets");
            }
            36 => {
                self.peer = None;
                self.history.note("peer closes");
            }
            _ => {}
        }
    }

    fn act_at_the_drivers(&mut self, socket: Socket, draw: usize, length: usize, how: Shutdown) {
        let history = &mut self.history;
        let driver = &mut history.bench.driver;
        match draw {
            40..52 if self.receive.is_none() => {
                self.receive = Some(history.bench.receive(socket));
                history.note("receive");
            }
            52..58 => {
                if let Some(key) = self.receive {
                    driver.cancel(key);
                    history.note("cancel");
                }
            }
            58..66 if self.receive.is_none() => {
                let result = driver.try_receive(socket).map(|chunk| chunk.map(|chunk| chunk.len()));
                history.note(("try receive", number(result)));
            }
            66..76 => {
                let result = number(driver.try_send(socket, &vec![2; length]));
                history.note(("send", length, result));
            }
            76..84 => {
                let result =
                    number(history.bench.offer(vec![(socket, Payload::from(vec![2; length]))]).remove(0));
                history.note(("offer", length, result));
            }
            84..88 if self.writable.is_none() => {
                self.writable = Some(history.bench.submit(Op::Writable { socket }));
                history.note("writable");
            }
            88..90 => {
                let result = number(driver.sockets().shutdown(socket, how));
                history.note(("shut", how, result));
            }
            90..93 => {
                let result = number(driver.sockets().option(socket, SocketOption::Error(0)));
                history.note(("error", result));
            }
            93..95 => {
                let result = number(driver.sockets().peer_address(socket).map(drop));
                history.note(("address of the peer", result));
            }
            95 => {
                let result = number(driver.sockets().set_option(socket, SocketOption::ResetOnClose(true)));
                history.note(("reset on close", result));
            }
            96 if self.receive.is_none() && self.writable.is_none() => {
                driver.close(socket);
                self.socket = None;
                history.note("close");
            }
            _ => {}
        }
    }

    /// Notes what happened. How bytes are cut is left to the kernel.
    fn settle(&mut self) {
        let mut completions = self.history.bench.take_waiting();
        completions.append(&mut self.history.settle());
        let mut received = 0;
        for Completion { key, outcome, last, .. } in completions {
            match outcome {
                Outcome::Received(chunk) => received += chunk.len(),
                Outcome::Sent => {}
                outcome => {
                    self.note_received(&mut received);
                    self.history.note(shown(outcome));
                }
            }
            for operation in [&mut self.receive, &mut self.writable] {
                operation.take_if(|own| last && *own == key);
            }
        }
        self.note_received(&mut received);
    }

    fn note_received(&mut self, received: &mut usize) {
        match std::mem::take(received) {
            0 => {}
            count => self.history.note(("received", count)),
        }
    }
}

#[test]
fn random_calls_on_a_connection_come_to_the_same() {
    let kernels = [Kernel::Uring, Kernel::Epoll, Kernel::SimulatedUring, Kernel::SimulatedEpoll];
    for seed in 0..SEEDS {
        for domain in DOMAINS {
            assert_same(&format!("seed {seed}, {domain:?}"), &kernels, |environment, moment| {
                Connection::lines(environment, moment, domain, seed)
            });
        }
    }
}
