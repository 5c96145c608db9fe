//! See `annulet_fuzz::http1::chunked`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| annulet_fuzz::http1::chunked(input));
