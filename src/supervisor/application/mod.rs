//! One application: its pool, its workers, the places it is reached at, and what is done of what the
//! pool decides.

mod among;
mod budgeted;
mod made;
mod shown;
mod watched;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rustix::process::Pid;
use tracing::error;

use self::budgeted::Budgeted;
use self::made::{Made, Parts, next_serial};
use crate::control::{FromWorker, ToWorker};
use crate::exit::Exit;
use crate::monitor::Tally;
use crate::net::Listeners;
use crate::supervisor::Member;
use crate::supervisor::follower::{Follower, Reread};
use crate::supervisor::hours::Clock;
use crate::supervisor::keeping::Keeper;
use crate::supervisor::notice;
use crate::supervisor::pool::{Action, Event, Notice, Pool, Reason, WorkerId};
use crate::supervisor::refusing::Refusing;
use crate::supervisor::standing::Standing;
use crate::supervisor::watching::Watching;
use crate::supervisor::workforce::Workforce;
use crate::sys::process::Ending;
use crate::telemetry;

pub(in crate::supervisor) struct Application<'a> {
    /// The parts made of its settings.
    pub(in crate::supervisor) parts: Parts<'a>,
    pub(in crate::supervisor) pool: Pool,
    pub(in crate::supervisor) workforce: Workforce,
    /// The keeper of its connections while it sleeps.
    pub(in crate::supervisor) keeper: Option<Box<Keeper>>,
    /// A worker has been ready.
    is_running: bool,
    /// It has been served, or has failed, once.
    has_settled: bool,
    /// Something out of the ordinary has just been done.
    pub(in crate::supervisor) is_unsettled: bool,
    /// It has been told to sleep before.
    pub(in crate::supervisor) has_slept: bool,
    /// How it ended.
    exit: Option<Exit>,
    /// Where it is counted, with `--status-bind` or `--timeout-worker-stall`.
    tally: Option<Arc<Tally>>,
    /// Where there are several: how it stands.
    standing: Standing,
    /// The clients that ask meanwhile for what is not served.
    refusing: Option<Box<Refusing>>,
    /// Every worker should be replaced when there is room for another start, and why.
    outdated: Option<Reason>,
    /// Workers are being replaced since then.
    swaps_since: Option<Instant>,
    /// The last template that its workers were replaced for.
    followed: u32,
    /// Workers that have died.
    deaths: u64,
    /// Its number among all that were ever served.
    number: u32,
    /// With a memory budget: its part in it.
    budgeted: Option<Budgeted>,
}

impl<'a> Application<'a> {
    /// Prepares everything; the first `Tick` starts its workers.
    pub(in crate::supervisor) fn new(member: Member, reread: &'a Reread<'a>) -> io::Result<Self> {
        let Made {
            parts,
            launch,
            listeners,
            worker,
            source,
        } = Made::of(member, reread)?;
        let mut application = Self {
            pool: Pool::new(parts.settings),
            workforce: Workforce::new(launch, listeners, worker, source)?,
            parts,
            keeper: None,
            has_slept: false,
            is_running: false,
            has_settled: false,
            is_unsettled: false,
            exit: None,
            tally: None,
            standing: Standing::waiting(),
            refusing: None,
            outdated: None,
            swaps_since: None,
            followed: 0,
            deaths: 0,
            number: next_serial(),
            budgeted: None,
        };
        application.count_where_it_is_shown();
        Ok(application)
    }

    /// Counts where stalls are watched for, as the watch looks at the counters, and where there are several,
    /// whose requests and last use are shown.
    fn count_where_it_is_shown(&mut self) {
        if self.parts.watching.is_some() || self.parts.name.is_some() {
            self.count();
        }
    }

    /// From now on log lines are about it.
    fn speak(&self) {
        if self.parts.name.is_some() {
            telemetry::name_lines(self.parts.name.clone());
        }
    }

    /// Its name, where there are several.
    pub(in crate::supervisor) fn name(&self) -> Option<&str> {
        self.parts.name.as_deref()
    }

    /// Where it listens.
    pub(in crate::supervisor) fn listeners(&self) -> &Rc<Listeners> {
        self.workforce.listeners()
    }

    /// How it ended, once it has.
    pub(in crate::supervisor) fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// Whether a worker has been ready.
    pub(in crate::supervisor) fn is_running(&self) -> bool {
        self.is_running
    }

    /// Whether something out of the ordinary was done since the last call.
    pub(in crate::supervisor) fn take_unsettled(&mut self) -> bool {
        std::mem::take(&mut self.is_unsettled)
    }

    /// Handles what its workers have said.
    pub(in crate::supervisor) fn hear(&mut self) {
        self.speak();
        for (id, message) in self.workforce.heard() {
            let event = match message {
                FromWorker::Ready => {
                    self.is_unsettled = true;
                    self.workforce.adopt_waiting(id);
                    self.workforce.tell_routes(id);
                    Event::Ready(id)
                }
                FromWorker::Idle => Event::Idle(id),
                FromWorker::Busy => Event::Busy(id),
                FromWorker::LimitReached => Event::LimitReached(id),
                FromWorker::WoundDown => Event::WoundDown(id),
                FromWorker::Served(account) => Event::Served(id, account),
                // Lifespan shutdown has to end within the drain's deadline, too.
                FromWorker::Drained => continue,
                FromWorker::Imported(imported) => {
                    self.workforce.imported(*imported);
                    continue;
                }
                FromWorker::Preloaded
                | FromWorker::Packages(_)
                | FromWorker::Forked(_)
                | FromWorker::Unfit(_) => continue,
            };
            self.on(event);
        }
    }

    /// Handles the end of a process, if it was one of its workers; whether it was.
    pub(in crate::supervisor) fn reaped(&mut self, pid: Pid, ending: Ending) -> bool {
        let Some(id) = self.workforce.id(pid) else {
            return false;
        };
        self.speak();
        self.is_unsettled = true;
        self.ended(id, ending);
        true
    }

    /// A process has ended that is no application's worker, as far as is known.
    pub(in crate::supervisor) fn unknown_child_ended(&mut self, pid: Pid, ending: Ending) {
        self.workforce.unknown_child_ended(pid, ending);
    }

    /// Handles events without a message: workers that came to nothing, changes of the source, the time.
    pub(in crate::supervisor) fn turn(&mut self) {
        self.speak();
        if let Some(refusing) = &mut self.refusing {
            refusing.turn(self.workforce.listeners(), Instant::now());
        }
        let follower = self.parts.follower.as_mut();
        let has_changed =
            follower.is_some_and(|follower| follower.takes_changes(&mut self.workforce));
        if !self.has_begun() {
            if has_changed && !self.standing.is_stopped() {
                self.standing.want();
            }
            return;
        }
        while let Some((id, ending)) = self.workforce.lost() {
            self.ended(id, ending);
        }
        if has_changed {
            self.on(Event::Changed);
        }
        self.hear_keeper();
        let clock = self.parts.clock.as_mut();
        if let Some(is_awake) = clock.and_then(|clock| clock.take(Instant::now())) {
            self.on(Event::Hours(is_awake));
        }
        self.watch();
        self.on(Event::Tick);
        let since = self.swaps_since.take().unwrap_or_else(Instant::now);
        self.swaps_since = self.pool.is_swapping().then_some(since);
        for notice in self.pool.slow_starts(Instant::now()) {
            notice::say(notice, &self.parts.banner, &self.workforce);
        }
    }

    fn ended(&mut self, id: WorkerId, ending: Ending) {
        // First: the next worker may be started in its place.
        self.workforce.leave_place(id);
        self.on(Event::Ended(id, ending));
        // Only now: the notices show its pid.
        self.workforce.forget(id);
    }

    /// Tells the pool and does what it says.
    pub(in crate::supervisor) fn on(&mut self, event: Event) {
        self.speak();
        match event {
            Event::Recycle | Event::Renew(Reason::Signal | Reason::Settings | Reason::Order) => {
                self.workforce.import_anew();
            }
            Event::Changed => self.workforce.source_changed(),
            _ => {}
        }
        let mut actions = VecDeque::from(self.pool.on(event, Instant::now()));
        while let Some(action) = actions.pop_front() {
            if let Some(event) = self.act(action) {
                actions.extend(self.pool.on(event, Instant::now()));
            }
        }
    }

    /// Does one thing; what has come of it, if the pool should know.
    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Spawn(id) => {
                if let Err(reason) = self.workforce.spawn(id) {
                    error!("Cannot start a worker: {reason}");
                    return Some(Event::NotStarted(id));
                }
            }
            Action::GiveBack(id) => self.workforce.tell(id, &ToWorker::GiveBack),
            Action::WindDown(id, within) => {
                self.workforce.tell(id, &ToWorker::WindDown(within));
            }
            Action::Drain(id, drain) => self.workforce.tell(id, &ToWorker::Drain(drain)),
            Action::HandOver(old, new, drain) => self.workforce.hand_over(old, new, drain),
            Action::Sleep(id, drain) => return self.put_to_sleep(id, drain),
            Action::Deliver(id) => self.deliver(id),
            Action::Refuse(after) => self.refuse(after),
            Action::DropTemplate => self.workforce.drop_template(),
            Action::Quit(id) => self.workforce.end(id, &ToWorker::Quit),
            Action::Leave(id) => self.workforce.end(id, &ToWorker::Leave),
            Action::Kill(id) => self.workforce.kill(id),
            Action::Keep => return self.keep(),
            Action::Weigh(id) => {
                let mut weighing = self.workforce.weigh(id);
                self.bound_room(&mut weighing);
                return Some(Event::Weighed(id, weighing));
            }
            Action::Say(notice) => {
                self.note(notice);
                if matches!(notice, Notice::Died(..) | Notice::CannotStart(..)) {
                    self.deaths += 1;
                }
                if matches!(notice, Notice::Running | Notice::BeginsAsleep) {
                    self.is_running = true;
                    self.has_settled = true;
                    self.refusing = None;
                }
                // The start is over, though no worker has been ready.
                self.is_unsettled |= matches!(notice, Notice::BeginsAsleep);
                if matches!(notice, Notice::Asleep(_)) {
                    self.workforce.end_isolated();
                }
                notice::say(notice, &self.parts.banner, &self.workforce);
            }
            Action::Exit(exit) => {
                self.workforce.end_isolated();
                self.is_over(exit);
            }
        }
        None
    }

    /// The descriptors to wait on.
    pub(in crate::supervisor) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let follower = self.parts.follower.as_deref().map(AsFd::as_fd);
        let controls = self.workforce.sources();
        let keeper = self.keeper.as_deref().map(AsFd::as_fd);
        let refusing = self.refusing.iter();
        let refusing = refusing.flat_map(|own| own.sources(self.workforce.listeners()));
        let own = follower.into_iter().chain(keeper);
        own.chain(controls).chain(refusing)
    }

    /// When [`Self::turn`] is due, if nothing else happens.
    pub(in crate::supervisor) fn next_deadline(&self) -> Option<Instant> {
        let follower = self.parts.follower.as_deref().and_then(Follower::due);
        let refusing = self.refusing.as_deref().and_then(Refusing::deadline);
        let always = [follower, refusing];
        // Deadlines that nothing is done about before it has begun would wake the supervisor without end.
        let begun = self.has_begun().then(|| {
            let keeper = self.keeper.as_deref().and_then(Keeper::next_deadline);
            let clock = self.parts.clock.as_ref().map(Clock::deadline);
            let slow_start = self.pool.next_slow_start();
            let watching = self.parts.watching.as_ref().map(Watching::due);
            [
                self.pool.next_deadline(),
                slow_start,
                keeper,
                clock,
                watching,
            ]
        });
        let begun = begun.into_iter().flatten();
        always.into_iter().chain(begun).flatten().min()
    }
}
