//! What every decoder promises, checked against a model: the same framing written the short way, over the whole
//! stream at once.

mod command;
mod length_prefixed;
mod lines;
mod pieces;
