//! What a seed decides, and what is found out when something else did.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use annulet_sim::Sim;

/// What a program that sleeps for the times in a map, in the map's order, comes to.
fn in_the_order_of_a_map(seed: u64) -> u64 {
    let program = async |sim: Sim| {
        let times: HashMap<u64, u64> = (0..20).map(|key| (key, sim.spread(1, 1000))).collect();
        for millis in times.into_values() {
            annulet::time::sleep(Duration::from_millis(millis)).await;
        }
        let nanos = RandomState::new().hash_one("what a stranger to the seed would not get again") >> 40;
        annulet::time::sleep(Duration::from_nanos(nanos)).await;
    };
    Sim::builder().seed(seed).twice().run(program).hash
}

#[test]
fn the_order_of_a_hash_map_is_the_seeds() {
    assert_eq!(in_the_order_of_a_map(1), in_the_order_of_a_map(1));
    assert_ne!(in_the_order_of_a_map(1), in_the_order_of_a_map(2));
}
