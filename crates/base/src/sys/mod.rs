//! The operating system where Rust's types end: descriptors known only by number, fork and exec,
//! the dynamic linker. One of the two rooms in which `unsafe` is allowed.
#![allow(unsafe_code)]

pub mod clock;
pub mod companion;
pub mod descriptor;
pub mod fork;
mod groups;
pub mod inventory;
pub mod library;
pub mod limits;
pub mod listen_queue;
pub mod memory;
pub mod notify;
pub mod process;
pub mod same_pages;
pub mod session;
pub mod shared_page;
pub mod startup;
pub mod stop_signals;
pub mod title;
pub mod turns;
pub mod user;
pub mod want;
pub mod watch;
pub mod weight;
