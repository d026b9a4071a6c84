//! One worker's state.

use std::time::{Duration, Instant};

use super::{Reason, WorkerId};
use crate::control::Account;
use crate::supervisor::restart::Restart;

/// The time after which an unfinished start is logged; then after three times as long, and so on.
/// Most applications start within a second, and the heaviest within several.
const SLOW_START: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
pub(super) struct Worker {
    pub id: WorkerId,
    pub state: State,
    /// Why it should be replaced when its turn comes; the first reason stays.
    pub due: Option<Reason>,
    /// Its own memory in bytes when it was last weighed.
    pub weight: Option<u64>,
    pub watch: Watch,
    /// It has had nothing to do for a while.
    pub idle: bool,
    /// Its account, once it has sent it.
    pub account: Option<Account>,
    /// How those before it in its place have died.
    pub restart: Restart,
    /// How long its start may take before a line says that it still starts.
    pub patience: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Has no process until `due`.
    Waiting { due: Instant },
    Starting {
        since: Instant,
        deadline: Option<Instant>,
    },
    Ready {
        since: Instant,
        /// When its time to live is over.
        expires: Option<Instant>,
    },
    /// Told to quit before it was ready: busy importing, it may not hear it.
    Abandoned { deadline: Instant },
    /// Told to drain.
    Draining { deadline: Instant },
    /// Told to sleep; if it has something to do, it goes on as it was.
    Dozing {
        since: Instant,
        expires: Option<Instant>,
        deadline: Instant,
    },
    /// Told to quit after it was ready.
    Quitting { deadline: Instant },
    /// Sent SIGKILL; `was_starting` if it never got ready.
    Killed { was_starting: bool },
}

/// How a worker stands to `--max-rss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// Not weighed yet.
    Fresh,
    /// Weighed too much so many times in a row.
    Over(u8),
    /// Was too heavy from the start: another one would be no lighter.
    Exempt,
}

impl Worker {
    pub fn new(id: WorkerId, due: Instant) -> Self {
        Self {
            id,
            state: State::Waiting { due },
            due: None,
            weight: None,
            watch: Watch::Fresh,
            idle: false,
            account: None,
            restart: Restart::default(),
            patience: SLOW_START,
        }
    }

    /// When the operator should be told that it still starts.
    pub fn tells(&self) -> Option<Instant> {
        match self.state {
            State::Starting { since, .. } => Some(since + self.patience),
            _ => None,
        }
    }

    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    pub fn is_dozing(&self) -> bool {
        matches!(self.state, State::Dozing { .. })
    }

    /// Whether it serves or will.
    pub fn is_wanted(&self) -> bool {
        match self.state {
            State::Waiting { .. } | State::Starting { .. } | State::Ready { .. } => true,
            // It was too slow; another takes its place when it is gone.
            State::Killed { was_starting } => was_starting,
            State::Abandoned { .. }
            | State::Draining { .. }
            | State::Dozing { .. }
            | State::Quitting { .. } => false,
        }
    }

    /// Has the next telling come later.
    pub fn has_told(&mut self, now: Instant) {
        while self.tells().is_some_and(|due| due <= now) {
            self.patience *= 3;
        }
    }

    /// Becomes due for this reason, if it is not due already.
    pub fn make_due(&mut self, reason: Reason) {
        self.due.get_or_insert(reason);
    }
}

impl State {
    pub fn deadline(self) -> Option<Instant> {
        match self {
            State::Waiting { due } => Some(due),
            State::Starting { deadline, .. } => deadline,
            State::Abandoned { deadline }
            | State::Draining { deadline }
            | State::Dozing { deadline, .. }
            | State::Quitting { deadline } => Some(deadline),
            State::Ready { .. } | State::Killed { .. } => None,
        }
    }
}
