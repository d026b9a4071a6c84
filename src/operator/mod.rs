//! How an operator's commands speak to a running server: the operator socket.
//!
//! A Unix socket of the supervisor. The caller sends one JSON line, a [`Request`], and receives one
//! JSON object, a [`Reply`]; then the connection is closed. [`place`] says where the socket is,
//! [`find`] which servers run, and [`client`] asks one. `supervisor/operator.rs` has the other end.
//!
//! Knows neither Python nor the server.

pub mod client;
pub mod find;
pub mod place;
mod status;
mod work;

use serde::{Deserialize, Serialize};

use crate::jobs::Record;
use crate::jobs::report::Overview;

pub use place::OperatorSocket;
pub use status::{
    ApplicationStatus, BudgetStatus, Served, Serving, Stage, Status, VERSION, WorkerStatus,
};
pub use work::{CacheStatus, JobStatus, LastRun, QueueStatus};

/// The longest request line.
pub const MOST_REQUEST: usize = 64 * 1024;

/// A request to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// How it is.
    Status,
    /// Replace every worker with a fresh one, as SIGHUP does.
    Recycle,
    /// End the workers, and keep the connections, until a client sends something.
    Sleep,
    /// Start the workers of one that sleeps.
    Wake,
    /// Add workers, or with a negative number remove them, as SIGTTIN and SIGTTOU do.
    Workers(i16),
    /// About its jobs.
    Jobs(JobsRequest),
    /// For one application of several.
    Application(String, Order),
}

/// A request to a server about its jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobsRequest {
    /// Which there are, and how they are.
    Overview,
    /// The last runs of one.
    History(String),
    /// Run one now.
    Run(String),
    /// End the run of one, or a task by its id.
    Stop(String),
    /// Put a task that was given up into the queue again.
    Retry(String),
}

/// An order to one of several applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Replace its workers with fresh ones.
    Reload,
    /// Stop it; its places answer 503.
    Stop,
    /// Start it again.
    Start,
    /// End its workers, and keep the connections, until a client sends something.
    Sleep,
    /// Start the workers of one that sleeps.
    Wake,
}

impl Order {
    /// The order that a word of the command line names.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Some(match word {
            "reload" => Self::Reload,
            "stop" => Self::Stop,
            "start" => Self::Start,
            "sleep" => Self::Sleep,
            "wake" => Self::Wake,
            _ => return None,
        })
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It does what it was asked; the text is for the operator.
    Done(String),
    /// It does not; the text says why.
    Refused(String),
    /// The answer to [`Request::Status`].
    Status(Box<Status>),
    /// The answer to [`JobsRequest::Overview`].
    Jobs(Box<Overview>),
    /// The answer to [`JobsRequest::History`], the latest last.
    Runs(Vec<Record>),
    /// The run that [`JobsRequest::Run`] has started, or that will follow the present one.
    Started(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_short_lines_that_a_person_can_type() {
        let written = |request: &Request| serde_json::to_string(request).unwrap();
        assert_eq!(written(&Request::Status), r#""status""#);
        assert_eq!(written(&Request::Workers(-1)), r#"{"workers":-1}"#);
        let stop = Request::Application("shop".to_owned(), Order::Stop);
        for request in [Request::Status, Request::Recycle, Request::Workers(2), stop] {
            let read: Request = serde_json::from_str(&written(&request)).unwrap();
            assert_eq!(read, request);
        }
    }
}
