//! What the pool is told and what it says: its settings, events, actions and notices.

use std::time::Duration;

use crate::exit::Exit;
use crate::sys::process::Ending;

/// A worker, from the decision to have it until it is reaped. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerId(pub(super) u32);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The server begins, or time has passed: `next_deadline` was reached.
    Tick,
    /// A worker's lifespan startup is complete.
    Ready(WorkerId),
    /// A worker's process has ended.
    Ended(WorkerId, Ending),
    /// A worker's process could not be started.
    NotStarted(WorkerId),
    /// Stop gracefully; the second time, at once.
    Stop,
    /// Stop at once.
    StopNow,
    /// Replace every worker with a fresh one.
    Recycle,
    /// One worker more.
    Grow,
    /// One worker less, but not the last one.
    Shrink,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start this worker's process.
    Spawn(WorkerId),
    /// Send `Drain`.
    Drain(WorkerId),
    /// Send `Quit`.
    Quit(WorkerId),
    /// End the process.
    Kill(WorkerId),
    /// Log it.
    Say(Notice),
    /// No worker is left: end with this code.
    Exit(Exit),
}

/// What an operator should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The first worker is ready.
    Running,
    /// The first worker ended without having been ready; the server stops.
    NeverReady(WorkerId, Ending),
    /// A worker ended; another is started after this time.
    Died(WorkerId, Ending, Duration),
    /// So many died in a row that the server stops.
    CrashLoop(WorkerId, Ending, u32),
    /// A successor failed; the old worker goes on.
    SuccessorFailed(WorkerId, Ending),
    /// It was not ready in time and is killed.
    TooSlow(WorkerId),
    /// It did not stop in time and is killed.
    Stuck(WorkerId),
    /// Everything is to stop at once, and this one is killed because it is not ready yet.
    Deaf(WorkerId),
    /// A ready worker begins to drain because its successor has taken over.
    Replaced(WorkerId),
}

/// What the policy is told once.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many workers serve.
    pub workers: usize,
    /// How long one may take to become ready.
    pub startup: Option<Duration>,
    /// How long a drain may take.
    pub grace: Duration,
}
