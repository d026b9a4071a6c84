//! The live worker processes: what the policy decided, done.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::Pid;
use tracing::error;

use super::pool::{Weighing, WorkerId};
use super::template::{Outcome, Template};
use crate::config::WorkerConfig;
use crate::control::{FromWorker, Received, SupervisorEnd, ToWorker, socket_pair};
use crate::launch::Launch;
use crate::net::Listeners;
use crate::sys::process::{self, Ending};
use crate::sys::{fork, weight};

/// A started process until it is reaped.
#[derive(Debug)]
struct Process {
    id: WorkerId,
    /// None until the template has forked it.
    pid: Option<Pid>,
    /// Gone when the worker has closed its end, and not there before the template is asked for it.
    control: Option<SupervisorEnd>,
}

/// All of them, and what starting one takes.
#[derive(Debug)]
pub(super) struct Workforce<'a> {
    launch: &'a Launch,
    listeners: &'a Listeners,
    /// The first message to each.
    start: ToWorker,
    processes: Vec<Process>,
    /// Sockets full of connections whose worker has gone before another was ready.
    waiting: Vec<OwnedFd>,
    /// Where workers are forked from, if they are.
    template: Option<Template>,
    /// Workers that came to nothing before they had a process.
    lost: VecDeque<(WorkerId, Ending)>,
    /// Processes that ended while the template had not told yet whose they are.
    strangers: Vec<(Pid, Ending)>,
    /// The last one that was reaped, which a notice about its successor names.
    reaped: Option<(WorkerId, Pid)>,
}

impl<'a> Workforce<'a> {
    pub(super) fn new(
        launch: &'a Launch,
        listeners: &'a Listeners,
        worker: WorkerConfig,
        preload: bool,
    ) -> io::Result<Self> {
        let worker = Box::new(worker);
        let mut template = None;
        if preload {
            fork::take_orphans_in()?;
            template = Some(Template::new(ToWorker::Preload(worker.clone())));
        }
        Ok(Self {
            launch,
            listeners,
            start: ToWorker::Start(worker),
            processes: Vec::new(),
            waiting: Vec::new(),
            template,
            lost: VecDeque::new(),
            strangers: Vec::new(),
            reaped: None,
        })
    }

    /// Starts a process and sends it its configuration. If that cannot be sent, the process is
    /// killed and its end reported like any other.
    pub(super) fn spawn(&mut self, id: WorkerId) -> io::Result<()> {
        let (mut pid, mut control) = (None, None);
        match &mut self.template {
            Some(template) => template.want(self.launch, id)?,
            None => {
                let (started, ours) = self.launch.start()?;
                (pid, control) = (Some(started), Some(ours));
            }
        }
        self.processes.push(Process { id, pid, control });
        if pid.is_some() {
            self.configure(id);
        } else {
            self.ask_template();
        }
        Ok(())
    }

    fn configure(&self, id: WorkerId) {
        let Some(Process {
            pid: Some(pid),
            control: Some(control),
            ..
        }) = self.process(id)
        else {
            return;
        };
        if let Err(reason) = control.send(&self.start, &self.listeners.descriptors()) {
            error!("Cannot send its configuration to worker ({pid}): {reason}");
            process::kill(*pid);
        }
    }

    fn ask_template(&mut self) {
        let asked = self
            .template
            .as_mut()
            .map(Template::ask)
            .unwrap_or_default();
        for (id, control) in asked {
            if let Some(process) = self.process_mut(id) {
                process.control = Some(control);
            }
        }
    }

    fn hear_template(&mut self) {
        let Some(template) = &mut self.template else {
            return;
        };
        for outcome in template.heard() {
            match outcome {
                Outcome::Lost(id, ending) => self.lost.push_back((id, ending)),
                Outcome::Forked(id, pid) => {
                    // One that is wanted no more finds its socket closed, and ends.
                    if let Some(process) = self.process_mut(id) {
                        process.pid = Some(pid);
                    }
                    match self.strangers.iter().position(|(own, _)| *own == pid) {
                        Some(at) => {
                            let (_, ending) = self.strangers.swap_remove(at);
                            self.lost.push_back((id, ending));
                        }
                        None => self.configure(id),
                    }
                }
            }
        }
        self.ask_template();
    }

    /// A process has ended that is no worker's, as far as is known.
    pub(super) fn stranger_ended(&mut self, pid: Pid, ending: Ending) {
        let Some(template) = &mut self.template else {
            return;
        };
        match template.ended(self.launch, pid, ending) {
            Some(outcomes) => {
                for outcome in outcomes {
                    if let Outcome::Lost(id, ending) = outcome {
                        self.lost.push_back((id, ending));
                    }
                }
            }
            None if self.processes.iter().any(|process| process.pid.is_none()) => {
                self.strangers.push((pid, ending));
            }
            None => self.strangers.clear(),
        }
    }

    /// A worker that came to nothing.
    pub(super) fn lost(&mut self) -> Option<(WorkerId, Ending)> {
        self.lost.pop_front()
    }

    /// What has been imported may be outdated.
    pub(super) fn renew_template(&mut self) {
        let Some(template) = &mut self.template else {
            return;
        };
        for id in template.renew(self.launch) {
            if let Some(process) = self.process_mut(id) {
                process.control = None;
            }
        }
    }

    /// Sends a message. A worker that is gone or does not read is left to its deadline.
    pub(super) fn tell(&self, id: WorkerId, message: &ToWorker) {
        self.tell_with(id, message, &[]);
    }

    /// Tells a worker to end at once. One that has no process yet does so now.
    pub(super) fn quit(&mut self, id: WorkerId) {
        let unborn = self
            .process(id)
            .is_some_and(|process| process.pid.is_none());
        match &mut self.template {
            Some(template) if unborn => {
                template.forget(id);
                self.lost.push_back((id, Ending::Code(0)));
            }
            _ => self.tell(id, &ToWorker::Quit),
        }
    }

    /// Has a worker drain into another, or into a socket that keeps its connections until another
    /// is ready. Should there be no sockets, it drains as at the end, and what is idle is closed.
    pub(super) fn hand_over(&mut self, old: WorkerId, new: Option<WorkerId>) {
        match socket_pair() {
            Ok((olds, news)) => {
                match new {
                    Some(new) => self.tell_with(new, &ToWorker::Adopt, &[news.as_fd()]),
                    None => self.waiting.push(news),
                }
                self.tell_with(old, &ToWorker::Drain, &[olds.as_fd()]);
            }
            Err(reason) => {
                error!("Cannot hand connections over: {reason}");
                self.tell(old, &ToWorker::Drain);
            }
        }
    }

    /// Gives a worker that has become ready the connections that wait for one.
    pub(super) fn adopt_waiting(&mut self, id: WorkerId) {
        for connections in std::mem::take(&mut self.waiting) {
            self.tell_with(id, &ToWorker::Adopt, &[connections.as_fd()]);
        }
    }

    fn tell_with(&self, id: WorkerId, message: &ToWorker, descriptors: &[BorrowedFd<'_>]) {
        let process = self.process(id);
        if let Some(control) = process.and_then(|process| process.control.as_ref()) {
            let _ = control.send(message, descriptors);
        }
    }

    pub(super) fn kill(&self, id: WorkerId) {
        match (self.process(id).map(|process| process.pid), &self.template) {
            (Some(Some(pid)), _) => process::kill(pid),
            (Some(None), Some(template)) => template.kill(),
            _ => {}
        }
    }

    /// The pid, for log lines; 0 for a worker that never had a process.
    pub(super) fn pid(&self, id: WorkerId) -> i32 {
        let reaped = self.reaped.filter(|(reaped, _)| *reaped == id);
        let template = || self.template.as_ref().and_then(Template::pid);
        let live = self
            .process(id)
            .and_then(|process| process.pid.or_else(template));
        live.or(reaped.map(|(_, pid)| pid))
            .map_or(0, |pid| pid.as_raw_nonzero().get())
    }

    /// How much memory it has, and how much there is for another.
    pub(super) fn weigh(&self, id: WorkerId) -> Weighing {
        Weighing {
            own: self
                .process(id)
                .and_then(|process| weight::own(process.pid?)),
            room: weight::room(),
        }
    }

    /// What the one worker weighs, if there is only one.
    pub(super) fn weight_of_only_one(&self) -> Option<u64> {
        match self.processes.as_slice() {
            [only] => weight::own(only.pid?),
            _ => None,
        }
    }

    /// Everything the workers have said since the last call.
    pub(super) fn heard(&mut self) -> Vec<(WorkerId, FromWorker)> {
        self.hear_template();
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
    pub(super) fn controls(&self) -> impl Iterator<Item = &SupervisorEnd> {
        let template = self.template.as_ref().and_then(Template::control);
        let workers = self.processes.iter();
        let workers = workers.filter_map(|process| process.control.as_ref());
        workers.chain(template)
    }

    /// Whose process this is, if it is a worker's.
    pub(super) fn id(&self, pid: Pid) -> Option<WorkerId> {
        self.processes
            .iter()
            .find(|process| process.pid == Some(pid))
            .map(|process| process.id)
    }

    /// Drops what is left of a reaped process.
    pub(super) fn forget(&mut self, id: WorkerId) {
        let reaped = self
            .process(id)
            .and_then(|process| Some((id, process.pid?)));
        self.reaped = reaped.or(self.reaped);
        self.processes.retain(|process| process.id != id);
    }

    fn process(&self, id: WorkerId) -> Option<&Process> {
        self.processes.iter().find(|process| process.id == id)
    }

    fn process_mut(&mut self, id: WorkerId) -> Option<&mut Process> {
        self.processes.iter_mut().find(|process| process.id == id)
    }
}
