//! The live worker processes: what the policy decided, done.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::Pid;
use tracing::error;

use super::pool::{Weighing, WorkerId};
use crate::control::{FromWorker, Received, SupervisorEnd, ToWorker, socket_pair};
use crate::launch::Launch;
use crate::net::Listeners;
use crate::sys::{process, weight};

/// A started process until it is reaped.
#[derive(Debug)]
struct Process {
    id: WorkerId,
    pid: Pid,
    /// Gone when the worker has closed its end.
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
    /// The last one that was reaped, which a notice about its successor names.
    reaped: Option<(WorkerId, Pid)>,
}

impl<'a> Workforce<'a> {
    pub(super) fn new(launch: &'a Launch, listeners: &'a Listeners, start: ToWorker) -> Self {
        Self {
            launch,
            listeners,
            start,
            processes: Vec::new(),
            waiting: Vec::new(),
            reaped: None,
        }
    }

    /// Starts a process and sends it its configuration. If that cannot be sent, the process is
    /// killed and its end reported like any other.
    pub(super) fn spawn(&mut self, id: WorkerId) -> io::Result<()> {
        let (pid, control) = self.launch.start()?;
        let sent = control.send(&self.start, &self.listeners.descriptors());
        let control = Some(control);
        self.processes.push(Process { id, pid, control });
        if let Err(reason) = sent {
            error!("Cannot send its configuration to worker ({pid}): {reason}");
            process::kill(pid);
        }
        Ok(())
    }

    /// Sends a message. A worker that is gone or does not read is left to its deadline.
    pub(super) fn tell(&self, id: WorkerId, message: &ToWorker) {
        self.tell_with(id, message, &[]);
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
        if let Some(process) = self.process(id) {
            process::kill(process.pid);
        }
    }

    /// The pid, for log lines; 0 for a worker that never had a process.
    pub(super) fn pid(&self, id: WorkerId) -> i32 {
        let reaped = self.reaped.filter(|(reaped, _)| *reaped == id);
        let live = self.process(id).map(|process| process.pid);
        live.or(reaped.map(|(_, pid)| pid))
            .map_or(0, |pid| pid.as_raw_nonzero().get())
    }

    /// How much memory it has, and how much there is for another.
    pub(super) fn weigh(&self, id: WorkerId) -> Weighing {
        Weighing {
            own: self
                .process(id)
                .and_then(|process| weight::own(process.pid)),
            room: weight::room(),
        }
    }

    /// What the one worker weighs, if there is only one.
    pub(super) fn weight_of_only_one(&self) -> Option<u64> {
        match self.processes.as_slice() {
            [only] => weight::own(only.pid),
            _ => None,
        }
    }

    /// Everything the workers have said since the last call.
    pub(super) fn heard(&mut self) -> Vec<(WorkerId, FromWorker)> {
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
        self.processes
            .iter()
            .filter_map(|process| process.control.as_ref())
    }

    /// Whose process this is, if it is a worker's.
    pub(super) fn id(&self, pid: Pid) -> Option<WorkerId> {
        self.processes
            .iter()
            .find(|process| process.pid == pid)
            .map(|process| process.id)
    }

    /// Drops what is left of a reaped process.
    pub(super) fn forget(&mut self, id: WorkerId) {
        let reaped = self.process(id).map(|process| (id, process.pid));
        self.reaped = reaped.or(self.reaped);
        self.processes.retain(|process| process.id != id);
    }

    fn process(&self, id: WorkerId) -> Option<&Process> {
        self.processes.iter().find(|process| process.id == id)
    }
}
