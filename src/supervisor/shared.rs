//! A template that several applications are forked from: those of one environment and one user; or those of
//! one Python, with environments of their own, which have only the standard library in common.
//!
//! It has imported what [`super::sharing`] finds common, in an environment and a directory that are no
//! application's; a worker takes on its own after the fork. As with `--reload`, no worker depends on it: one
//! that it does not fork, because it is not ready, has died, or finds that a file it has
//! imported has changed, is started without it.

mod key;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tracing::{debug, error, info};

use self::key::Key;
pub(super) use self::key::{Origin, base, may_share};
use super::pool::WorkerId;
use super::sharing::{self, Sharing};
use super::template::{Outcome, Purpose, Template};
use super::warm::{Own, Warm};
use crate::config::{ApplicationSettings, HttpSettings, ServerSettings, StartFacts, WorkerConfig};
use crate::control::{Imported, SupervisorEnd, ToWorker, Unfit};
use crate::environment::Environment;
use crate::launch::Launch;
use crate::sys::process::Ending;
use crate::telemetry;

/// How long applications wait for the first template. Then they are started without it: one of the
/// first two hangs, or has a slow start.
const PATIENCE: Duration = Duration::from_secs(30);

/// So many applications are started to learn from.
const PIONEERS: usize = 2;

/// Each template has another number, so that an application may change from one to another.
static GENERATIONS: AtomicU32 = AtomicU32::new(0);

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
    guests: BTreeMap<u32, Guest>,
    /// How many templates with other contents there have been.
    made: u32,
}

/// An application that shares a template.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    /// Its own modules are below these.
    pub own: Vec<PathBuf>,
    /// The first entry of its `sys.path`.
    pub first: PathBuf,
    pub environment: Environment,
    /// Why it is not forked from the present template.
    pub unfit: Option<String>,
}

/// As the workforces of its applications have it.
pub(super) type SharedTemplate = Rc<RefCell<Shared>>;

impl Shared {
    pub(super) fn of(origin: Origin, worker: &WorkerConfig, launch: &Launch) -> Self {
        let is_of_python = matches!(origin, Origin::Python(_));
        let key = Key::of(origin, worker, launch);
        let user = launch.user.as_ref().map(|_| ["HOME", "USER", "LOGNAME"]);
        let is_users = |name: &str| user.is_some_and(|own| own.contains(&name));
        let mut launch = launch.clone();
        launch.variables.retain(|(name, _)| is_users(name));
        launch.directory = Some("/".into());
        launch.without_site = is_of_python;
        let blank = WorkerConfig {
            application: ApplicationSettings {
                path: String::new(),
                directory: "/".into(),
                argv: Vec::new(),
                isolated_template: Vec::new(),
                // What it has is in memory once, so that nothing in it need wait.
                lazy_imports: Vec::new(),
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
            sharing: if is_of_python {
                Sharing::of_python()
            } else {
                Sharing::default()
            },
            warm: Warm::new(Own::AllOthers, blank),
            template: None,
            pioneers: Vec::new(),
            patience: None,
            generation: 0,
            is_ready: false,
            declined: Vec::new(),
            guests: BTreeMap::new(),
            made: 0,
        }
    }

    /// Whether it is for such an application.
    pub(super) fn is_for(&self, origin: &Origin, worker: &WorkerConfig, launch: &Launch) -> bool {
        self.key == Key::of(origin.clone(), worker, launch)
    }

    pub(super) fn join(&mut self, application: u32, guest: Guest) {
        self.sharing.join(application, guest.own.clone());
        self.guests.insert(application, guest);
        if !self.is_of_python() {
            self.warm.owned_by(Own::Applications(self.sharing.own()));
        }
        self.look_at(application);
    }

    pub(super) fn leave(&mut self, application: u32) {
        self.sharing.leave(application);
        self.guests.remove(&application);
        self.pioneers.retain(|own| *own != application);
        if self.guests.is_empty() {
            // Its workers, if there are any, are started without it.
            self.declined
                .extend(self.template.take().into_iter().flat_map(Template::retire));
            self.is_ready = false;
        }
    }

    /// Whether it is worth to be forked from: others are, too, or were.
    pub(super) fn is_worthwhile(&self) -> bool {
        self.guests.len() > 1 || self.template.is_some()
    }

    /// Whether it is being made.
    pub(super) fn is_making(&self) -> bool {
        self.template.is_some() && !self.is_ready
    }

    fn is_of_python(&self) -> bool {
        matches!(self.key.origin, Origin::Python(_))
    }

    /// Finds out whether an application would be another than without the template.
    fn look_at(&mut self, application: u32) {
        let mut packages = self.warm.packages();
        packages.extend(self.template.iter().flat_map(Template::packages));
        let Some(guest) = self.guests.get(&application) else {
            return;
        };
        let shadow = || {
            let file = sharing::shadowing(&guest.first, &packages)?;
            Some(format!(
                "{} stands before the module of this name",
                file.display()
            ))
        };
        let other = || {
            let name = self.sharing.other(application, &packages)?;
            Some(format!("it has a module {name} of its own"))
        };
        let odd = || match &self.key.origin {
            Origin::Environment(_) => None,
            Origin::Python(base) => match guest.environment.base() {
                Ok(own) if own == *base => None,
                Ok(_) => Some("its environment is of another Python now".to_owned()),
                Err(odd) => Some(odd),
            },
        };
        let unfit = shadow().or_else(other).or_else(odd);
        if let Some(guest) = self.guests.get_mut(&application) {
            guest.unfit = unfit;
        }
    }

    /// Whether an application may be forked from it now; the log says why not.
    fn is_fit(&mut self, application: u32) -> bool {
        self.look_at(application);
        let unfit = self.guests.get(&application);
        let unfit = unfit.and_then(|guest| guest.unfit.as_deref());
        if let Some(why) = unfit {
            info!("Not forked from the template of {}: {why}", self.key.origin);
        }
        unfit.is_none()
    }

    /// Whether this application may start now; it waits while the first template is made.
    pub(super) fn admits(&mut self, application: u32, now: Instant) -> bool {
        let is_worth_waiting = self.sharing.members() > PIONEERS && self.made <= 1;
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

    /// The generation that an application's workers should have been forked from; 0 while there is none.
    pub(super) fn generation(&self, application: u32) -> u32 {
        let guest = self.guests.get(&application);
        let is_fit = guest.is_some_and(|guest| guest.unfit.is_none());
        if self.is_ready && is_fit {
            self.generation
        } else {
            0
        }
    }

    /// The modules that it has, if it is ready.
    pub(super) fn contents(&self) -> Option<Imported> {
        self.is_ready.then(|| self.sharing.listed())
    }

    /// Has it fork a worker, if it is ready.
    pub(super) fn fork(&mut self, application: u32, id: WorkerId) -> Option<SupervisorEnd> {
        if !self.is_ready || !self.is_fit(application) {
            return None;
        }
        let template = self.template.as_mut().filter(|own| own.should_fork())?;
        template.want(&self.launch, id).ok()?;
        let asked = template.ask().pop();
        if asked.is_none() {
            template.forget(id);
        }
        asked.map(|(_, control)| control)
    }

    /// Asks it for the process of a run, if it is ready.
    pub(super) fn fork_run(&mut self, application: u32, descriptors: &[BorrowedFd<'_>]) -> bool {
        if !self.is_ready || !self.is_fit(application) {
            return false;
        }
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
            if is_more {
                self.made += 1;
                self.generation = GENERATIONS.fetch_add(1, Ordering::Relaxed) + 1;
            }
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
        // Of environments any will do, as long as it is there.
        if let Some(guest) = self.guests.values().find(|own| own.unfit.is_none()) {
            self.launch.environment = guest.environment.clone();
        }
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
            debug!("A template of {} is ready", self.key.origin);
            let guests: Vec<u32> = self.guests.keys().copied().collect();
            guests.into_iter().for_each(|own| self.look_at(own));
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
            let more = unfit.raised.len().saturating_sub(1);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            info!(
                "The template of {} is made without {module}{more}: {}",
                self.key.origin, unfit.why
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
