//! What must hold whatever bytes arrive: each function takes bytes and panics when something does not hold.
//!
//! A target under `targets/` hands them to the fuzzer, and the tests of `annulet-proto` and `annulet-http` hand them the files under `corpus/`,
//! one folder for each target. A file's name says what it is for; one that the fuzzer found says what was wrong.
#![forbid(unsafe_code)]

pub mod http1;
pub mod http1_connection;
