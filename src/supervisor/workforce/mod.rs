//! The live worker processes: what the policy decided, done.

mod forked;
mod seen;
mod telling;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tracing::{error, warn};

use super::isolated::IsolatedTemplate;
use super::pool::WorkerId;
use super::sharer::Sharer;
use super::template::{Purpose, Template};
use super::warm::Warm;
use super::worker_config::worker_config;
use crate::config::{Config, WorkerConfig};
use crate::control::{FromWorker, Received, SupervisorEnd, ToWorker};
use crate::launch::Launch;
use crate::monitor::Tally;
use crate::net::Listeners;
use crate::routes::Routes;
use crate::sys::fork;
use crate::sys::process::{self, Ending};
use crate::sys::shared_page::SharedPage;

/// A started process until it is reaped.
#[derive(Debug)]
struct Process {
    id: WorkerId,
    /// None until the template has forked it.
    pid: Option<Pid>,
    /// Which template that applications share it is from; 0 for none.
    generation: u32,
    /// Gone when the worker has closed its end, and not there before the template is asked for it.
    control: Option<SupervisorEnd>,
    /// Its place: the lowest number that was free; given up when its process has ended.
    slot: Option<usize>,
    /// Where it counts, if it does.
    page: Option<Arc<SharedPage>>,
}

/// All of them, and what starting one takes.
#[derive(Debug)]
pub(super) struct Workforce {
    launch: Launch,
    listeners: Rc<Listeners>,
    /// The workers' configuration.
    worker: Box<WorkerConfig>,
    processes: Vec<Process>,
    /// Sockets full of connections whose worker has gone before another was ready.
    waiting: Vec<OwnedFd>,
    /// Where workers are forked from, if they are.
    template: Option<Template>,
    /// The same, where it is for several applications.
    shared: Option<Sharer>,
    /// The modules that it is made of, where they are learned from workers.
    warm: Option<Box<Warm>>,
    /// Where isolated calls are forked from, with `--isolated-template`.
    isolated: Option<Box<IsolatedTemplate>>,
    /// Workers that came to nothing before they had a process.
    lost: VecDeque<(WorkerId, Ending)>,
    /// Processes that ended while the template had not told yet whose they are.
    unknown_children: Vec<(Pid, Ending)>,
    /// The last one that was reaped, which a notice about its successor names.
    reaped: Option<(WorkerId, Pid)>,
    /// Where their counts are added up, if they count.
    tally: Option<Arc<Tally>>,
    /// When one that has ended had last answered a request.
    last_use: Option<Duration>,
}

/// Where workers come from.
#[derive(Debug)]
pub(super) enum Source {
    Start,
    Preload,
    Learned(Box<Warm>),
}

type Opened = (Option<Template>, Option<Box<Warm>>);

impl Source {
    fn opened(self, worker: &WorkerConfig) -> io::Result<Opened> {
        let opened = match self {
            Self::Start => return Ok((None, None)),
            Self::Preload => {
                let first = ToWorker::Preload(Box::new(worker.clone()));
                (Some(Template::new(first, Purpose::Preload)), None)
            }
            Self::Learned(own) => (None, Some(own)),
        };
        fork::take_orphans_in()?;
        Ok(opened)
    }
}

impl Workforce {
    pub(super) fn new(
        launch: Launch,
        listeners: Rc<Listeners>,
        worker: WorkerConfig,
        source: Source,
    ) -> io::Result<Self> {
        let (template, warm) = source.opened(&worker)?;
        Ok(Self {
            isolated: IsolatedTemplate::of(&worker)?,
            launch,
            listeners,
            worker: Box::new(worker),
            processes: Vec::new(),
            waiting: Vec::new(),
            template,
            shared: None,
            warm,
            lost: VecDeque::new(),
            unknown_children: Vec::new(),
            reaped: None,
            tally: None,
            last_use: None,
        })
    }

    /// Starts a process and sends it its configuration. If that cannot be sent, the process is
    /// killed and its end reported like any other.
    pub(super) fn spawn(&mut self, id: WorkerId) -> io::Result<()> {
        let forked = self.shared.as_ref().and_then(|own| own.fork(id));
        if let Some((control, generation)) = forked {
            self.add(id, None, Some(control));
            if let Some(process) = self.process_mut(id) {
                process.generation = generation;
            }
            return Ok(());
        }
        let template = self.template.as_mut();
        let Some(template) = template.filter(|template| template.should_fork()) else {
            let (pid, control) = self.launch.start()?;
            self.add(id, Some(pid), Some(control));
            self.configure(id);
            return Ok(());
        };
        template.want(&self.launch, id)?;
        self.add(id, None, None);
        self.ask_template();
        Ok(())
    }

    fn add(&mut self, id: WorkerId, pid: Option<Pid>, control: Option<SupervisorEnd>) {
        let taken = |slot: &usize| self.processes.iter().any(|other| other.slot == Some(*slot));
        let slot = (0..).find(|slot| !taken(slot)).unwrap_or_default();
        let page = self.tally.as_ref().and_then(|tally| counting(tally, slot));
        self.processes.push(Process {
            id,
            pid,
            generation: 0,
            control,
            slot: Some(slot),
            page,
        });
    }

    /// From now on workers count, and here it is added up.
    pub(super) fn count_in(&mut self, tally: Arc<Tally>) {
        self.tally = Some(tally);
    }

    fn configure(&self, id: WorkerId) {
        let Some(Process {
            pid: Some(pid),
            control: Some(control),
            slot,
            page,
            ..
        }) = self.process(id)
        else {
            return;
        };
        let mut worker = self.worker.clone();
        worker.start.slot = slot.unwrap_or_default();
        worker.start.counts = page.is_some();
        worker.start.has_calls_socket = self.isolated.is_some();
        worker.start.is_first = id.is_first();
        let start = ToWorker::Start(worker);
        let mut descriptors = self.listeners.descriptors();
        descriptors.extend(self.isolated.as_ref().map(|own| own.callers()));
        descriptors.extend(page.as_ref().map(|page| page.descriptor()));
        if let Err(reason) = control.send(&start, &descriptors) {
            error!("Cannot send its configuration to worker ({pid}): {reason}");
            process::kill(*pid);
        }
    }

    /// A worker that came to nothing.
    pub(super) fn lost(&mut self) -> Option<(WorkerId, Ending)> {
        self.lost.pop_front()
    }

    /// The next workers receive this configuration.
    pub(super) fn take(&mut self, config: &Config) {
        self.launch.variables.clone_from(&config.environment);
        let mut worker = Box::new(worker_config(config, &self.launch, &self.listeners, false));
        worker.server.routes.clone_from(&self.worker.server.routes);
        self.worker.clone_from(&worker);
        self.isolate_anew();
        if let Some(warm) = &mut self.warm {
            warm.take(worker);
            self.import_anew();
        } else if let Some(template) = &mut self.template {
            template.take(ToWorker::Preload(worker));
        }
    }

    /// From now on workers are started in this way.
    pub(super) fn replace(
        &mut self,
        launch: Launch,
        listeners: Rc<Listeners>,
        worker: WorkerConfig,
        source: Source,
    ) -> io::Result<()> {
        let (template, warm) = source.opened(&worker)?;
        self.launch = launch;
        self.listeners = listeners;
        let routes = std::mem::take(&mut self.worker.server.routes);
        *self.worker = worker;
        self.worker.server.routes = routes;
        self.isolate_anew();
        self.retire_template();
        (self.template, self.warm) = (template, warm);
        Ok(())
    }

    /// From now on workers are forked from a template that others share.
    pub(super) fn share(&mut self, sharer: Option<Sharer>) {
        self.shared = sharer;
    }

    /// Which template that is may change as applications come and go.
    pub(super) fn choose_template(&mut self) {
        if let Some(sharer) = &mut self.shared {
            sharer.choose();
        }
    }

    /// Whether it may start workers now, or waits for the template that it shares.
    pub(super) fn is_admitted(&self, now: Instant) -> bool {
        self.shared.as_ref().is_none_or(|own| own.admits(now))
    }

    /// The template that workers should be from, if some of those that there are are not.
    pub(super) fn newer_template(&self) -> Option<u32> {
        let newest = self.shared.as_ref()?.generation();
        let mut processes = self.processes.iter();
        processes
            .any(|process| process.generation < newest)
            .then_some(newest)
    }

    /// From now on these applications answer on the places that several share.
    pub(super) fn set_routes(&mut self, routes: &Routes) {
        self.worker.server.routes.clone_from(routes);
        // One without a process is told with its configuration.
        let begun = self.processes.iter().filter(|one| one.pid.is_some());
        let ids: Vec<_> = begun.map(|one| one.id).collect();
        ids.into_iter().for_each(|id| self.tell_routes(id));
    }

    /// Tells a worker once more: what came before it was ready may have gone by.
    pub(super) fn tell_routes(&self, id: WorkerId) {
        if !self.worker.server.routes.is_empty() {
            self.tell(id, &ToWorker::Routes(self.worker.server.routes.clone()));
        }
    }

    /// Where workers accept.
    pub(super) fn listeners(&self) -> &Rc<Listeners> {
        &self.listeners
    }

    /// The workers' configuration.
    pub(super) fn worker_config(&self) -> &WorkerConfig {
        &self.worker
    }

    /// Ends its process; one that has none yet has waited too long for the template.
    pub(super) fn kill(&mut self, id: WorkerId) {
        match (self.process(id).map(|process| process.pid), &self.template) {
            (Some(Some(pid)), _) => process::kill(pid),
            (Some(None), None) => {
                self.cancel_unstarted(id, Ending::Signal(libc::SIGKILL));
            }
            (Some(None), Some(template)) => {
                template.kill();
                if self.warm.is_some() {
                    self.cancel_unstarted(id, Ending::Signal(libc::SIGKILL));
                }
            }
            _ => {}
        }
    }

    /// `module:attribute`
    pub(super) fn application(&self) -> &str {
        &self.worker.application.path
    }

    /// Everything the workers have said since the last call.
    pub(super) fn heard(&mut self) -> Vec<(WorkerId, FromWorker)> {
        self.hear_template();
        if let Some(isolated) = &mut self.isolated {
            isolated.turn(&self.launch, &self.worker);
        }
        let mut heard = Vec::new();
        for process in &mut self.processes {
            while let Some(control) = &process.control {
                match control.receive() {
                    Ok(Received::Message(message, _)) => heard.push((process.id, message)),
                    Ok(Received::Nothing) => break,
                    // Its end is reported by waitpid, which is soon if it is not a matter of a broken message.
                    Ok(Received::Closed) | Err(_) => process.control = None,
                }
            }
        }
        heard
    }

    /// The sockets to wait on.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let template = self.template.as_ref().and_then(Template::control);
        let workers = self.processes.iter();
        let workers = workers.filter_map(|process| process.control.as_ref());
        let isolated = self.isolated.iter().flat_map(|own| own.sources());
        workers.chain(template).map(AsFd::as_fd).chain(isolated)
    }

    /// A worker's process has ended: its place is free, and what it has counted is kept.
    pub(super) fn leave_place(&mut self, id: WorkerId) {
        let Some(process) = self.process_mut(id) else {
            return;
        };
        process.slot = None;
        let page = process.page.take();
        let used = page.as_ref().and_then(|page| page.last_use());
        self.last_use = self.last_use.max(used);
        if let (Some(page), Some(tally)) = (page, &self.tally) {
            tally.end(&page);
        }
    }

    /// Drops what is left of a reaped process.
    pub(super) fn forget(&mut self, id: WorkerId) {
        let reaped = self
            .process(id)
            .and_then(|process| Some((id, process.pid?)));
        self.reaped = reaped.or(self.reaped);
        self.processes.retain(|process| process.id != id);
    }

    /// Whether it is one of these workers.
    pub(super) fn has(&self, id: WorkerId) -> bool {
        self.process(id).is_some()
    }

    fn process(&self, id: WorkerId) -> Option<&Process> {
        self.processes.iter().find(|process| process.id == id)
    }

    fn process_mut(&mut self, id: WorkerId) -> Option<&mut Process> {
        self.processes.iter_mut().find(|process| process.id == id)
    }
}

/// A page for a worker. Without memory for one it serves uncounted.
fn counting(tally: &Tally, slot: usize) -> Option<Arc<SharedPage>> {
    match SharedPage::new() {
        Ok(page) => {
            let page = Arc::new(page);
            tally.begin(slot, &page);
            Some(page)
        }
        Err(reason) => {
            warn!("A worker's requests are not counted: {reason}");
            None
        }
    }
}
