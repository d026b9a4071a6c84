//! The status of a running server over HTTP: `--status-bind`.
//!
//! The server is hyper, on a thread of its own with a Tokio runtime of its own: another implementation
//! than the one that serves the application, so that a fault of that does not affect its probes. It
//! never talks to a worker. Its data are on the [`board`], to which the supervisor publishes
//! after each of its turns, and in the workers' pages of counters ([`crate::counters`]), which can be
//! read while a worker hangs. The only thing that it waits for is the supervisor's loop: `/livez`
//! has it turn once.
//!
//! Without `--status-bind` there is no thread, no board and no page.

mod accept_queue;
mod answers;
pub mod board;
mod events;
mod exposition;
mod history;
mod metrics;
pub mod orders;
mod processes;
mod report;
mod rest;
mod serve;
pub mod served;
mod view;

pub use accept_queue::Watched;
pub use board::{Board, Published, Queue, Tally};
pub use orders::{Order, Orders};
pub use processes::{Clock, Process};
pub use serve::{Bind, Running, Settings, start};
