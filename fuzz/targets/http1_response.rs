//! See `annulet_fuzz::http1::response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| annulet_fuzz::http1::response(input));
