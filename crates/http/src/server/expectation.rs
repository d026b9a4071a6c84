//! `expect: 100-continue` (RFC 9110 section 10.1.1).

use super::exchange::View;

/// Whether a client waits to be told that its body is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expectation(bool);

impl Expectation {
    pub(super) fn new(waits: bool) -> Self {
        Self(waits)
    }

    /// Whether the client still waits.
    pub(super) fn waits(self) -> bool {
        self.0
    }

    /// Whether `100 Continue` should be sent now: once, when the body is wanted before the response has
    /// begun.
    #[must_use]
    pub(super) fn is_due(&mut self, view: &View) -> bool {
        let is_over = self.0 && (view.wants_continue || view.head_written);
        self.0 &= !is_over;
        is_over && !view.head_written
    }
}
