//! The input and the output of the policy.

use std::time::Instant;

/// An application, for as long as it is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::supervisor) struct Key(pub u32);

/// Where an application is between asleep and awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Stage {
    /// It has no worker.
    Down,
    /// Its worker starts.
    Rising,
    Up,
    /// Its workers end.
    Falling,
}

/// An application as it is seen.
#[derive(Debug, Clone, Copy)]
pub(in crate::supervisor) struct Seen {
    pub key: Key,
    pub stage: Stage,
    /// The memory that its processes had written to when they were last weighed.
    pub private: u64,
    /// When its newest worker became ready.
    pub ready: Option<Instant>,
    pub last_use: Option<Instant>,
    /// A request or a WebSocket is open.
    pub is_open: bool,
    /// It should be awake, as its settings have it.
    pub stays: bool,
    /// Its workers are there, and none of them is being replaced.
    pub is_quiet: bool,
    /// A client waits for it since then, and until then.
    pub asks: Option<Asks>,
}

/// A client that waits for an application that sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) struct Asks {
    pub since: Instant,
    pub until: Instant,
}

/// The weight of all processes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) struct Measured {
    pub used: u64,
    /// The kernel says that memory is short.
    pub is_pressed: bool,
}

/// An action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Action {
    /// Put it to sleep.
    Sleep(Key),
    Wake(Key),
    /// Its clients are answered with 503: they have waited for long enough.
    Refuse(Key),
    /// Have it give freed memory back.
    GiveBack(Key),
    /// Replace its workers, which have grown by this much.
    Replace(Key, u64),
    Say(Notice),
}

/// A line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Notice {
    /// The budget is exceeded, and nothing can be done about it.
    Held,
    /// It is kept again.
    Kept,
}
