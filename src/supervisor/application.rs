//! One application: its pool, its workers, the places it is reached at, and what is done of what the
//! pool decides.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use rustix::process::Pid;
use tracing::{error, info};

use super::Member;
use super::changes::Changes;
use super::follower::{Follower, Reread};
use super::hours::Clock;
use super::keeping::Keeper;
use super::notice::{self, Banner};
use super::pool::{Action, Event, Notice, Pool, Settings, View, WorkerId};
use super::record;
use super::refusing::Refusing;
use super::standing::{self, End, Standing};
use super::template::Outcome;
use super::warm::Warm;
use super::watching::Watching;
use super::workforce::{Sharer, Source, Workforce};
use crate::config::{Config, Listen, Place, Reload, TellsImports, WorkerConfig};
use crate::control::{FromWorker, ToWorker};
use crate::counters::Gauges;
use crate::exit::Exit;
use crate::launch::Launch;
use crate::monitor::Tally;
use crate::net::Listeners;
use crate::operator::{ApplicationStatus, Serving, WorkerStatus};
use crate::sys::process::Ending;
use crate::telemetry;

/// Each pool has numbers of its own for its workers.
static POOLS: AtomicU32 = AtomicU32::new(0);

pub(super) struct Application<'a> {
    /// Where there are several.
    name: Option<Arc<str>>,
    listens: Listening,
    settings: Settings,
    pub(super) pool: Pool,
    pub(super) workforce: Workforce,
    banner: Banner,
    /// What follows changes, with `--reload`.
    follower: Option<Box<Follower<'a>>>,
    /// When it should be awake, with `--awake`.
    clock: Option<Clock>,
    /// What keeps its connections while it sleeps.
    pub(super) keeper: Option<Box<Keeper>>,
    /// A worker has been ready.
    is_running: bool,
    /// Something out of the ordinary has just been done.
    pub(super) is_unsettled: bool,
    /// It has been told to sleep before.
    pub(super) has_slept: bool,
    /// How it ended.
    exit: Option<Exit>,
    /// Where it is counted, with `--status-bind` or `--timeout-worker-stall`.
    tally: Option<Arc<Tally>>,
    /// Which workers do not come round, if that is to be told.
    pub(super) watching: Option<Watching>,
    /// Where there are several: how it stands.
    standing: Standing,
    /// The clients that ask meanwhile for what is not served.
    refusing: Option<Box<Refusing>>,
    /// Every worker should be replaced when there is room for another start.
    is_outdated: bool,
    /// Workers are being replaced since then.
    swaps_since: Option<Instant>,
    /// The last template that its workers were replaced for.
    followed: u32,
    /// Workers that have died.
    deaths: u64,
}

/// What its sockets were opened for.
#[derive(Debug, PartialEq, Eq)]
struct Listening {
    places: Vec<Listen>,
    mode: Option<u32>,
    backlog: i32,
}

impl Listening {
    fn of(config: &Config) -> Self {
        Self {
            places: config.listen.clone(),
            mode: config.uds_mode,
            backlog: config.backlog,
        }
    }
}

/// What a worker is told, with what only the supervisor knows.
pub(super) fn told(
    config: &Config,
    launch: &Launch,
    listeners: &Listeners,
    shares: bool,
) -> WorkerConfig {
    WorkerConfig {
        listeners: listeners.kinds(),
        package: launch.package.clone(),
        tells_imports: match &config.reload {
            _ if config.preload || launch.package.is_none() => TellsImports::Never,
            Some(_) => TellsImports::WhenReady,
            None if shares => TellsImports::WhenReady,
            None if config.sleep.makes_template => TellsImports::BeforeSleep,
            None => TellsImports::Never,
        },
        place: launch.directory.clone().map(|directory| Place {
            directory,
            variables: launch.variables.clone(),
        }),
        ..config.worker.clone()
    }
}

impl<'a> Application<'a> {
    /// Has it forked from a template that others share, if it may be.
    pub(super) fn share(&mut self, sharer: Option<Sharer>) {
        self.workforce.share(sharer);
    }

    /// Has its workers replaced, once for each template, if there is one that they are not from.
    pub(super) fn follow_template(&mut self) {
        let newer = self.workforce.newer_template();
        if let Some(newer) = newer.filter(|newer| self.is_running && *newer > self.followed) {
            self.followed = newer;
            self.is_outdated = true;
        }
    }

    /// Handles what came of a worker that a template was asked for, if it is one of its own.
    pub(super) fn settle(&mut self, outcome: Outcome) -> Option<Outcome> {
        let id = outcome.worker()?;
        if !self.workforce.has(id) {
            return Some(outcome);
        }
        self.speak();
        self.workforce.settle(outcome);
        None
    }

    /// Prepares everything; the first `Tick` starts its workers.
    pub(super) fn new(member: Member, reread: &'a Reread<'a>) -> io::Result<Self> {
        let Member {
            name,
            shares,
            config,
            launch,
            listeners,
            ..
        } = member;
        let worker = told(&config, &launch, &listeners, shares);
        let source = match &config.reload {
            _ if config.preload => Source::Preload,
            Some(reload) if worker.tells_imports == TellsImports::WhenReady => {
                Source::Learned(Box::new(Warm::of(reload, &worker)))
            }
            None if worker.tells_imports == TellsImports::BeforeSleep => {
                let own = Reload::of_application(&worker.app_dir);
                Source::Learned(Box::new(Warm::of(&own, &worker)))
            }
            _ => Source::Start,
        };
        let changes = config.reload.as_ref().map(Changes::of).transpose()?;
        if let Some(changes) = &changes {
            notice::watching(&changes.directories());
        }
        let stall = config.stall;
        let mut application = Self {
            name: name.map(Into::into),
            listens: Listening::of(&config),
            settings: settings(&config),
            pool: Pool::new(settings(&config)),
            banner: Banner::of(&config, &launch, &listeners),
            workforce: Workforce::new(launch, listeners, worker, source)?,
            clock: config.sleep.awake.clone().map(Clock::new),
            follower: changes.map(|changes| Box::new(Follower::new(changes, config, reread))),
            keeper: None,
            has_slept: false,
            is_running: false,
            is_unsettled: false,
            exit: None,
            tally: None,
            watching: stall.map(Watching::new),
            standing: Standing::waiting(),
            refusing: None,
            is_outdated: false,
            swaps_since: None,
            followed: 0,
            deaths: 0,
        };
        if stall.is_some() {
            application.tally();
        }
        Ok(application)
    }

    /// From now on log lines are about it.
    fn speak(&self) {
        if self.name.is_some() {
            telemetry::name_lines(self.name.clone());
        }
    }

    /// Its name, where there are several.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How it stands among others.
    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether it waits for room to start, or to replace its workers.
    pub(super) fn wants_to_start(&self, now: Instant) -> bool {
        (self.standing.is_due(now) && self.workforce.is_admitted(now))
            || (self.is_outdated && self.standing.is_up())
    }

    /// Whether it starts workers, for which others wait.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        let is_starting = !self.is_running && self.standing.has_just_begun(now);
        is_starting || self.swap_due(now).is_some()
    }

    /// When a replacement of workers that goes on keeps others from starting no more.
    fn swap_due(&self, now: Instant) -> Option<Instant> {
        let due = self.swaps_since? + standing::START;
        Some(due).filter(|due| *due > now)
    }

    /// When it may be due, or not busy any more, though nothing happens.
    pub(super) fn standing_deadline(&self, now: Instant) -> Option<Instant> {
        let standing = self.standing.deadline(now);
        standing.into_iter().chain(self.swap_due(now)).min()
    }

    /// Starts it, or replaces its workers.
    pub(super) fn start(&mut self) {
        let now = Instant::now();
        if self.standing.is_due(now) {
            if self.exit.take().is_some() {
                self.pool = Pool::new(Settings {
                    serial: next_serial(),
                    ..self.settings
                });
            }
            self.standing.begin(now);
            self.is_outdated = false;
            self.on(Event::Tick);
        } else if std::mem::take(&mut self.is_outdated) {
            self.on(Event::Recycle);
        }
    }

    /// Has its workers replaced, or it started again, when there is room for it.
    pub(super) fn renew(&mut self) {
        self.is_outdated = true;
        self.standing.want();
    }

    /// Its operator wants it stopped, and 503 answered in its place.
    pub(super) fn stop(&mut self) {
        self.speak();
        if self.standing.stop() {
            self.on(Event::Stop);
        }
        self.answer_503();
    }

    /// Whether it is stopped once its workers have ended.
    pub(super) fn is_stopping(&self) -> bool {
        self.standing.is_stopped() && !self.pool.is_empty()
    }

    /// Its operator wants it served.
    pub(super) fn want(&mut self) {
        self.standing.want();
    }

    /// It is to be served no more.
    pub(super) fn leave(&mut self) {
        self.speak();
        let was_up = self.standing.leave();
        self.refusing = None;
        if was_up {
            info!("It is no longer in the settings; stopping it.");
            self.on(Event::Stop);
        }
    }

    /// The whole server ends, in this way.
    pub(super) fn leave_with(&mut self, event: Event) {
        self.speak();
        let was_up = self.standing.leave();
        self.refusing = None;
        if was_up || !self.pool.is_empty() {
            self.on(event);
        }
    }

    /// Whether it has this name, and is not about to go.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.name() == Some(name) && !self.standing.is_leaving()
    }

    /// Whether it listens as these settings have it.
    pub(super) fn listens_as(&self, config: &Config) -> bool {
        self.listens == Listening::of(config)
    }

    /// Whether nothing is left of it.
    pub(super) fn is_gone(&self) -> bool {
        self.standing.is_leaving() && self.pool.is_empty()
    }

    /// Where it listens.
    pub(super) fn listeners(&self) -> &Rc<Listeners> {
        self.workforce.listeners()
    }

    /// From now on its workers are those of other settings; those that serve are replaced.
    pub(super) fn take(&mut self, member: Member) {
        self.speak();
        let worker = told(
            &member.config,
            &member.launch,
            &member.listeners,
            member.shares,
        );
        self.listens = Listening::of(&member.config);
        self.settings = settings(&member.config);
        self.pool.take(self.settings);
        self.banner = Banner::of(&member.config, &member.launch, &member.listeners);
        self.workforce
            .replace(member.launch, member.listeners, worker);
        info!("Its settings have changed.");
        self.renew();
    }

    fn answer_503(&mut self) {
        if self.name.is_some() && !self.standing.is_leaving() {
            self.refusing.get_or_insert_default();
        }
    }

    /// Its last worker has ended.
    fn is_over(&mut self, exit: Exit) {
        self.exit = Some(exit);
        self.is_running = false;
        if self.name.is_none() {
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

    /// How it ended, once it has.
    pub(super) fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// Whether a worker has been ready.
    pub(super) fn is_running(&self) -> bool {
        self.is_running
    }

    /// What it is called.
    fn shown_name(&self) -> &str {
        self.name().unwrap_or(self.workforce.application())
    }

    /// How it is.
    pub(super) fn serving(&self) -> Serving {
        if self.name.is_some()
            && let Some(other) = self.standing.shown()
        {
            return other;
        }
        self.pool.serving()
    }

    /// Whether it may be told to sleep.
    pub(super) fn may_sleep(&self) -> bool {
        self.pool.may_sleep()
    }

    /// How many workers it should have.
    pub(super) fn wanted(&self) -> usize {
        self.pool.wanted()
    }

    /// What an operator is shown of it; weighing its workers takes the kernel a while.
    pub(super) fn status(&self, weighs: bool) -> ApplicationStatus {
        let views = self.pool.views();
        let workers = views.map(|view| self.worker_status(view, weighs));
        ApplicationStatus {
            name: self.shown_name().to_owned(),
            state: self.serving(),
            pss: weighs.then(|| self.workforce.pss()).flatten(),
            deaths: self.deaths,
            places: self.banner.places.clone(),
            workers_wanted: self.wanted(),
            workers: workers.collect(),
            served: self.tally.as_deref().map(record::served),
        }
    }

    fn worker_status(&self, view: View, weighs: bool) -> WorkerStatus {
        let page = self.workforce.page(view.id);
        let now = page.map(|page| Gauges::of(page));
        let weight = || self.workforce.weight(view.id);
        WorkerStatus {
            pid: self.workforce.own_pid(view.id),
            slot: self.workforce.slot(view.id),
            stage: view.stage,
            age: view.since.map(|since| since.elapsed().as_secs_f64()),
            memory: weighs.then(weight).flatten(),
            requests: page.map(|page| record::requests(page)),
            connections: now.map(|now| now.active + now.parked),
            is_stalled: self.stalls(view.id),
        }
    }

    /// Where it is counted from now on.
    pub(super) fn tally(&mut self) -> Arc<Tally> {
        if let Some(tally) = &self.tally {
            return Arc::clone(tally);
        }
        let tally = Arc::new(Tally::new(self.shown_name()));
        self.workforce.count_in(Arc::clone(&tally));
        self.tally = Some(Arc::clone(&tally));
        tally
    }

    /// A worker's figures of this moment, if it counts.
    pub(super) fn gauges(&self, id: WorkerId) -> Option<Gauges> {
        self.workforce.page(id).map(|page| Gauges::of(page))
    }

    /// A worker's process.
    pub(super) fn pid(&self, id: WorkerId) -> i32 {
        self.workforce.pid(id)
    }

    /// A worker is stalled: it logs the stacks of its threads.
    pub(super) fn ask_for_stacks(&self, id: WorkerId, text: String) {
        if let Some(tally) = &self.tally {
            tally.stalled(self.pid(id), text);
        }
        self.workforce.ask_for_stacks(id);
    }

    /// Whether a worker did not come round when it was last looked at.
    pub(super) fn is_stalled(&self) -> bool {
        self.watching.as_ref().is_some_and(Watching::is_any_stalled)
    }

    /// Whether workers are being replaced.
    pub(super) fn is_replacing(&self) -> bool {
        self.pool.is_replacing()
    }

    fn stalls(&self, id: WorkerId) -> bool {
        let watching = self.watching.as_ref();
        watching.is_some_and(|watching| watching.is_stalled(id))
    }

    fn count(&self, notice: Notice) {
        if let Some(tally) = &self.tally {
            record::note(tally, notice, |id| self.workforce.pid(id));
        }
    }

    /// Has the board know which process counts where.
    pub(super) fn tell_tally(&self) {
        let Some(tally) = &self.tally else {
            return;
        };
        for view in self.pool.views() {
            let page = self.workforce.page(view.id);
            if let (Some(page), Some(pid)) = (page, self.workforce.own_pid(view.id)) {
                tally.is_now(page, pid, self.stalls(view.id));
            }
        }
    }

    /// Whether something out of the ordinary was done since the last call.
    pub(super) fn take_unsettled(&mut self) -> bool {
        std::mem::take(&mut self.is_unsettled)
    }

    /// Handles what its workers have said.
    pub(super) fn hear(&mut self) {
        self.speak();
        for (id, message) in self.workforce.heard() {
            let event = match message {
                FromWorker::Ready => {
                    self.is_unsettled = true;
                    self.workforce.adopt_waiting(id);
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
                FromWorker::Preloaded | FromWorker::Forked(_) | FromWorker::Unfit(_) => continue,
            };
            self.on(event);
        }
    }

    /// Handles the end of a process, if it was one of its workers; whether it was.
    pub(super) fn reaped(&mut self, pid: Pid, ending: Ending) -> bool {
        let Some(id) = self.workforce.id(pid) else {
            return false;
        };
        self.speak();
        self.is_unsettled = true;
        self.ended(id, ending);
        true
    }

    /// A process has ended that is no application's worker, as far as is known.
    pub(super) fn stranger_ended(&mut self, pid: Pid, ending: Ending) {
        self.workforce.stranger_ended(pid, ending);
    }

    /// Handles what nobody says: workers that came to nothing, changes of the source, the time.
    pub(super) fn turn(&mut self) {
        self.speak();
        if let Some(refusing) = &mut self.refusing {
            refusing.turn(self.workforce.listeners(), Instant::now());
        }
        let follower = self.follower.as_mut();
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
        let clock = self.clock.as_mut();
        if let Some(is_awake) = clock.and_then(|clock| clock.take(Instant::now())) {
            self.on(Event::Hours(is_awake));
        }
        self.watch();
        self.on(Event::Tick);
        let since = self.swaps_since.take().unwrap_or_else(Instant::now);
        self.swaps_since = self.pool.is_swapping().then_some(since);
        for notice in self.pool.slow_starts(Instant::now()) {
            notice::say(notice, &self.banner, &self.workforce);
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
    pub(super) fn on(&mut self, event: Event) {
        self.speak();
        match event {
            Event::Recycle => self.workforce.import_anew(),
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
            Action::Weigh(id) => return Some(Event::Weighed(id, self.workforce.weigh(id))),
            Action::Say(notice) => {
                self.count(notice);
                if matches!(notice, Notice::Died(..) | Notice::CannotStart(..)) {
                    self.deaths += 1;
                }
                if notice == Notice::Running {
                    self.is_running = true;
                    self.refusing = None;
                }
                notice::say(notice, &self.banner, &self.workforce);
            }
            Action::Exit(exit) => self.is_over(exit),
        }
        None
    }

    /// What to wait on.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let follower = self.follower.as_deref().map(AsFd::as_fd);
        let controls = self.workforce.controls().map(AsFd::as_fd);
        let keeper = self.keeper.as_deref().map(AsFd::as_fd);
        let refusing = self.refusing.iter();
        let refusing = refusing.flat_map(|own| own.sources(self.workforce.listeners()));
        let own = follower.into_iter().chain(keeper);
        own.chain(controls).chain(refusing)
    }

    /// When [`Self::turn`] is due, if nothing else happens.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let follower = self.follower.as_deref().and_then(Follower::due);
        let refusing = self.refusing.as_deref().and_then(Refusing::deadline);
        let always = [follower, refusing];
        // What nothing is done about before it has begun would wake the supervisor without end.
        let begun = self.has_begun().then(|| {
            let keeper = self.keeper.as_deref().and_then(Keeper::next_deadline);
            let clock = self.clock.as_ref().map(Clock::deadline);
            let slow_start = self.pool.next_slow_start();
            let watching = self.watching.as_ref().map(Watching::due);
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

    /// Whether its pool decides; one of several waits for its turn first.
    fn has_begun(&self) -> bool {
        self.name.is_none() || self.standing.is_up() || !self.pool.is_empty()
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        workers: config.workers.get(),
        startup: config.worker_startup,
        grace: config.worker.graceful_shutdown,
        drain_delay: config.worker.drain_delay,
        recycle: config.recycle,
        follows_changes: config.reload.is_some(),
        wake_timeout: config.sleep.wake_timeout,
        keep_template: (config.preload || config.sleep.makes_template)
            .then_some(config.sleep.keep_template),
        serial: next_serial(),
        // Another number in each process: what keeps hash maps unpredictable.
        seed: RandomState::new().hash_one(()),
    }
}

fn next_serial() -> u32 {
    POOLS.fetch_add(1, Ordering::Relaxed)
}
