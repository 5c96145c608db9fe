//! The protocols that `annulet serve` speaks, for other programs that run the same code.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod apps;
