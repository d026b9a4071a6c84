//! One application among others: its turn to start, the template that it shares, 503 in its place, its
//! leaving.

use std::io;
use std::time::Instant;

use tracing::{error, info};

use super::Application;
use super::made::{Listening, Made, next_serial};
use crate::config::Config;
use crate::exit::Exit;
use crate::supervisor::Member;
use crate::supervisor::follower::Reread;
use crate::supervisor::pool::{Event, Pool, Reason, Settings};
use crate::supervisor::sharer::Sharer;
use crate::supervisor::standing::{self, End, Standing};
use crate::supervisor::template::Outcome;

impl<'a> Application<'a> {
    /// Has it forked from a template that others share, if it may be.
    pub(in crate::supervisor) fn share(&mut self, sharer: Option<Sharer>) {
        self.workforce.share(sharer);
    }

    /// Which template that is may change as others come and go.
    pub(in crate::supervisor) fn choose_template(&mut self) {
        self.workforce.choose_template();
    }

    /// Has its workers replaced, once for each template, if there is one that they are not from.
    pub(in crate::supervisor) fn follow_template(&mut self) {
        let newer = self.workforce.newer_template();
        if let Some(newer) = newer.filter(|newer| self.is_running && *newer > self.followed) {
            self.followed = newer;
            self.outdated.get_or_insert(Reason::Template);
        }
    }

    /// Handles what came of a worker that a template was asked for, if it is one of its own.
    pub(in crate::supervisor) fn settle(&mut self, outcome: Outcome) -> Option<Outcome> {
        let id = outcome.worker()?;
        if !self.workforce.has(id) {
            return Some(outcome);
        }
        self.speak();
        self.workforce.settle(outcome);
        None
    }

    /// How it stands among others.
    pub(in crate::supervisor) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether it waits for room to start, or to replace its workers.
    pub(in crate::supervisor) fn wants_to_start(&self, now: Instant) -> bool {
        // One that begins asleep starts nothing, and has no need of a template yet.
        let is_admitted = self.pool.begins_asleep() || self.workforce.is_admitted(now);
        (self.standing.is_due(now) && is_admitted)
            || (self.outdated.is_some() && self.standing.is_up())
    }

    /// Whether it starts workers, for which others wait.
    pub(in crate::supervisor) fn is_busy(&self, now: Instant) -> bool {
        let is_starting = !self.is_running && self.standing.has_just_begun(now);
        is_starting || self.swap_due(now).is_some()
    }

    /// When a replacement of workers that goes on keeps others from starting no more.
    pub(super) fn swap_due(&self, now: Instant) -> Option<Instant> {
        let due = self.swaps_since? + standing::START;
        Some(due).filter(|due| *due > now)
    }

    /// When it may be due, or not busy any more, though nothing happens.
    pub(in crate::supervisor) fn standing_deadline(&self, now: Instant) -> Option<Instant> {
        let standing = self.standing.deadline(now);
        standing.into_iter().chain(self.swap_due(now)).min()
    }

    /// Starts it, or replaces its workers.
    pub(in crate::supervisor) fn start(&mut self) {
        let now = Instant::now();
        if self.standing.is_due(now) {
            if self.exit.take().is_some() {
                self.pool = Pool::new(Settings {
                    serial: next_serial(),
                    ..self.parts.settings
                });
            }
            self.standing.begin(now);
            self.outdated = None;
            self.on(Event::Tick);
        } else if let Some(reason) = self.outdated.take() {
            self.on(Event::Renew(reason));
        }
    }

    /// Has its workers replaced, or it started again, when there is room for it.
    pub(in crate::supervisor) fn renew(&mut self, reason: Reason) {
        self.outdated = Some(reason);
        self.standing.want();
    }

    /// Its operator wants it stopped, and 503 answered in its place.
    pub(in crate::supervisor) fn stop(&mut self) {
        self.speak();
        if self.standing.stop() {
            self.on(Event::Stop);
        }
        self.answer_503();
    }

    /// Whether it has been served, or has failed, once.
    pub(in crate::supervisor) fn has_settled(&self) -> bool {
        self.has_settled
    }

    /// Whether it is stopped once its workers have ended.
    pub(in crate::supervisor) fn is_stopping(&self) -> bool {
        self.standing.is_stopped() && !self.pool.is_empty()
    }

    /// Its operator wants it served.
    pub(in crate::supervisor) fn want(&mut self) {
        self.standing.want();
    }

    /// Stops serving it.
    pub(in crate::supervisor) fn leave(&mut self) {
        self.speak();
        let was_up = self.standing.leave();
        self.refusing = None;
        if was_up {
            info!("It is no longer in the settings; stopping it.");
            self.on(Event::Stop);
        }
    }

    /// The whole server ends, in this way.
    pub(in crate::supervisor) fn leave_with(&mut self, event: Event) {
        self.speak();
        let was_up = self.standing.leave();
        self.refusing = None;
        if was_up || !self.pool.is_empty() {
            self.on(event);
        }
    }

    /// Whether it has this name, and is not about to go.
    pub(in crate::supervisor) fn is_named(&self, name: &str) -> bool {
        self.name() == Some(name) && !self.standing.is_leaving()
    }

    /// Whether it listens as these settings have it.
    pub(in crate::supervisor) fn listens_as(&self, config: &Config) -> bool {
        self.parts.listens == Listening::of(config)
    }

    /// Whether nothing is left of it.
    pub(in crate::supervisor) fn is_gone(&self) -> bool {
        self.standing.is_leaving() && self.pool.is_empty()
    }

    /// From now on its workers are those of other settings; those that serve are replaced. Where the
    /// settings cannot be followed, it stays as it was.
    ///
    /// # Errors
    /// Changes of its source cannot be followed.
    pub(in crate::supervisor) fn take(
        &mut self,
        member: Member,
        sharer: Option<Sharer>,
        reread: &'a Reread<'a>,
    ) -> io::Result<()> {
        self.speak();
        let made = Made::of(member, reread)?;
        self.workforce
            .replace(made.launch, made.listeners, made.worker, made.source)?;
        self.workforce.share(sharer);
        self.pool.take(made.parts.settings);
        let had_hours = self.parts.clock.is_some();
        self.parts = made.parts;
        if had_hours && self.parts.clock.is_none() && self.has_begun() {
            self.on(Event::Hours(false));
        }
        self.count_where_it_is_shown();
        info!("Its settings have changed.");
        self.renew(Reason::Settings);
        Ok(())
    }

    pub(super) fn answer_503(&mut self) {
        if self.parts.name.is_some() && !self.standing.is_leaving() {
            self.refusing.get_or_insert_default();
        }
    }

    /// Its last worker has ended.
    pub(super) fn is_over(&mut self, exit: Exit) {
        self.exit = Some(exit);
        self.has_settled = true;
        self.is_running = false;
        if self.parts.name.is_none() {
            return;
        }
        match self.standing.ended(Instant::now()) {
            End::Again(pause) => {
                let seconds = pause.as_secs();
                error!("It is stopped and answers 503; trying again in {seconds} s.");
                self.answer_503();
            }
            End::Stopped => info!("Stopped; it answers 503."),
            End::Gone => info!("Stopped."),
        }
    }

    /// Whether its pool decides; one of several waits for its turn first.
    pub(super) fn has_begun(&self) -> bool {
        self.parts.name.is_none() || self.standing.is_up() || !self.pool.is_empty()
    }
}
