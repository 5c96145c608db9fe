//! Receive buffers.

use std::io::Write;

use annulet_driver::{Chunk, Completion, DriverOptions, Outcome, Wait};

use crate::case::{on_each_kernel, pattern};
use crate::environment::PATIENCE;

on_each_kernel! {
    /// 8 buffers, 100 connections that send 3 × 4 KiB each, and nobody returns a lease: the share of the pool that is
    /// never leased serves them all.
    fn kept_leases_starve_nobody(case) {
        const CONNECTIONS: usize = 100;
        const LENGTH: usize = 3 * 4096;
        let mut bench = case.open_with(DriverOptions::default().buffers(8).buffers_max(8));
        let (listener, address) = bench.listen();
        let accept = bench.accept(listener);
        let mut peers = Vec::new();
        let mut receives = Vec::new();
        for _ in 0..CONNECTIONS {
            peers.push(case.connect(address));
            let socket = bench.next_socket(accept);
            receives.push(bench.receive(socket));
        }
        for peer in &mut peers {
            peer.write_all(&pattern(LENGTH)).expect("write");
        }

        let mut kept: Vec<Vec<Chunk>> = (0..CONNECTIONS).map(|_| Vec::new()).collect();
        let deadline = bench.driver.clock() + PATIENCE;
        let mut completions: Vec<Completion> = Vec::new();
        let length = |chunks: &Vec<Chunk>| chunks.iter().map(|chunk| chunk.len()).sum::<usize>();
        while kept.iter().any(|chunks| length(chunks) < LENGTH) {
            assert!(bench.driver.clock() < deadline, "{:?}", kept.iter().map(length).collect::<Vec<_>>());
            bench.driver.turn(Wait::Until(Some(deadline)), &mut completions).expect("turn");
            for completion in completions.drain(..) {
                let index = receives.iter().position(|key| *key == completion.key);
                match (index, completion.outcome) {
                    (Some(index), Outcome::Received(chunk)) => kept[index].push(chunk),
                    (index, outcome) => panic!("{outcome:?} for {index:?}"),
                }
            }
        }
        for chunks in &kept {
            let bytes: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect();
            assert!(bytes == pattern(LENGTH));
        }
        let usage = bench.driver.pool().usage();
        assert_eq!(usage.leased, 6, "{usage:?}: all but the reserve");
        assert!(bench.driver.counters().pressure_copies.get() > 0);
        drop(kept);
        assert_eq!(bench.driver.pool().usage().leased, 0);
    }

    fn a_pool_grows_while_leases_are_kept_and_only_then(case) {
        let mut bench = case.open_with(DriverOptions::default().buffers(8).buffers_max(64).buffer_size(512));
        let (socket, mut peer) = bench.tcp_pair();
        let receive = bench.receive(socket);
        for _ in 0..100 {
            peer.write_all(b"x").expect("write");
            bench.next_bytes(receive, 1);
        }
        assert_eq!(bench.driver.counters().pool_growths.get(), 0);
        let mut kept = Vec::new();
        for _ in 0..40 {
            peer.write_all(b"x").expect("write");
            kept.push(bench.next_chunk(receive));
        }
        assert!(kept.iter().all(|chunk| chunk.is_lease()));
        assert_eq!(bench.driver.pool().usage().total, 64);
    }

    fn a_chunk_outlives_its_driver(case) {
        let chunk = {
            let mut bench = case.open();
            let (socket, mut peer) = bench.tcp_pair();
            let receive = bench.receive(socket);
            peer.write_all(b"still here").expect("write");
            bench.next_chunk(receive)
        };
        assert!(!chunk.is_empty() && b"still here".starts_with(&chunk));
    }

    fn an_idle_connection_pins_no_lease(case) {
        let mut bench = case.open();
        let before = bench.driver.pool().usage().total;
        let pairs: Vec<_> = (0..50).map(|_| bench.tcp_pair()).collect();
        let receives: Vec<_> = pairs.iter().map(|(socket, _)| bench.receive(*socket)).collect();
        bench.assert_quiet(receives[0]);
        let usage = bench.driver.pool().usage();
        assert_eq!((usage.leased, usage.total), (0, before));
    }
}
