//! The record of a run.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::figures::Megabytes;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It exited with code 0.
    Done,
    /// It exited with another code: the function raised.
    Code(i32),
    /// A signal killed it that the server did not send.
    Signal(i32),
    /// The server ended it.
    Ended(Why),
    /// The server was gone before it ended, and took it along.
    Interrupted,
    /// It could not be started.
    NotStarted,
}

/// Why the server ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It took longer than it may.
    Timeout,
    /// It had so many bytes, which are more than it may have.
    Memory(u64),
    /// Its next time has come, and replaces it.
    Replaced,
    /// An operator has stopped it.
    Stopped,
    /// The server ends.
    Shutdown,
}

/// A run that has ended. Times are in RFC 3339, so that a person can read the files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number, or the task's id.
    pub run: String,
    /// When it was due, if it was by its schedule.
    pub due: Option<Timestamp>,
    /// When it was started.
    pub started: Timestamp,
    /// How long it took, in seconds.
    pub took: f64,
    /// The most private memory that it was seen to have, in bytes.
    pub peak: u64,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
}

impl Outcome {
    /// Whether it did what it should.
    #[must_use]
    pub fn is_done(self) -> bool {
        self == Self::Done
    }

    /// The same in a word, as a label of metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Code(_) => "failed",
            Self::Signal(_) => "killed",
            Self::Ended(Why::Timeout) => "timeout",
            Self::Ended(Why::Memory(_)) => "memory",
            Self::Ended(Why::Replaced) => "replaced",
            Self::Ended(Why::Stopped) => "stopped",
            Self::Ended(Why::Shutdown) => "shutdown",
            Self::Interrupted => "interrupted",
            Self::NotStarted => "not_started",
        }
    }
}

/// `exited with code 1`, as part of a sentence.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Done => f.write_str("done"),
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(number) => match signal_hook::low_level::signal_name(number) {
                Some(name) => write!(f, "was killed by {name}"),
                None => write!(f, "was killed by signal {number}"),
            },
            Self::Ended(why) => write!(f, "was ended: {why}"),
            Self::Interrupted => f.write_str("was interrupted with the server"),
            Self::NotStarted => f.write_str("could not be started"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Timeout => f.write_str("it took longer than its timeout"),
            Self::Memory(bytes) => write!(
                f,
                "it had {} MB of its own, more than its max-memory",
                Megabytes(bytes)
            ),
            Self::Replaced => f.write_str("its next run replaces it"),
            Self::Stopped => f.write_str("an operator stopped it"),
            Self::Shutdown => f.write_str("the server ends"),
        }
    }
}
