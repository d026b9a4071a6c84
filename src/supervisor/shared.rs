//! A template that several applications are forked from: those of one Python, its packages and one user.
//!
//! It has imported what [`super::sharing`] finds common, in an environment and a directory that are no
//! application's; a worker takes on its own after the fork. As with `--reload`, no worker depends on it: one
//! that it does not fork, because it is not ready, has died, or finds that a file it has
//! imported has changed, is started without it.

use std::cell::RefCell;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tracing::{debug, error, info};

use super::pool::WorkerId;
use super::sharing::Sharing;
use super::template::{Outcome, Purpose, Template};
use super::warm::{Own, Warm};
use crate::config::{
    ApplicationSettings, HttpSettings, LogSettings, ServerSettings, StartFacts, WorkerConfig,
};
use crate::control::{Imported, SupervisorEnd, ToWorker, Unfit};
use crate::launch::Launch;
use crate::sys::process::Ending;
use crate::sys::user::User;
use crate::telemetry;

/// How long applications wait for the first template. Then they are started without it: one of the
/// first two hangs, or has a slow start.
const PATIENCE: Duration = Duration::from_secs(30);

/// So many applications are started to learn from.
const PIONEERS: usize = 2;

/// Variables that Python, the C library or the dynamic linker read when a process begins; a worker
/// whose application sets one cannot be forked.
const READ_AT_START: [&str; 6] = ["PYTHON", "LD_", "MALLOC_", "GLIBC_", "LC_", "LANG"];

/// The properties that applications must share to be forked from the same template.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    python: PathBuf,
    user: Option<User>,
    lazy_imports: Vec<String>,
    gc_freeze: bool,
    merges_pages: bool,
    log: LogSettings,
}

/// A template, and the applications that it is for.
#[derive(Debug)]
pub(super) struct Shared {
    key: Key,
    launch: Launch,
    sharing: Sharing,
    warm: Warm,
    template: Option<Template>,
    /// The applications that have been started without it.
    pioneers: Vec<u32>,
    /// Applications wait for it until then.
    patience: Option<Instant>,
    /// How often its contents were another.
    generation: u32,
    is_ready: bool,
    /// Workers that a template was asked for before it was replaced.
    declined: Vec<WorkerId>,
}

/// As the workforces of its applications have it.
pub(super) type SharedTemplate = Rc<RefCell<Shared>>;

/// Whether an application may be forked from a template that it shares.
pub(super) fn may_share(worker: &WorkerConfig, launch: &Launch) -> bool {
    let is_plain = |name: &str| !READ_AT_START.iter().any(|begin| name.starts_with(begin));
    let is_plain = |(name, _): &(String, String)| is_plain(name) && name != "TZ";
    launch.package.is_some()
        && worker.diagnosis.growth.is_none()
        && worker.diagnosis.imports_report.is_none()
        && launch.variables.iter().all(is_plain)
}

impl Key {
    fn of(worker: &WorkerConfig, launch: &Launch) -> Self {
        Self {
            python: launch.environment.python.clone(),
            user: launch.user.clone(),
            lazy_imports: worker.application.lazy_imports.clone(),
            gc_freeze: worker.application.gc_freeze,
            merges_pages: worker.application.merges_pages,
            log: LogSettings {
                application: None,
                ..worker.log.clone()
            },
        }
    }
}

impl Shared {
    pub(super) fn of(worker: &WorkerConfig, launch: &Launch) -> Self {
        let key = Key::of(worker, launch);
        let user = launch.user.as_ref().map(|_| ["HOME", "USER", "LOGNAME"]);
        let is_users = |name: &str| user.is_some_and(|own| own.contains(&name));
        let mut launch = launch.clone();
        launch.variables.retain(|(name, _)| is_users(name));
        launch.directory = Some("/".into());
        let blank = WorkerConfig {
            application: ApplicationSettings {
                path: String::new(),
                directory: "/".into(),
                argv: Vec::new(),
                isolated_template: Vec::new(),
                ..worker.application.clone()
            },
            server: ServerSettings {
                http: HttpSettings {
                    headers: Vec::new(),
                    ..worker.server.http.clone()
                },
                tls: None,
                mounts: Vec::new(),
                ..worker.server.clone()
            },
            start: StartFacts {
                place: None,
                ..worker.start.clone()
            },
            log: key.log.clone(),
            ..worker.clone()
        };
        Self {
            key,
            launch,
            sharing: Sharing::default(),
            warm: Warm::new(Own::Applications(Vec::new()), blank),
            template: None,
            pioneers: Vec::new(),
            patience: None,
            generation: 0,
            is_ready: false,
            declined: Vec::new(),
        }
    }

    /// Whether it is for such an application.
    pub(super) fn is_for(&self, worker: &WorkerConfig, launch: &Launch) -> bool {
        self.key == Key::of(worker, launch)
    }

    pub(super) fn join(&mut self, application: u32, own: Vec<PathBuf>) {
        self.sharing.join(application, own);
        self.warm.owned_by(Own::Applications(self.sharing.own()));
    }

    pub(super) fn leave(&mut self, application: u32) {
        self.sharing.leave(application);
        self.pioneers.retain(|own| *own != application);
    }

    /// Whether no application shares it.
    pub(super) fn is_alone(&self) -> bool {
        self.sharing.members() == 0
    }

    /// Whether this application may start now; it waits while the first template is made.
    pub(super) fn admits(&mut self, application: u32, now: Instant) -> bool {
        let is_worth_waiting = self.sharing.members() > PIONEERS && self.generation <= 1;
        if self.is_ready || !is_worth_waiting || self.warm.has_given_up() {
            return true;
        }
        if self.pioneers.len() < PIONEERS || self.pioneers.contains(&application) {
            self.pioneers.push(application);
            self.patience.get_or_insert(now + PATIENCE);
            return true;
        }
        self.patience.is_some_and(|until| until <= now)
    }

    /// When [`Self::admits`] changes, if nothing else happens.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.patience.filter(|until| *until > now && !self.is_ready)
    }

    /// The generation that its workers should have been forked from; 0 while there is none.
    pub(super) fn generation(&self) -> u32 {
        if self.is_ready { self.generation } else { 0 }
    }

    /// Has it fork a worker, if it is ready.
    pub(super) fn fork(&mut self, id: WorkerId) -> Option<SupervisorEnd> {
        let template = self.template.as_mut().filter(|own| own.should_fork())?;
        template.want(&self.launch, id).ok()?;
        let asked = template.ask().pop();
        if asked.is_none() {
            template.forget(id);
        }
        asked.map(|(_, control)| control)
    }

    /// Asks it for the process of a run, if it is ready.
    pub(super) fn fork_run(&self, descriptors: &[BorrowedFd<'_>]) -> bool {
        let template = self.template.as_ref();
        template.is_some_and(|own| own.fork_run(descriptors))
    }

    /// A worker is wanted no more.
    pub(super) fn forget(&mut self, id: WorkerId) {
        if let Some(template) = &mut self.template {
            template.forget(id);
        }
    }

    /// A worker has told what it has imported.
    pub(super) fn reported(&mut self, application: u32, imported: Imported) {
        self.sharing.told(application, imported);
        if let Some((merged, is_more)) = self.sharing.next(self.template.is_none()) {
            self.generation += u32::from(is_more);
            let next = self.warm.reported(merged);
            self.make(next);
        }
    }

    fn make(&mut self, first: Option<ToWorker>) {
        let Some(first) = first else {
            return;
        };
        if let Some(old) = self.template.take() {
            self.declined.extend(old.retire());
        }
        let mut template = Template::new(first, Purpose::Learned);
        match template.start(&self.launch) {
            Ok(()) => {
                self.is_ready = false;
                self.template = Some(template);
            }
            Err(reason) => error!("Cannot start a template: {reason}"),
        }
    }

    /// The outcomes that it has reported since the last call.
    pub(super) fn heard(&mut self) -> Vec<Outcome> {
        let Some(template) = &mut self.template else {
            return Vec::new();
        };
        let heard = template.heard();
        if template.should_fork() && !self.is_ready {
            self.is_ready = true;
            debug!("A template of {} is ready", self.key.python.display());
        }
        let mut outcomes = Vec::new();
        for outcome in heard {
            match outcome {
                Outcome::Unfit(unfit) => self.unfit(&unfit),
                other => outcomes.push(other),
            }
        }
        outcomes.extend(self.declined.drain(..).map(Outcome::Declined));
        outcomes
    }

    fn unfit(&mut self, unfit: &Unfit) {
        telemetry::name_lines(None);
        if let Some(module) = &unfit.module {
            info!(
                "The template of {} is made without {module}: {}",
                self.key.python.display(),
                unfit.why
            );
        }
        let next = self.warm.unfit(unfit);
        self.make(next);
    }

    /// A process has ended; if it was this one, the workers that it was asked for have none.
    pub(super) fn ended(&mut self, pid: Pid, ending: Ending) -> Option<Vec<Outcome>> {
        let template = self.template.as_mut()?;
        let was_ready = template.should_fork();
        let outcomes = template.ended(&self.launch, pid, ending)?;
        self.template = None;
        self.is_ready = false;
        self.warm.lost(was_ready);
        Some(outcomes)
    }

    /// The socket to wait on.
    pub(super) fn control(&self) -> Option<&SupervisorEnd> {
        self.template.as_ref().and_then(Template::control)
    }
}
