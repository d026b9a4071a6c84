//! The pool's inputs and outputs: its settings, events, actions and notices.

use std::time::Duration;

use crate::config::Recycle;
use crate::control::{Account, Drain};
use crate::exit::Exit;
use crate::sys::process::Ending;

/// A worker, from the decision to have it until it is reaped. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerId(pub(super) u64);

impl WorkerId {
    /// Whether it is the first of its pool.
    #[must_use]
    pub fn is_first(self) -> bool {
        // The upper half tells the pools of a process apart.
        self.0 & u64::from(u32::MAX) == 0
    }
}

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The server begins, or time has passed: `next_deadline` was reached.
    Tick,
    /// A worker's lifespan startup is complete.
    Ready(WorkerId),
    /// A worker has served as many requests as it was asked to.
    LimitReached(WorkerId),
    /// A worker has wound down, as it was asked to.
    WoundDown(WorkerId),
    /// A worker serves no more, and this is what it has done.
    Served(WorkerId, Account),
    /// The answer to [`Action::Weigh`].
    Weighed(WorkerId, Weighing),
    /// A worker's process has ended.
    Ended(WorkerId, Ending),
    /// A worker's process could not be started.
    NotStarted(WorkerId),
    /// Stop gracefully. A second one changes nothing: a process that forwards signals may do so twice.
    Stop,
    /// The same, by a person: the second time, at once.
    Interrupt,
    /// Stop at once.
    StopNow,
    /// A worker has stalled, and should be replaced.
    Stalled(WorkerId),
    /// Replace every worker with a fresh one.
    Recycle,
    /// The same, for this reason.
    Renew(Reason),
    /// The application's source has changed.
    Changed,
    /// One worker more.
    Grow,
    /// One worker less, but not the last one.
    Shrink,
    /// A worker has had nothing to do for the time after which it may sleep.
    Idle(WorkerId),
    /// A worker that was idle has something to do again.
    Busy(WorkerId),
    /// The application is needed, or something is held for it.
    Wake(Cause),
    /// The application should sleep, whether it has been idle for long or not.
    Sleep,
    /// Whether these are hours in which the application should be awake.
    Hours(bool),
}

/// The cause of a wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The first byte on a new connection.
    Request,
    /// A byte on a connection that was kept.
    KeptConnection,
    /// `--awake`.
    Hours,
    /// An operator.
    Operator,
}

/// An action that the caller should take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start this worker's process.
    Spawn(WorkerId),
    /// Send `WindDown`.
    WindDown(WorkerId, Duration),
    /// Send `Drain`.
    Drain(WorkerId, Drain),
    /// Send `Drain`, with a way for its connections to another worker; `None` is whichever becomes
    /// ready next.
    HandOver(WorkerId, Option<WorkerId>, Drain),
    /// Send `Quit`.
    Quit(WorkerId),
    /// Send `Leave`.
    Leave(WorkerId),
    /// End the process.
    Kill(WorkerId),
    /// Send `Sleep`: the supervisor takes its connections.
    Sleep(WorkerId, Drain),
    /// Give everything that the supervisor holds to this worker, and accept nothing any more.
    Deliver(WorkerId),
    /// Accept in the place of workers, and keep what comes.
    Keep,
    /// Answer every client that waits with 503; it may come back after this time.
    Refuse(Duration),
    /// End the template, if there is one.
    DropTemplate,
    /// Send `GiveBack`.
    GiveBack(WorkerId),
    /// See how much memory it has.
    Weigh(WorkerId),
    /// Log it.
    Say(Notice),
    /// No worker is left: end with this code.
    Exit(Exit),
}

/// A notice to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The first worker is ready.
    Running,
    /// The first worker ended without having been ready; the server stops.
    NeverReady(WorkerId, Ending),
    /// A worker ended; another is started after this time.
    Died(WorkerId, Ending, Duration),
    /// A worker with the order to stop failed meanwhile.
    DiedStopping(WorkerId, Ending),
    /// The number of starts that failed in a row, after which the server stops.
    CannotStart(WorkerId, Ending, u32),
    /// A successor failed; the old worker goes on, and it is tried again after this time.
    SuccessorFailed(WorkerId, Ending, Duration),
    /// A worker ended that cannot do better before the source changes.
    AwaitsChange(WorkerId, Ending),
    /// The changed source is served, after this time.
    Reloaded(Duration),
    /// It is not ready after this time.
    StillStarting(WorkerId, Duration),
    /// It was not ready after this time and is killed.
    TooSlow(WorkerId, Duration),
    /// It did not stop in time and is killed.
    Stuck(WorkerId),
    /// The server stops at once, and this worker is killed because it is not ready yet.
    Deaf(WorkerId),
    /// One worker has followed another.
    Recycled(Recycled),
    /// A worker with so much memory is replaced sequentially, because only so much is free.
    NoRoom(WorkerId, u64, u64),
    /// A fresh worker has more memory than `--max-rss` allows.
    HeavyFromTheStart(WorkerId, u64),
    /// The application has no worker yet: it begins asleep.
    BeginsAsleep,
    /// The application sleeps.
    Asleep(Asleep),
    /// It is awake again: the worker, how long it took, and why.
    Awake(WorkerId, Duration, Cause),
    /// It could not be woken, and is not tried again before this time is over.
    WakeFailed(WorkerId, Ending, Duration),
    /// Its worker is still not ready after this time, and clients do not wait longer.
    WakesLate(Duration),
}

/// The figures when the last worker has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asleep {
    /// How long the application had been awake.
    pub age: Duration,
    /// Connections that are kept.
    pub kept: u64,
    /// The workers' own memory, in bytes, where it could be read.
    pub given_back: u64,
}

/// Why a healthy worker is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `--ttl`.
    Ttl,
    /// `--max-requests`.
    MaxRequests,
    /// `--max-rss`.
    MaxRss,
    /// SIGHUP.
    Signal,
    /// The source has changed.
    Change,
    /// It is stalled.
    Stall,
    /// There is a template that it is not from.
    Template,
    /// Its settings have changed.
    Settings,
    /// Its operator wants it.
    Order,
    /// `--memory-budget`.
    Budget,
}

/// A swap that is done. Memory is in bytes, where it could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recycled {
    /// The worker that is gone.
    pub old: WorkerId,
    /// Its successor, unless that has died meanwhile.
    pub new: Option<WorkerId>,
    /// Why.
    pub reason: Reason,
    /// How long the old one had been ready.
    pub age: Duration,
    /// The old one's account, if it has sent it.
    pub account: Option<Account>,
    /// The old one's own memory when the swap began.
    pub before: Option<u64>,
    /// The new one's when it was ready.
    pub after: Option<u64>,
    /// From the decision to the end: of the old one in overlap, else of the new one's start.
    pub took: Duration,
}

/// The result of a weighing, in bytes; `None` where it cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weighing {
    /// The memory that this worker has written to and does not share.
    pub own: Option<u64>,
    /// The free memory, on the machine or in the control group.
    pub room: Option<u64>,
}

/// The settings of the policy.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many workers serve.
    pub workers: usize,
    /// How long one may take to become ready, if that was asked for.
    pub startup: Option<Duration>,
    /// How long a stop may take.
    pub grace: Duration,
    /// How long workers serve on after SIGTERM.
    pub drain_delay: Duration,
    /// When and how healthy workers are replaced.
    pub recycle: Recycle,
    /// Whether [`Event::Changed`] will tell when a worker that could not start may succeed.
    pub follows_changes: bool,
    /// How long clients wait for a worker when the application wakes.
    pub wake_timeout: Duration,
    /// No worker is started before the application is used.
    pub begins_asleep: bool,
    /// How long the template outlives the last worker, if it should not do so for ever.
    pub keep_template: Option<Duration>,
    /// Another number for each pool, so that no two of them have workers of the same number.
    pub serial: u32,
    /// Any number; it decides how times to live are shortened.
    pub seed: u64,
}
