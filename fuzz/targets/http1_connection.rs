//! See `annulet_fuzz::http1_connection::connection`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| annulet_fuzz::http1_connection::connection(input));
