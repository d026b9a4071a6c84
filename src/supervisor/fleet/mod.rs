//! Several applications under one supervisor: which there are, by their files, and which of them may
//! start now.
//!
//! The files are read again when one of them changes and with SIGHUP. Mistakes in a file are logged,
//! and what was read from it before stays in effect. Starts, recycling among them, are limited to the
//! number of processors at a time.

mod changed;
mod files;
mod routing;
mod templates;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use tracing::error;

use self::files::Files;
use self::routing::Routing;
use super::application::Application;
use super::follower::Reread;
use super::pool::{Event, Reason};
use super::shared::SharedTemplate;
use super::{Member, Supervisor, Work};
use crate::config;
use crate::jobs::Settings;
use crate::launch::Launch;
use crate::net::Listeners;
use crate::telemetry;

/// After so long an application that could not be prepared (its Python or its place is missing) is
/// tried again.
const PREPARE_AGAIN: Duration = Duration::from_secs(30);

/// Where the applications and what starts them come from.
pub trait Catalog {
    /// Reads all files again; an error is what keeps the settings file from being used.
    fn read(&self) -> Result<config::Fleet, String>;

    /// The parts that run these jobs, which are no application's, or why they cannot be had.
    fn work(&self, jobs: &Settings) -> Result<Work, String>;

    /// The parts that start an application's workers, or why they cannot be had.
    fn launch(&self, application: &config::Application) -> Result<Launch, String>;
}

/// The facts that all applications have in common.
pub(super) struct Fleet<'a> {
    catalog: &'a dyn Catalog,
    reread: &'a Reread<'a>,
    files: Files,
    /// The settings in effect.
    known: Vec<config::Application>,
    /// Jobs that are no application's.
    own_jobs: Settings,
    /// Applications that could not be prepared, and when they are tried again.
    unprepared: Vec<(config::Application, Instant)>,
    /// The templates that they share.
    pub templates: Vec<SharedTemplate>,
    /// How much memory all of them together may take.
    pub memory_budget: Option<config::MemoryBudget>,
    /// How many have ever joined one.
    joined: u32,
    /// The places that applications share by hosts and paths.
    routing: Routing,
    /// The whole server should end.
    pub is_stopping: bool,
    /// The files have just been read.
    is_unsettled: bool,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(
        fleet: &config::Fleet,
        catalog: &'a dyn Catalog,
        reread: &'a Reread<'a>,
    ) -> io::Result<Self> {
        Ok(Self {
            catalog,
            reread,
            files: Files::of(fleet)?,
            known: fleet.applications.clone(),
            own_jobs: fleet.jobs.clone(),
            unprepared: Vec::new(),
            templates: Vec::new(),
            memory_budget: fleet.memory_budget,
            joined: 0,
            routing: Routing::open(fleet.shared.as_ref())?,
            is_stopping: false,
            is_unsettled: true,
        })
    }

    /// Prepares an application; why that was not possible has been told.
    fn prepare(
        &mut self,
        application: &config::Application,
        open: Option<&Rc<Listeners>>,
    ) -> Option<Member> {
        telemetry::name_lines(Some(application.name.as_str().into()));
        match self.member(application, open) {
            Ok(member) => Some(member),
            Err(why) => {
                let seconds = PREPARE_AGAIN.as_secs();
                error!("It cannot be started: {why}; trying again in {seconds} s.");
                let again = Instant::now() + PREPARE_AGAIN;
                self.unprepared.push((application.clone(), again));
                None
            }
        }
    }

    fn member(
        &self,
        application: &config::Application,
        open: Option<&Rc<Listeners>>,
    ) -> Result<Member, String> {
        let config = &application.config;
        let launch = self.catalog.launch(application)?;
        let listeners = match open {
            Some(open) => Rc::clone(open),
            None => {
                let opened = Listeners::open(&config.listen, config.uds_mode, config.backlog);
                Rc::new(opened.map_err(|error| error.to_string())?)
            }
        };
        Ok(Member {
            name: Some(application.name.clone()),
            shares: application.shares,
            directory: application.directory.clone(),
            config: config.clone(),
            launch,
            listeners,
        })
    }
}

impl<'a> Supervisor<'a> {
    /// Does what is due for the applications together.
    pub(super) fn turn_fleet(&mut self) {
        let now = Instant::now();
        self.drop_ended();
        let Some(fleet) = &mut self.fleet else {
            return;
        };
        if fleet.is_stopping {
            return;
        }
        let applications = self.applications.iter_mut();
        applications.for_each(Application::choose_template);
        fleet.drop_templates();
        if fleet.files.changed(now) {
            self.read_files();
        }
        self.prepare_again(now);
        self.applications
            .iter_mut()
            .for_each(Application::follow_template);
        self.start_due(now);
    }

    /// Adds the applications that there are at the start.
    pub(super) fn add_known(&mut self) -> io::Result<()> {
        let known = self.fleet.as_ref().map(|fleet| fleet.known.clone());
        for application in known.unwrap_or_default() {
            self.add(&application)?;
        }
        self.route();
        Ok(())
    }

    /// Runs the jobs that are no application's.
    pub(super) fn put_own_jobs(&mut self, jobs: &Settings) {
        telemetry::name_lines(None);
        let Some(fleet) = &self.fleet else {
            return;
        };
        match fleet.catalog.work(jobs) {
            Ok(work) => self.jobs.put(None, work),
            Err(_) if jobs.is_empty() => {}
            Err(why) => error!("Jobs cannot be run: {why}"),
        }
    }

    /// Only the jobs of an application have changed: its workers know nothing of them.
    fn take_jobs(&mut self, application: &config::Application) {
        let mut served = self.applications.iter();
        let served = served.find(|own| own.is_named(&application.name));
        let open = served.map(|own| Rc::clone(own.listeners()));
        let (Some(fleet), Some(open)) = (&mut self.fleet, open) else {
            return self.put(application);
        };
        if let Some(member) = fleet.prepare(application, Some(&open)) {
            self.put_jobs(&member);
        }
    }

    fn put_jobs(&mut self, member: &Member) {
        let work = Work {
            config: member.config.clone(),
            launch: member.launch.clone(),
        };
        self.jobs.put(member.name.as_deref(), work);
        telemetry::name_lines(member.name.as_deref().map(Into::into));
    }

    fn add(&mut self, application: &config::Application) -> io::Result<()> {
        let Some(fleet) = &mut self.fleet else {
            return Ok(());
        };
        if let Some(member) = fleet.prepare(application, None) {
            let (reread, sharer) = (fleet.reread, fleet.sharer(&member));
            self.put_jobs(&member);
            let mut added = Application::new(member, reread)?;
            added.share(sharer);
            if self.monitored.is_some() {
                added.count();
            }
            self.applications.push(added);
        }
        Ok(())
    }

    /// Starts, and recycles, as many as there are processors.
    fn start_due(&mut self, now: Instant) {
        let most = thread::available_parallelism().map_or(1, usize::from);
        let busy = self.applications.iter().filter(|own| own.is_busy(now));
        let mut room = most.saturating_sub(busy.count());
        // Applications that should be awake come first, while there is memory for them.
        let (awake, others): (Vec<_>, Vec<_>) = self
            .applications
            .iter_mut()
            .partition(|own| own.begins_awake());
        for application in awake.into_iter().chain(others) {
            if room == 0 {
                return;
            }
            if application.wants_to_start(now) && !application.is_busy(now) {
                let budget = self.budgeting.as_mut();
                if let Some(budget) = budget.filter(|_| !application.begins_asleep()) {
                    match budget.fits(application.key(), now) {
                        None => continue,
                        Some(false) if !application.begins_awake() => application.begin_asleep(),
                        _ => budget.starts(application.key(), now),
                    }
                }
                room -= usize::from(!application.begins_asleep());
                application.start();
            }
        }
    }

    fn prepare_again(&mut self, now: Instant) {
        let Some(fleet) = &mut self.fleet else {
            return;
        };
        let unprepared = std::mem::take(&mut fleet.unprepared);
        let (due, later): (Vec<_>, Vec<_>) =
            unprepared.into_iter().partition(|(_, again)| *again <= now);
        fleet.unprepared = later;
        let is_any = !due.is_empty();
        for (application, _) in due {
            self.put(&application);
        }
        if is_any {
            self.route();
        }
    }

    /// An application that is not about to go.
    pub(super) fn named(&mut self, name: &str) -> Option<&mut Application<'a>> {
        let mut applications = self.applications.iter_mut();
        applications.find(|own| own.is_named(name))
    }

    /// A signal: what it means to applications that share a server.
    pub(super) fn tell_fleet(&mut self, event: Event) {
        let is_stop = matches!(event, Event::Stop | Event::Interrupt | Event::StopNow);
        if event == Event::Recycle {
            self.read_files();
            let applications = self.applications.iter_mut();
            applications.for_each(|own| own.renew(Reason::Signal));
            return;
        }
        for application in &mut self.applications {
            if is_stop {
                application.leave_with(event);
            } else {
                application.on(event);
            }
        }
        if let Some(fleet) = &mut self.fleet {
            fleet.is_stopping |= is_stop;
        }
    }
}

impl Fleet<'_> {
    /// Whether the files have been read since the last call, which takes memory that is not needed to wait.
    pub(super) fn take_unsettled(&mut self) -> bool {
        std::mem::take(&mut self.is_unsettled)
    }

    /// The descriptors to wait on; nothing is read any more once the server ends.
    pub(super) fn source(&self) -> Option<BorrowedFd<'_>> {
        (!self.is_stopping).then(|| self.files.as_fd())
    }

    /// When [`Supervisor::turn_fleet`] has something to do, if nothing else happens.
    pub(super) fn deadline(&self, applications: &[Application<'_>]) -> Option<Instant> {
        if self.is_stopping {
            return None;
        }
        let now = Instant::now();
        let standing = applications.iter();
        let standing = standing.filter_map(|own| own.standing_deadline(now));
        let unprepared = self.unprepared.iter().map(|(_, again)| *again);
        let templates = self.templates.iter();
        let templates = templates.filter_map(|own| own.borrow().deadline(now));
        let files = self.files.due();
        standing
            .chain(unprepared)
            .chain(templates)
            .chain(files)
            .min()
    }
}
