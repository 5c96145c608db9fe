//! `annulet serve http`.

mod cases;
mod conformance;
mod demonstration;
mod exchange;
