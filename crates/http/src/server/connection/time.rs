//! The time limits of the request that is being answered: the rest of its body, and the beginning of
//! its response.
//!
//! A connection has one deadline, which the sweep compares: the earlier of the two.

use std::time::Instant;

use super::Connection;
use super::due::Due;
use super::run::Run;
use crate::server::application::Application;
use crate::server::body::BodyRefused;
use crate::server::exchange::View;

impl<A: Application> Connection<'_, A> {
    /// Nothing of the body has come: whether that has been so for too long, which ends the request.
    pub(super) fn is_too_slow(&mut self, run: &mut Run) -> bool {
        let before = run.due;
        run.due.is_clients_turn = true;
        run.due.response = None;
        if let (None, Some(limit)) = (run.due.body, self.server.limits.body_read) {
            run.due.body = Some(Instant::now() + limit);
        }
        self.set_due(before, run);
        if !self.is_up(run.due.body) {
            return false;
        }
        self.not_due(run);
        run.break_off(BodyRefused::TooSlow);
        true
    }

    /// It is not the client that is waited for.
    pub(super) fn not_due(&mut self, run: &mut Run) {
        let before = run.due;
        run.due.is_clients_turn = false;
        run.due.body = None;
        self.set_due(before, run);
    }

    /// Whether the application has taken too long to begin its response, which ends the request.
    pub(super) fn is_unanswered(&mut self, run: &mut Run, view: &View) -> bool {
        let Some(limit) = self.server.limits.request else {
            return false;
        };
        let before = run.due;
        if run.due.is_clients_turn || view.head_written || view.complete {
            run.due.response = None;
        } else {
            run.due
                .response
                .get_or_insert_with(|| Instant::now() + limit);
        }
        self.set_due(before, run);
        if !self.is_up(run.due.response) {
            return false;
        }
        run.due.begun(None);
        self.entry.set_deadline(run.due.first());
        let conversation = run.conversation.as_ref();
        self.server.time_out(&run.exchange, conversation)
    }

    fn set_due(&self, before: Due, run: &mut Run) {
        let first = run.due.first();
        // The application was called without a deadline: most answer at once.
        let is_new = !std::mem::replace(&mut run.has_deadline, first.is_some());
        if before.first() != first || is_new && first.is_some() {
            self.entry.set_deadline(first);
        }
    }

    fn is_up(&self, due: Option<Instant>) -> bool {
        self.entry.is_expired() && due.is_some_and(|due| due <= Instant::now())
    }
}
