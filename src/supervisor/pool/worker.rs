//! One worker's state.

use std::time::Instant;

use super::WorkerId;

#[derive(Debug, Clone, Copy)]
pub(super) struct Worker {
    pub id: WorkerId,
    pub state: State,
    /// The ready worker that it is to replace.
    pub replaces: Option<WorkerId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Has no process until `due`.
    Waiting {
        due: Instant,
    },
    Starting {
        deadline: Option<Instant>,
    },
    Ready {
        since: Instant,
    },
    /// Told to quit before it was ready: busy importing, it may not hear it.
    Abandoned {
        deadline: Instant,
    },
    /// Told to drain.
    Draining {
        deadline: Instant,
    },
    /// Told to quit after it was ready.
    Quitting {
        deadline: Instant,
    },
    /// Sent SIGKILL; `was_starting` if it never got ready.
    Killed {
        was_starting: bool,
    },
}

impl Worker {
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    /// Whether it is one of the workers that were asked for: it serves or will, and no other
    /// serves in its place meanwhile.
    pub fn holds_a_place(&self) -> bool {
        let will_serve = matches!(
            self.state,
            State::Waiting { .. } | State::Starting { .. } | State::Ready { .. }
        );
        let was_too_slow = self.state == State::Killed { was_starting: true };
        (will_serve || was_too_slow) && self.replaces.is_none()
    }
}

impl State {
    pub fn deadline(self) -> Option<Instant> {
        match self {
            State::Waiting { due } => Some(due),
            State::Starting { deadline } => deadline,
            State::Abandoned { deadline }
            | State::Draining { deadline }
            | State::Quitting { deadline } => Some(deadline),
            State::Ready { .. } | State::Killed { .. } => None,
        }
    }
}
