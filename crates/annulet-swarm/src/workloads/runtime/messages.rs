//! Messages between reactors: each arrives once, those of one sender in their order.

use annulet::time::sleep;
use annulet::{Handle, Reactor, ReactorId, spawn_local};
use annulet_sim::Sim;

use super::mailbox::Mailbox;
use super::{Life, Live};
use crate::draw::{micros, percent};

/// What goes around.
struct Token {
    number: u64,
    hops_left: u64,
    seed: u64,
    home: Mailbox<u64>,
    _life: Life,
}

pub(super) async fn run(sim: Sim, live: Live, reactors: u32) {
    let tokens = sim.spread(1, 60);
    let home = Mailbox::new();
    for number in 0..tokens {
        let hops_left = sim.spread(1, 100);
        let token =
            Token { number, hops_left, seed: sim.below(u64::MAX), home: home.clone(), _life: live.begin() };
        hop(token, reactors).await;
        if sim.below(4) == 0 {
            sleep(micros(&sim, 1, 100_000)).await;
        }
    }
    let mut seen = vec![false; tokens as usize];
    for _ in 0..tokens {
        let number = home.recv().await as usize;
        assert!(!std::mem::replace(&mut seen[number], true), "token {number} comes home twice");
    }
    drop(home);
    streams(&sim, &live, reactors).await;
    burst(&sim, &live, reactors).await;
}

/// Sends a token on to another reactor, which goes on with it in a task.
async fn hop(mut token: Token, reactors: u32) {
    loop {
        let to = ReactorId((token.seed % u64::from(reactors)) as u32);
        let mailbox = Mailbox::new();
        let inbox = mailbox.clone();
        // A full inbox gives nothing back, so what is sent is only an invitation.
        let invitation = move |_: &Reactor| {
            spawn_local(async move {
                let mut token: Token = inbox.recv().await;
                token.seed = token.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 3;
                if token.hops_left == 0 {
                    token.home.send(token.number);
                    return;
                }
                token.hops_left -= 1;
                Box::pin(hop(token, reactors)).await;
            });
        };
        match Handle::current().run_on(to, invitation) {
            Ok(()) => {
                mailbox.send(token);
                return;
            }
            Err(_) => sleep(std::time::Duration::from_millis(1)).await,
        }
        token.seed = token.seed.wrapping_add(1);
    }
}

/// Many senders on all reactors, one receiver here.
async fn streams(sim: &Sim, live: &Live, reactors: u32) {
    let inbox: Mailbox<(usize, u64)> = Mailbox::new();
    let count = sim.spread(1, 200);
    let pause = sim.spread(1, 3000);
    let mut senders = 0;
    for reactor in 0..reactors {
        let (outbox, life) = (inbox.clone(), live.begin());
        let sender = senders;
        let send = move |_: &Reactor| {
            spawn_local(async move {
                let _life = life;
                for number in 0..count {
                    outbox.send((sender, number));
                    if number % 3 == 0 {
                        sleep(std::time::Duration::from_micros(pause)).await;
                    }
                }
            });
        };
        if Handle::current().run_on(ReactorId(reactor), send).is_ok() {
            senders += 1;
        }
    }
    let mut next = vec![0; senders];
    for _ in 0..senders as u64 * count {
        let (sender, number) = inbox.recv().await;
        assert_eq!(number, next[sender], "the messages of sender {sender}");
        next[sender] += 1;
    }
}

/// More at once than an inbox takes, now and then: what is taken runs, in its order, and what is refused does not.
async fn burst(sim: &Sim, live: &Live, reactors: u32) {
    let to = ReactorId(sim.below(u64::from(reactors)) as u32);
    let count = if percent(sim, 3) { 5_000 } else { sim.spread(1, 100) };
    let ran: Mailbox<u64> = Mailbox::new();
    let mut taken = Vec::new();
    for number in 0..count {
        let (ran, life) = (ran.clone(), live.begin());
        let message = move |_: &Reactor| {
            let _life = life;
            ran.send(number);
            if number % 7 == 3 {
                // It ends nothing but itself.
                std::panic::resume_unwind(Box::new("a message panics"));
            }
        };
        if Handle::current().run_on(to, message).is_ok() {
            taken.push(number);
        }
    }
    for number in taken {
        assert_eq!(ran.recv().await, number, "messages run in their order");
    }
    sleep(micros(sim, 1, 1000)).await;
    assert!(ran.try_recv().is_none(), "a message runs twice, or one that was refused");
}
