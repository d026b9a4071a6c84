//! The messages between supervisor and worker.
//!
//! The transport is a `SOCK_SEQPACKET` pair, one JSON message a packet; listening descriptors ride
//! on the first one (SCM_RIGHTS). The worker ends when its end reports a hang-up: no worker
//! outlives its supervisor.

mod channel;
mod drain;
mod imported;
mod moved;
mod run;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::WorkerConfig;
use crate::routes::Routes;

pub use channel::{Channel, MAX_DESCRIPTORS, Received, SupervisorEnd, WorkerEnd, socket_pair};
pub use drain::Drain;
pub use imported::{Imported, SharedBy, ToImport, Unfit};
pub use moved::{BATCH, HandOver, Lane, LaneEnd, Moved, Peers, RoutedEnd, ServerAddress, Stage};
pub use run::RunConfig;

/// From the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToWorker {
    /// The first message. The listeners are attached to it.
    Start(Box<WorkerConfig>),
    /// The first message to a template: import the application, and serve nothing.
    Preload(Box<WorkerConfig>),
    /// The first message to a template of others' modules: import these.
    Warm(Box<WorkerConfig>, Box<ToImport>),
    /// The first message to the template of isolated calls: import the modules that are named, and fork a
    /// process for each packet from the attached descriptor.
    Isolate(Box<WorkerConfig>),
    /// The first message to a process that serves nothing: run this, and exit.
    Run(Box<RunConfig>),
    /// To a template: fork a worker, whose end of its control socket is attached.
    Fork,
    /// To a template: fork a process for a run. Attached are its end of a control socket, on which
    /// [`ToWorker::Run`] follows once its pid is known, the end of a socket that its pid goes into, its
    /// lifeline and its output.
    ForkRun,
    /// Give freed memory back: it is about to be weighed again.
    GiveBack,
    /// Serve on, and say when little would be lost by a drain: long requests have ended, or this time
    /// is over; then event streams and WebSockets are told to end.
    WindDown(Duration),
    /// Stop accepting, finish what is in flight on these terms, exit 0. With a descriptor attached,
    /// its other end is the successor's, and connections move there.
    Drain(Drain),
    /// Drain as for a successor, into the attached descriptor, if there is nothing to do; else answer
    /// `Busy` and go on.
    Sleep(SleepOrder),
    /// Take over the connections that come through the attached descriptor, whose other end is the
    /// predecessor's.
    Adopt,
    /// On the places that several applications share, these answer from now on.
    Routes(Routes),
    /// Stop now: cut what is in flight, still run lifespan shutdown, exit 0.
    Quit,
    /// Stop now, and do not run lifespan shutdown either.
    Leave,
}

/// How a worker goes to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SleepOrder {
    /// How it drains.
    pub drain: Drain,
    /// The application has not slept before: what ends with the worker is named.
    pub is_first: bool,
}

/// From the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromWorker {
    /// A template has imported its modules.
    Preloaded,
    /// Before that, from a template that several applications share: the modules and packages that it has, without
    /// the parts of packages. They are more than it was told, as these import others.
    Packages(Vec<String>),
    /// A template cannot be made of this.
    Unfit(Unfit),
    /// A template has forked a worker with this pid, or could not.
    Forked(Option<i32>),
    /// Lifespan startup is complete and the worker accepts.
    Ready,
    /// The modules that it has imported by then, if it should report them.
    Imported(Box<Imported>),
    /// It has had nothing to do for the configured time.
    Idle,
    /// It has something to do again, or still.
    Busy,
    /// It has served `--max-requests`, and goes on until the order to drain.
    LimitReached,
    /// The answer to [`ToWorker::WindDown`].
    WoundDown,
    /// Its account, sent before `Drained`.
    Served(Account),
    /// It has stopped accepting and its last request is done; lifespan shutdown follows.
    Drained,
}

/// The work that a worker has done in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Requests that it has answered.
    pub requests: u64,
    /// Open connections that it has given to its successor.
    pub handed_over: u64,
}
