//! The command as its users meet it: a process, its exit code, its output and its sockets.
//!
//! What concerns connections runs on every driver the kernel grants; `ANNULET_TEST_DRIVERS=epoll` narrows that down.

mod blocked;
mod client;
mod clocks;
mod command;
mod counters;
mod doctor;
mod drain;
mod drivers;
mod echo;
mod http;
mod lines;
mod listening;
mod logs;
mod memory;
mod process;
mod usage;
