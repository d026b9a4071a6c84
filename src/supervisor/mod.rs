//! The supervisor: one thread that starts, watches, replaces and stops the workers of applications.
//!
//! It knows no Python and no HTTP. For each [`application`], [`pool`] decides, as a pure function of
//! what happens and when; this loop waits for what happens and hands it to the application that it
//! is about. One application on the command line is a fleet of one. As process 1 of a container the
//! supervisor also reaps the orphans that it inherits.

mod answers;
mod application;
mod asleep;
mod budget;
mod budgeting;
mod changes;
mod fleet;
mod follower;
mod hours;
mod isolated;
mod jobs;
mod keeping;
mod monitored;
mod notice;
mod operator;
pub mod pool;
mod record;
mod refusing;
mod restart;
mod scales;
mod service;
mod shared;
mod sharer;
mod sharing;
mod signals;
mod stall;
mod standing;
mod template;
mod unavailable;
mod warm;
mod watching;
mod worker_config;
mod workforce;

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Pid;

use self::application::Application;
use self::budgeting::Budgeting;
use self::fleet::Fleet;
use self::jobs::EveryJob;
use self::monitored::Monitored;
use self::notice::Parent;
use self::operator::Operator;
use self::pool::Event;
use self::service::{Seen, Service};
use self::signals::Signals;
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::launch::Launch;
use crate::net::Listeners;
use crate::operator::{OperatorSocket, Serving};
use crate::sys::clock;
use crate::sys::notify::{self, Notify};
use crate::sys::process::{self, Ending};
use crate::sys::startup;
use crate::sys::want::Want;
use crate::telemetry;

/// The ending that is assumed for a worker whose ending is unknown.
const KILLED: Ending = Ending::Signal(libc::SIGKILL);

pub use self::fleet::Catalog;
pub use self::follower::Reread;

/// An application as it is started: its settings, its Python, the places it is reached at.
#[derive(Debug)]
pub struct Member {
    /// Its name, where there are several.
    pub name: Option<String>,
    /// Whether it may be forked from a template that it shares with others.
    pub shares: bool,
    /// Where its own modules are.
    pub directory: PathBuf,
    /// Its settings.
    pub config: Config,
    /// How its workers are started.
    pub launch: Launch,
    /// Where it listens.
    pub listeners: Rc<Listeners>,
}

/// Jobs, and the operator's access to the server.
#[derive(Debug)]
pub struct Work {
    /// The settings of the server, and of its jobs.
    pub config: Config,
    /// How the processes of runs are started.
    pub launch: Launch,
}

/// Serves an application until the server is stopped or cannot go on.
pub fn run(members: Vec<Member>, work: Work, reread: &Reread<'_>) -> io::Result<Exit> {
    let parent = Parent::of(&members);
    let config = &work.config;
    let applications = members.into_iter();
    let applications = applications.map(|member| Application::new(member, reread));
    let mut applications: Vec<_> = applications.collect::<io::Result<_>>()?;
    let monitored = config.status.as_ref().map(Monitored::start).transpose()?;
    if monitored.is_some() {
        applications.iter_mut().for_each(Application::count);
    }
    let mut supervisor = Supervisor {
        applications,
        monitored,
        budgeting: config.memory_budget.map(Budgeting::new),
        ..Supervisor::new(parent, config.operator.as_ref())?
    };
    // After the operator's socket: a line about jobs says that they can be asked about.
    supervisor.jobs = EveryJob::alone(&work)?;
    supervisor.serve()
}

/// Serves several applications until the server is stopped.
pub fn run_fleet(
    fleet: &config::Fleet,
    whole: &Config,
    catalog: &dyn Catalog,
    reread: &Reread<'_>,
) -> io::Result<Exit> {
    let mut supervisor = Supervisor {
        fleet: Some(Fleet::new(fleet, catalog, reread)?),
        budgeting: fleet.memory_budget.map(Budgeting::new),
        monitored: whole.status.as_ref().map(Monitored::start).transpose()?,
        ..Supervisor::new(Parent::OfWorkers, whole.operator.as_ref())?
    };
    supervisor.put_own_jobs(&fleet.jobs);
    supervisor.add_known()?;
    supervisor.serve()
}

struct Supervisor<'a> {
    applications: Vec<Application<'a>>,
    /// The parts that several applications share.
    fleet: Option<Fleet<'a>>,
    signals: Signals,
    parent: Parent,
    /// The parent's own line has been written.
    is_announced: bool,
    /// Whether the kernel kills for want of memory.
    want: Want,
    /// Where operators ask, if they may.
    operator: Option<Operator>,
    /// Work that runs apart from requests.
    jobs: EveryJob,
    /// How much memory everything may take, if that is bounded.
    budgeting: Option<Box<Budgeting>>,
    /// On request.
    is_stopping: bool,
    began: Instant,
    /// Where it is seen from, with `--status-bind`.
    monitored: Option<Monitored>,
    /// systemd, if it wants to know, and what it has been told.
    service: Option<(Notify, Service)>,
}

impl Supervisor<'_> {
    /// One that serves nothing yet.
    fn new(parent: Parent, operator: Option<&OperatorSocket>) -> io::Result<Self> {
        telemetry::hurry();
        Ok(Self {
            applications: Vec::new(),
            fleet: None,
            signals: Signals::install()?,
            parent,
            is_announced: false,
            want: Want::watch(),
            operator: Operator::open(operator)?,
            jobs: EveryJob::default(),
            budgeting: None,
            is_stopping: false,
            began: Instant::now(),
            monitored: None,
            service: Notify::from_environment().map(|it| (it, Service::new(notify::watchdog()))),
        })
    }

    fn serve(&mut self) -> io::Result<Exit> {
        loop {
            self.turn();
            if let Some(exit) = self.exit() {
                // Jobs end before the server does.
                if self.let_jobs_end() {
                    self.parent.stopped();
                    return Ok(exit);
                }
            }
            // A start, its own too, a swap, or reading settings is over: what that took is not needed to wait.
            let mut is_unsettled = self.jobs.take_unsettled();
            for application in &mut self.applications {
                is_unsettled |= application.take_unsettled();
            }
            let fleet = self.fleet.as_mut();
            is_unsettled |= fleet.is_some_and(Fleet::take_unsettled);
            if is_unsettled {
                startup::forget_own();
            }
            self.wait()?;
        }
    }

    /// Handles everything that has happened, a worker's last words before its end.
    fn turn(&mut self) {
        self.hear_signals();
        // Reaped before the sockets are read: by now everything that the dead have said is in them.
        let ended: Vec<_> = std::iter::from_fn(process::reap).collect();
        self.hear_templates();
        for application in &mut self.applications {
            application.hear();
        }
        for (pid, ending) in ended {
            self.reaped(pid, ending);
        }
        self.hear_operator();
        self.hear_monitor();
        for application in &mut self.applications {
            application.turn();
        }
        self.turn_jobs();
        self.turn_fleet();
        self.turn_budget();
        telemetry::name_lines(None);
        self.announce();
        self.publish();
        self.tell_service();
    }

    fn turn_jobs(&mut self) {
        let applications = &self.applications;
        self.jobs.turn(&|owner, descriptors| {
            let mut named = applications.iter().filter(|own| own.name() == owner);
            named
                .next()
                .is_some_and(|own| own.workforce.fork_run(descriptors))
        });
    }

    /// How the server ends, once no application is left.
    fn exit(&self) -> Option<Exit> {
        if let Some(fleet) = &self.fleet {
            let is_over = fleet.is_stopping && self.applications.is_empty();
            return is_over.then_some(Exit::Stopped);
        }
        if self.applications.is_empty() {
            return self.is_stopping.then_some(Exit::Stopped);
        }
        let exits = self.applications.iter().map(Application::exit);
        let exits: Vec<Exit> = exits.collect::<Option<_>>()?;
        exits.into_iter().max_by_key(|exit| *exit as u8)
    }

    /// Whether the server is about to end.
    fn ends(&self) -> bool {
        let mut applications = self.applications.iter();
        match &self.fleet {
            Some(fleet) => fleet.is_stopping,
            None if self.applications.is_empty() => self.is_stopping,
            None => applications.all(|own| own.serving() == Serving::Stopping),
        }
    }

    /// Has runs end, as nothing is served any more; whether none is left.
    fn let_jobs_end(&mut self) -> bool {
        self.jobs.shut_down();
        self.jobs.is_idle()
    }

    /// Tells the jobs that the server ends; the second Ctrl-C is not as patient as the first.
    fn stop_jobs(&mut self, event: Event) {
        let is_again = std::mem::replace(&mut self.is_stopping, true);
        if event == Event::StopNow || (event == Event::Interrupt && is_again) {
            self.jobs.kill_all();
        } else {
            self.jobs.shut_down();
        }
    }

    fn hear_signals(&mut self) {
        for arrived in self.signals.take(Instant::now()) {
            if matches!(
                arrived.event,
                Event::Stop | Event::Interrupt | Event::StopNow
            ) {
                self.parent.stopping(arrived.number);
                self.stop_jobs(arrived.event);
            }
            if self.fleet.is_some() {
                self.tell_fleet(arrived.event);
                continue;
            }
            for application in &mut self.applications {
                application.on(arrived.event);
            }
        }
    }

    /// Handles the end of a process.
    fn reaped(&mut self, pid: Pid, ending: Ending) {
        let ending = match ending {
            KILLED if self.want.has_killed() => Ending::NoMemory(self.want.limit()),
            ending => ending,
        };
        for application in &mut self.applications {
            if application.reaped(pid, ending) {
                return;
            }
        }
        if self.jobs.ended(pid, ending) {
            return;
        }
        // Otherwise it was a template, or an orphan, which process 1 has to reap.
        if self.template_ended(pid, ending) {
            return;
        }
        // Otherwise it was an application's template, or an orphan, which process 1 has to reap.
        for application in &mut self.applications {
            application.unknown_child_ended(pid, ending);
        }
    }

    /// Logs the supervisor's own line, after the first application's lines.
    fn announce(&mut self) {
        if !self.is_announced && self.applications.iter().any(Application::is_running) {
            self.is_announced = true;
            self.parent.started();
        }
    }

    /// Has systemd know what has changed.
    fn tell_service(&mut self) {
        let Some((notify, mut service)) = self.service.take() else {
            return;
        };
        let now = Instant::now();
        let status = self.status(service.is_status_due(now));
        let seen = Seen {
            status: &status,
            is_up: self.applications.iter().all(Application::has_settled),
            is_stopping: self.ends(),
            is_reloading: self.applications.iter().any(Application::is_replacing),
            is_stalled: self.applications.iter().any(Application::is_stalled),
            monotonic: clock::monotonic(),
        };
        let lines = service.lines(seen, now);
        if !lines.is_empty() {
            notify.send(&lines);
        }
        self.service = Some((notify, service));
    }

    /// Sleeps until something happens or a deadline comes.
    fn wait(&self) -> io::Result<()> {
        let templates = self.fleet.iter().flat_map(|fleet| &fleet.templates);
        let templates: Vec<_> = templates.map(|own| own.borrow()).collect();
        let mut sources = vec![(self.signals.as_fd(), PollFlags::IN)];
        sources.extend(
            self.monitored
                .iter()
                .map(|own| (own.as_fd(), PollFlags::IN)),
        );
        let mut next = self.operator.as_ref().and_then(Operator::deadline);
        sources.extend(self.jobs.sources().map(|fd| (fd, PollFlags::IN)));
        next = next.into_iter().chain(self.jobs.next_deadline()).min();
        let budget = self.budgeting.as_ref();
        next = next
            .into_iter()
            .chain(budget.and_then(|own| own.deadline()))
            .min();
        let service = self.service.as_ref().and_then(|(_, service)| service.due());
        next = next.into_iter().chain(service).min();
        for application in &self.applications {
            sources.extend(application.sources().map(|fd| (fd, PollFlags::IN)));
            next = next.into_iter().chain(application.next_deadline()).min();
        }
        let controls = templates.iter().filter_map(|own| own.control());
        sources.extend(controls.map(|control| (control.as_fd(), PollFlags::IN)));
        if let Some(fleet) = &self.fleet {
            sources.extend(fleet.source().map(|fd| (fd, PollFlags::IN)));
            next = next
                .into_iter()
                .chain(fleet.deadline(&self.applications))
                .min();
        }
        let mut sources: Vec<_> = sources
            .into_iter()
            .chain(self.operator.iter().flat_map(Operator::sources))
            .map(|(fd, events)| PollFd::from_borrowed_fd(fd, events))
            .collect();
        let left = next.map(|due| due.saturating_duration_since(Instant::now()));
        // A time too long for the kernel is as good as none.
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut sources, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
