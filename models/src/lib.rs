//! The pool of threads for WSGI applications, with loom in place of the standard library's locks. Its
//! models are in `models.rs` beside it: `cargo test` runs each through every order of its threads.
#![allow(dead_code, reason = "the models use a part of it")]

#[path = "../../crates/http/src/threads/mod.rs"]
pub mod threads;
