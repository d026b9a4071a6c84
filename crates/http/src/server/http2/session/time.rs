//! A connection's deadlines: idleness, a drain, the steps of its end.

use std::time::{Duration, Instant};

use super::{Farewell, Session, Stage};
use crate::server::application::Application;
use crate::server::connections::Waiting;
use crate::server::http2::cycle::Cycle;
use crate::server::http2::protocol::{Code, Violation};

/// How long a draining worker waits for a moment in which a client has no request open.
const PATIENCE: Duration = Duration::from_secs(1);

/// A client that asks again and again does so within this time: it hears GOAWAY with its next response.
/// One that is quiet for longer hears it then.
const QUIET: Duration = Duration::from_millis(200);

/// Between GOAWAY and the PING that asks for it. A client that takes a connection for over with the
/// first GOAWAY (python-h2 does) stumbles over what comes behind it: it gets this time to read its
/// last response and to leave.
const PAUSE: Duration = Duration::from_millis(25);

/// How long a client has to answer that PING: some round trips of a slow line. One that reads only
/// while it waits for a response does not answer.
const ROUND_TRIP: Duration = Duration::from_secs(1);

/// The next step when nothing can be moved.
pub(super) enum Next {
    /// Waiting.
    Nothing,
    /// Another look.
    Again,
    /// The end.
    End,
}

impl<A: Application> Session<A> {
    /// Returns the next step when nothing can be moved.
    pub(super) fn look_at_the_time(&mut self) -> Next {
        self.note_idleness();
        if self.entry.is_expired() && self.time_out_requests() {
            return Next::Again;
        }
        let is_up = self.entry.is_expired() && self.is_stage_up();
        match self.stage {
            Stage::Open if is_up && !self.protocol.has_begun() => return Next::End,
            Stage::Open | Stage::Draining if is_up => self.leave(),
            Stage::Leaving(Farewell::Said) if is_up => self.ask(),
            Stage::Leaving(Farewell::Asked) if is_up => self.part(),
            Stage::Leaving(Farewell::Heard) if self.idle => self.end(),
            Stage::Ending if self.protocol.wire.is_empty() || is_up => return Next::End,
            _ => return Next::Nothing,
        }
        Next::Again
    }

    /// Ends the requests whose time is up; says whether there were any.
    fn time_out_requests(&mut self) -> bool {
        let now = Instant::now();
        let mut any = false;
        for cycle in &mut self.cycles {
            any |= cycle.time_out(now, &mut self.protocol);
        }
        any
    }

    /// Whether it is the stage's time that is up, and not that of requests.
    fn is_stage_up(&self) -> bool {
        self.set_deadline();
        self.due.is_some_and(|due| due <= Instant::now())
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
        self.entry.set_waiting(idle.then_some((Waiting::Idle, now)));
        if self.stage == Stage::Open {
            self.due = idle.then(|| now + self.server.limits.keep_alive);
            self.set_deadline();
        }
    }

    /// A request has come: whatever becomes of it, the connection is not idle meanwhile.
    pub(in crate::server::http2) fn note_request(&mut self) {
        let was_idle = std::mem::replace(&mut self.idle, false);
        self.fresh = false;
        self.entry.set_idle(None);
        self.entry.set_waiting(None);
        match self.stage {
            Stage::Open => self.due = None,
            Stage::Draining if was_idle => self.due = Some(Instant::now() + PATIENCE),
            Stage::Draining | Stage::Leaving(_) | Stage::Ending => {}
        }
    }

    /// The worker drains. A client that hears GOAWAY while it waits for an answer may give up on
    /// that (python-h2, and httpx with it, does), so it hears it between two. One that always has
    /// requests open hears it after a while, and one that has sent none may still send one: that
    /// nothing of it was looked at is told by the number of the last stream, which 0 is not.
    pub(super) fn drain(&mut self) {
        self.stage = Stage::Draining;
        let is_quiet = self.idle && !self.fresh;
        let time = if is_quiet { QUIET } else { PATIENCE };
        self.due = Some(Instant::now() + time);
        self.set_deadline();
    }

    /// Tells the client to go (RFC 9113 section 6.8). Requests that are open are answered, and so are
    /// those on their way, of which an idle connection may have some, too: proxies do not send them
    /// again elsewhere.
    fn leave(&mut self) {
        if !self.protocol.has_begun() {
            return self.leave_now(Code::NoError);
        }
        self.stage = Stage::Leaving(Farewell::Said);
        self.due = Some(Instant::now() + PAUSE);
        self.set_deadline();
        self.protocol.send_away();
    }

    /// The worker drains, and the last response is about to be written: GOAWAY is written with it,
    /// so that no client has sent another request before it could know.
    pub(super) fn leave_with_the_last(&mut self) {
        let is_last = self.stage == Stage::Draining && !self.fresh && self.is_alone();
        if is_last && self.protocol.streams() == 0 {
            self.leave();
        }
    }

    /// Asks whether the client has heard GOAWAY: what it sends after its answer is not on its way.
    fn ask(&mut self) {
        self.stage = Stage::Leaving(Farewell::Asked);
        self.due = Some(Instant::now() + ROUND_TRIP);
        self.set_deadline();
        self.protocol.ask();
    }

    /// No more requests come: the connection ends with those that are open.
    pub(super) fn part(&mut self) {
        self.stage = Stage::Leaving(Farewell::Heard);
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

    /// The connection has until the stage's time is up, or that of a request.
    fn set_deadline(&self) {
        let cycles = self.cycles.iter().filter_map(Cycle::due);
        self.entry.set_deadline(cycles.chain(self.due).min());
    }

    /// There is nothing to do. After a while of that, what is kept for the next request is given back.
    pub(super) fn rest(&mut self) {
        if !self.cycles.is_empty() && !self.entry.is_expired() {
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
