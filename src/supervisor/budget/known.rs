//! The policy's memory of an application.

use std::time::Instant;

use super::{Seen, Stage};

/// The facts known of an application.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) stage: Stage,
    /// Its memory when it was last up.
    pub(super) weight: Option<u64>,
    /// It is among what was measured.
    pub(super) is_measured: bool,
    pub(super) rises_since: Option<Instant>,
    /// Its weight when its newest worker had just become ready, and when that was.
    pub(super) fresh: Option<(Instant, u64)>,
    pub(super) falls_since: Option<Instant>,
    pub(super) refused: Option<Instant>,
    pub(super) replaced: Option<Instant>,
}

impl Known {
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Down,
            weight: None,
            is_measured: false,
            rises_since: None,
            fresh: None,
            falls_since: None,
            refused: None,
            replaced: None,
        }
    }

    pub(super) fn rise(&mut self, now: Instant) {
        self.stage = Stage::Rising;
        self.is_measured = false;
        self.rises_since = Some(now);
    }

    /// It was weighed while it is awake.
    pub(super) fn weighed(&mut self, own: &Seen) {
        self.weight = Some(own.private);
        self.is_measured = true;
        self.fresh = match (self.fresh, own.ready) {
            (Some((ready, fresh)), Some(now)) if ready == now => Some((ready, fresh)),
            (_, Some(now)) => Some((now, own.private)),
            (fresh, None) => fresh,
        };
    }
}
