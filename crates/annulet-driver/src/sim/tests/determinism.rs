//! The same seed, the same history.

use super::*;

/// A few connections that talk and end in all ways, as the seed has it.
fn history(seed: u64, plan: Plan) -> (u64, u64) {
    let pair = Pair::with(seed, plan);
    let mut chance = pair.world.chance(Purpose::Workload, 0);
    let listener = pair.listen(at_server(80));
    let mut socks: Vec<Sock> = Vec::new();
    for _ in 0..600 {
        if let Ok(sock) = pair.accept(&listener) {
            socks.push(sock);
        }
        match chance.below(10) {
            0 if pair.world.descriptors_open(pair.client) < 20 => {
                if let Ok(descriptor) = pair.world.socket(pair.client, Domain::V4) {
                    let _ = pair.world.connect(pair.client, descriptor, &at_server(80).into());
                    socks.push(pair.sock(pair.client, descriptor));
                }
            }
            _ if socks.is_empty() => {}
            draw => {
                let index = chance.below(socks.len() as u64) as usize;
                let sock = socks[index].clone();
                match draw {
                    1..4 => _ = sock.send(&pattern(chance.spread(1, 5000) as usize)),
                    4..8 => _ = sock.receive(chance.spread(1, 5000) as usize),
                    8 if chance.hits(200_000) => socks.swap_remove(index).close(),
                    _ => {}
                }
            }
        }
        for _ in 0..chance.below(5) {
            pair.world.run_next();
        }
    }
    socks.iter().for_each(Sock::close);
    pair.run();
    pair.assert_sound();
    (pair.world.log_hash(), pair.world.log_count())
}

#[test]
fn one_seed_has_one_history_and_another_seed_another() {
    let mut hashes = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let once = history(seed, Plan::swarm(seed));
        assert_eq!(once, history(seed, Plan::swarm(seed)), "seed {seed}");
        assert!(once.1 > 500, "seed {seed} has {} entries", once.1);
        hashes.insert(once.0);
    }
    assert_eq!(hashes.len(), 60);
}

/// Held fixed so that a change of the world's behaviour, or a difference between build profiles or machines, is seen.
/// Whoever means to change histories puts the new number here.
#[test]
fn a_history_is_the_same_on_every_machine_and_in_every_profile() {
    let (hash, count) = history(4, Plan::swarm(4));
    assert_eq!((hash, count), (10_091_920_785_212_003_583, 1098));
}

#[test]
fn the_log_says_what_happened() {
    let pair = Pair::new(1);
    let (client, _server) = pair.connected();
    client.send(b"hello").expect("send");
    const MINE: LogKind = LogKind::outside(0x101, "mine");
    pair.world.log(MINE, 1, 2);
    let latest = pair.world.log_latest();
    assert_eq!(latest.len() as u64, pair.world.log_count());
    assert!(latest.iter().any(|entry| entry.kind.name == "send" && entry.b == 5));
    assert!(latest.last().expect("an entry").to_string().ends_with(" mine 1 2"));
}
