//! The supervisor: one thread that starts, watches, replaces and stops workers.
//!
//! It knows no Python and no HTTP. [`pool`] decides, as a pure function of what happens and when;
//! this loop waits for what happens and does what was decided. As process 1 of a container it also
//! reaps whatever orphans it inherits.

mod answers;
mod changes;
mod notice;
mod operator;
pub mod pool;
mod restart;
mod signals;
mod template;
mod warm;
mod workforce;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Pid;
use tracing::{error, warn};

use self::changes::Changes;
use self::notice::{Banner, Parent};
use self::operator::Operator;
use self::pool::{Action, Event, Pool, Settings, WorkerId};
use self::signals::Signals;
use self::warm::Warm;
use self::workforce::{Source, Workforce};
use crate::config::{Config, WorkerConfig};
use crate::control::{FromWorker, ToWorker};
use crate::exit::Exit;
use crate::launch::Launch;
use crate::net::Listeners;
use crate::sys::process::{self, Ending};
use crate::sys::startup;

/// Reads all settings again; the text is for the operator.
pub type Reread<'a> = dyn Fn() -> Result<Config, String> + 'a;

/// Serves until it is told to stop or cannot go on.
pub fn run(
    config: &Config,
    launch: &Launch,
    listeners: &Listeners,
    reread: &Reread<'_>,
) -> io::Result<Exit> {
    let worker = told(config, launch, listeners);
    let source = match &config.reload {
        _ if config.preload => Source::Preload,
        Some(reload) if worker.tells_imports => Source::Reload(Box::new(Warm::of(reload, &worker))),
        _ => Source::Start,
    };
    let changes = config.reload.as_ref().map(Changes::of).transpose()?;
    if let Some(changes) = &changes {
        Banner::watching(&changes.directories());
    }
    let mut supervisor = Supervisor {
        pool: Pool::new(Settings {
            workers: config.workers.get(),
            startup: config.worker_startup,
            grace: config.worker.graceful_shutdown,
            drain_delay: config.worker.drain_delay,
            recycle: config.recycle,
            follows_changes: changes.is_some(),
            seed: seed(),
        }),
        signals: Signals::install()?,
        workforce: Workforce::new(launch, listeners, worker, source)?,
        banner: banner(config, launch, listeners),
        follower: changes.map(|changes| {
            Box::new(Follower {
                changes,
                config: config.clone(),
                reread,
            })
        }),
        is_unsettled: false,
        operator: Operator::open(config.operator.as_ref())?,
        began: Instant::now(),
    };
    supervisor.serve()
}

/// What a worker is told, with what only the supervisor knows.
fn told(config: &Config, launch: &Launch, listeners: &Listeners) -> WorkerConfig {
    WorkerConfig {
        listeners: listeners.kinds(),
        package: launch.package.clone(),
        tells_imports: config.reload.is_some() && !config.preload && launch.package.is_some(),
        ..config.worker.clone()
    }
}

fn banner(config: &Config, launch: &Launch, listeners: &Listeners) -> Banner {
    Banner {
        places: listeners.places(config.worker.scheme()),
        facts: facts(config, launch),
        parent: match (&config.reload, config.workers.get()) {
            (Some(_), _) => Parent::Reloader,
            (None, 1) => Parent::Silent,
            (None, _) => Parent::OfWorkers,
        },
    }
}

/// `CPython 3.11, loop auto, 2 workers`
fn facts(config: &Config, launch: &Launch) -> String {
    let version = launch.environment.version;
    let workers = match config.workers.get() {
        1 => "1 worker".to_owned(),
        several => format!("{several} workers"),
    };
    format!(
        "CPython {version}, loop {}, {workers}",
        config.worker.event_loop
    )
}

/// Another number in each process: what keeps hash maps unpredictable.
fn seed() -> u64 {
    RandomState::new().hash_one(())
}

struct Supervisor<'a> {
    pool: Pool,
    signals: Signals,
    workforce: Workforce<'a>,
    banner: Banner,
    /// What follows changes, with `--reload`.
    follower: Option<Box<Follower<'a>>>,
    /// Something out of the ordinary has just been done.
    is_unsettled: bool,
    /// Where operators ask, if they may.
    operator: Option<Operator>,
    began: Instant,
}

/// `--reload`.
struct Follower<'a> {
    changes: Changes,
    /// The settings in effect.
    config: Config,
    reread: &'a Reread<'a>,
}

impl Supervisor<'_> {
    fn serve(&mut self) -> io::Result<Exit> {
        loop {
            if let Some(exit) = self.turn() {
                self.banner.stopped();
                return Ok(exit);
            }
            // A start, its own too, or a swap is over: what that took is not needed to wait.
            if std::mem::take(&mut self.is_unsettled) {
                startup::forget_own();
            }
            self.wait()?;
        }
    }

    /// Handles everything that has happened, a worker's last words before its end.
    fn turn(&mut self) -> Option<Exit> {
        if let Some(exit) = self.hear_signals() {
            return Some(exit);
        }
        // Reaped before the sockets are read: by now everything that the dead have said is in them.
        let ended: Vec<_> = std::iter::from_fn(process::reap).collect();
        self.hear_workers()
            .or_else(|| self.bury(ended))
            .or_else(|| self.hear_operator())
            .or_else(|| self.follow_changes())
            .or_else(|| self.on(Event::Tick))
    }

    fn hear_signals(&mut self) -> Option<Exit> {
        for arrived in self.signals.take() {
            if matches!(
                arrived.event,
                Event::Stop | Event::Interrupt | Event::StopNow
            ) {
                self.banner.stopping(arrived.number);
            }
            if let Some(exit) = self.on(arrived.event) {
                return Some(exit);
            }
        }
        None
    }

    fn hear_workers(&mut self) -> Option<Exit> {
        for (id, message) in self.workforce.heard() {
            let event = match message {
                FromWorker::Ready => {
                    self.is_unsettled = true;
                    self.workforce.adopt_waiting(id);
                    Event::Ready(id)
                }
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
            if let Some(exit) = self.on(event) {
                return Some(exit);
            }
        }
        None
    }

    /// Handles the ends of processes, and of workers that never had one.
    fn bury(&mut self, ended: Vec<(Pid, Ending)>) -> Option<Exit> {
        for (pid, ending) in ended {
            // Otherwise it was an orphan, which process 1 has to reap.
            let Some(id) = self.workforce.id(pid) else {
                self.workforce.stranger_ended(pid, ending);
                continue;
            };
            self.is_unsettled = true;
            if let Some(exit) = self.ended(id, ending) {
                return Some(exit);
            }
        }
        while let Some((id, ending)) = self.workforce.lost() {
            if let Some(exit) = self.ended(id, ending) {
                return Some(exit);
            }
        }
        None
    }

    fn ended(&mut self, id: WorkerId, ending: Ending) -> Option<Exit> {
        let exit = self.on(Event::Ended(id, ending));
        // Only now: the notices show its pid.
        self.workforce.forget(id);
        exit
    }

    fn follow_changes(&mut self) -> Option<Exit> {
        let changed = self.follower.as_mut()?.changes.take(Instant::now())?;
        let has_settings = changed.has_settings && self.take_settings(&changed.files);
        if !changed.has_source && !has_settings {
            return None;
        }
        warn!(
            "inotify detected changes in {}. Reloading...",
            changed.files
        );
        self.on(Event::Changed)
    }

    /// Reads the settings again; whether the next worker has others than the one that serves.
    fn take_settings(&mut self, files: &str) -> bool {
        let Some(follower) = &mut self.follower else {
            return false;
        };
        let new = match (follower.reread)() {
            Ok(new) => new,
            Err(wrong) => {
                error!("The settings stay as they were, because {files} cannot be used:\n{wrong}");
                return false;
            }
        };
        let old = &mut follower.config;
        if !old.is_like_but_for_workers(&new) {
            warn!("Some settings in {files} take effect with a restart of the server only.");
        }
        if old.worker == new.worker && old.environment == new.environment {
            return false;
        }
        old.worker = new.worker;
        old.environment = new.environment;
        self.workforce.take(old);
        true
    }

    /// Tells the pool and does what it says.
    fn on(&mut self, event: Event) -> Option<Exit> {
        match event {
            Event::Recycle => self.workforce.import_anew(),
            Event::Changed => self.workforce.source_changed(),
            _ => {}
        }
        let mut actions = VecDeque::from(self.pool.on(event, Instant::now()));
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Spawn(id) => {
                    if let Err(reason) = self.workforce.spawn(id) {
                        error!("Cannot start a worker: {reason}");
                        actions.extend(self.pool.on(Event::NotStarted(id), Instant::now()));
                    }
                }
                Action::WindDown(id, within) => {
                    self.workforce.tell(id, &ToWorker::WindDown(within));
                }
                Action::Drain(id, drain) => self.workforce.tell(id, &ToWorker::Drain(drain)),
                Action::HandOver(old, new, drain) => self.workforce.hand_over(old, new, drain),
                Action::Quit(id) => self.workforce.end(id, &ToWorker::Quit),
                Action::Leave(id) => self.workforce.end(id, &ToWorker::Leave),
                Action::Kill(id) => self.workforce.kill(id),
                Action::Weigh(id) => {
                    let weighing = self.workforce.weigh(id);
                    actions.extend(self.pool.on(Event::Weighed(id, weighing), Instant::now()));
                }
                Action::Say(notice) => notice::say(notice, &self.banner, &self.workforce),
                Action::Exit(exit) => return Some(exit),
            }
        }
        None
    }

    /// Sleeps until something happens or a deadline comes.
    fn wait(&self) -> io::Result<()> {
        let controls = self.workforce.controls();
        let changes = self.follower.as_ref().map(|follower| &follower.changes);
        let sources = std::iter::once(self.signals.as_fd())
            .chain(changes.map(AsFd::as_fd))
            .chain(controls.map(AsFd::as_fd));
        let mut sources: Vec<_> = sources
            .map(|fd| (fd, PollFlags::IN))
            .chain(self.operator.iter().flat_map(Operator::sources))
            .map(|(fd, events)| PollFd::from_borrowed_fd(fd, events))
            .collect();
        let deadlines = [
            self.pool.next_deadline(),
            changes.and_then(Changes::due),
            self.operator.as_ref().and_then(Operator::deadline),
        ];
        let next = deadlines.into_iter().flatten().min();
        let left = next.map(|due| due.saturating_duration_since(Instant::now()));
        // A time too long for the kernel is as good as none.
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut sources, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
