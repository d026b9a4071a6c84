//! The messages to workers, and the descriptors that go with them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tracing::error;

use super::Workforce;
use crate::control::{Drain, ToWorker, socket_pair};
use crate::supervisor::pool::WorkerId;
use crate::sys::process::{self, Ending};

impl Workforce {
    /// Sends a message. A worker that is gone or does not read is left to its deadline.
    pub(in crate::supervisor) fn tell(&self, id: WorkerId, message: &ToWorker) {
        self.tell_with(id, message, &[]);
    }

    /// Tells a worker to end at once, in this way. One that has no process yet does so now.
    pub(in crate::supervisor) fn end(&mut self, id: WorkerId, way: &ToWorker) {
        if !self.cancel_unstarted(id, Ending::Code(0)) {
            self.tell(id, way);
        }
    }

    /// Has a worker drain into another, or into a socket that keeps its connections until another
    /// is ready. Should there be no sockets, it drains as at the end, and what is idle is closed.
    pub(in crate::supervisor) fn hand_over(
        &mut self,
        old: WorkerId,
        new: Option<WorkerId>,
        drain: Drain,
    ) {
        match socket_pair() {
            Ok((olds, news)) => {
                match new {
                    Some(new) => self.tell_with(new, &ToWorker::Adopt, &[news.as_fd()]),
                    None => self.waiting.push(news),
                }
                self.tell_with(old, &ToWorker::Drain(drain), &[olds.as_fd()]);
            }
            Err(reason) => {
                error!("Cannot hand connections over: {reason}");
                self.tell(old, &ToWorker::Drain(drain));
            }
        }
    }

    /// Gives a worker that has become ready the connections that wait for one.
    pub(in crate::supervisor) fn adopt_waiting(&mut self, id: WorkerId) {
        for connections in std::mem::take(&mut self.waiting) {
            self.tell_with(id, &ToWorker::Adopt, &[connections.as_fd()]);
        }
    }

    /// Has a worker take over what comes out of this end; gives it back if the worker is gone.
    pub(in crate::supervisor) fn adopt(&self, id: WorkerId, end: OwnedFd) -> Result<(), OwnedFd> {
        let process = self.process(id);
        let control = process.and_then(|process| process.control.as_ref());
        match control.map(|control| control.send(&ToWorker::Adopt, &[end.as_fd()])) {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(end),
        }
    }

    pub(in crate::supervisor) fn tell_with(
        &self,
        id: WorkerId,
        message: &ToWorker,
        descriptors: &[BorrowedFd<'_>],
    ) {
        let process = self.process(id);
        if let Some(control) = process.and_then(|process| process.control.as_ref()) {
            let _ = control.send(message, descriptors);
        }
    }

    /// Has a worker log the stacks of its threads.
    pub(in crate::supervisor) fn ask_for_stacks(&self, id: WorkerId) {
        if let Some(pid) = self.process(id).and_then(|process| process.pid) {
            process::ask_for_stacks(pid);
        }
    }
}
