//! What a connection does about time: idleness, a drain, the steps of its end.

use std::time::{Duration, Instant};

use super::{Session, Stage};
use crate::server::application::Application;
use crate::server::between_requests::LAST_CALL;
use crate::server::http2::protocol::{Code, Violation};

/// How long a draining worker waits for a moment in which a client has no request open.
const PATIENCE: Duration = Duration::from_secs(1);

/// What follows when nothing can be moved.
pub(super) enum Next {
    /// Waiting.
    Nothing,
    /// Another look.
    Again,
    /// The end.
    End,
}

impl<A: Application> Session<A> {
    /// What there is to do when nothing can be moved.
    pub(super) fn look_at_the_time(&mut self) -> Next {
        self.note_idleness();
        let is_up = self.entry.is_expired() && self.is_stage_up();
        match self.stage {
            Stage::Open if self.server.is_draining() => self.drain(),
            Stage::Open if is_up && !self.protocol.has_begun() => return Next::End,
            Stage::Draining if self.idle && !self.fresh => self.leave(),
            Stage::Open | Stage::Draining if is_up => self.leave(),
            Stage::Leaving { .. } if is_up => self.leave_now(Code::NoError),
            Stage::Leaving { heard: true } if self.idle => self.end(),
            Stage::Ending if self.protocol.wire.is_empty() || is_up => return Next::End,
            _ => return Next::Nothing,
        }
        Next::Again
    }

    /// Whether it is the stage's time that is up, and not that of requests, which end with it.
    fn is_stage_up(&mut self) -> bool {
        let now = Instant::now();
        if let Some(limit) = self.server.limits.body_read {
            for cycle in &mut self.cycles {
                if cycle.due(limit).is_some_and(|due| due <= now) {
                    cycle.time_out();
                }
            }
        }
        self.set_deadline();
        self.due.is_some_and(|due| due <= now)
    }

    /// An idle connection has its time, like one of HTTP/1.1.
    fn note_idleness(&mut self) {
        let idle = self.protocol.has_begun()
            && self.cycles.is_empty()
            && self.tunnels.is_empty()
            && self.protocol.streams() == 0;
        if idle == self.idle {
            return;
        }
        self.idle = idle;
        let now = Instant::now();
        self.entry.set_idle(idle.then_some(now));
        let time = match self.stage {
            Stage::Open => self.server.limits.keep_alive,
            Stage::Leaving { .. } => LAST_CALL,
            Stage::Draining | Stage::Ending => return,
        };
        self.due = idle.then(|| now + time);
        self.set_deadline();
    }

    /// A request has come: whatever becomes of it, the connection is not idle meanwhile.
    pub(in crate::server::http2) fn note_request(&mut self) {
        self.fresh = false;
        self.idle = false;
        self.entry.set_idle(None);
        if self.stage == Stage::Open {
            self.due = None;
        }
    }

    /// The worker drains. A client that hears GOAWAY while it waits for an answer may give up on
    /// that (python-h2, and httpx with it, does), so it hears it between two. One that always has
    /// requests open hears it after a while, and one that has sent none may still send one: that
    /// nothing of it was looked at is told by the number of the last stream, which 0 is not.
    fn drain(&mut self) {
        self.stage = Stage::Draining;
        self.due = Some(Instant::now() + PATIENCE);
        self.set_deadline();
    }

    /// Tells the client to go (RFC 9113 section 6.8). Where requests are open they are answered, and
    /// so are those on their way; where none is, those on their way have not been looked at and
    /// may be sent again elsewhere.
    fn leave(&mut self) {
        if self.idle || !self.protocol.has_begun() {
            return self.leave_now(Code::NoError);
        }
        self.stage = Stage::Leaving { heard: false };
        self.protocol.ask();
        self.due = None;
        self.set_deadline();
    }

    /// No more requests come: the connection ends with those that are open.
    pub(super) fn part(&mut self) {
        self.stage = Stage::Leaving { heard: true };
        self.due = None;
        self.set_deadline();
        self.protocol.go_away(Code::NoError);
    }

    pub(super) fn fail(&mut self, violation: Violation) {
        let Violation { code, why } = violation;
        tracing::debug!("{}: HTTP/2: {why} ({code:?})", self.peers.client_name());
        for cycle in &mut self.cycles {
            cycle.abandon(&mut self.protocol);
        }
        for tunnel in self.tunnels.drain(..) {
            tunnel.on_reset(&mut self.protocol);
        }
        self.leave_now(code);
    }

    fn leave_now(&mut self, code: Code) {
        self.protocol.go_away(code);
        self.end();
    }

    /// Nothing more is read.
    fn end(&mut self) {
        self.stage = Stage::Ending;
        self.due = Some(Instant::now() + self.server.linger());
        self.set_deadline();
    }

    /// The connection has until the stage's time is up, or that of a request's body.
    fn set_deadline(&self) {
        let limit = self.server.limits.body_read;
        let bodies = limit.into_iter().flat_map(|limit| {
            let cycles = self.cycles.iter();
            cycles.filter_map(move |cycle| cycle.due(limit))
        });
        self.entry.set_deadline(bodies.chain(self.due).min());
    }

    /// There is nothing to do. After a while of that, what is kept for the next request is given back.
    pub(super) fn rest(&mut self) {
        if self.server.limits.body_read.is_some() && !self.idle && !self.entry.is_expired() {
            self.set_deadline();
        }
        if self.idle && self.entry.rests() {
            self.entry.set_idle(None);
            self.application = None;
            self.cycles = Vec::new();
            self.tunnels = Vec::new();
            self.protocol.rest();
        }
    }
}
