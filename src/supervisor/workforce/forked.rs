//! Workers that a template forks: what is between wanting one and its process, and what makes the
//! template outdated.

use std::os::fd::BorrowedFd;

use rustix::process::Pid;
use tracing::error;

use super::super::isolated::IsolatedTemplate;
use super::super::pool::WorkerId;
use super::super::template::{Outcome, Purpose, Template};
use super::Workforce;
use crate::control::{Imported, ToWorker};
use crate::sys::process::Ending;

impl Workforce {
    /// Starts a worker that the template should have forked, unless it is wanted no more.
    fn start_without_template(&mut self, id: WorkerId) {
        if self.process(id).is_none_or(|process| process.pid.is_some()) {
            return;
        }
        match self.launch.start() {
            Ok((pid, control)) => {
                if let Some(process) = self.process_mut(id) {
                    process.generation = 0;
                    (process.pid, process.control) = (Some(pid), Some(control));
                }
                self.configure(id);
            }
            Err(reason) => {
                error!("Cannot start a worker: {reason}");
                self.lost.push_back((id, Ending::Code(127)));
            }
        }
    }

    /// Asks the template that workers come from for the process of a run, if one is ready.
    pub(in crate::supervisor) fn fork_run(&self, descriptors: &[BorrowedFd<'_>]) -> bool {
        if let Some(sharer) = &self.shared {
            return sharer.fork_run(descriptors);
        }
        let template = self.template.as_ref();
        template.is_some_and(|own| own.fork_run(descriptors))
    }

    pub(super) fn ask_template(&mut self) {
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

    pub(super) fn hear_template(&mut self) {
        let Some(template) = &mut self.template else {
            return;
        };
        for outcome in template.heard() {
            self.settle(outcome);
        }
        self.ask_template();
    }

    /// Handles what came of a worker that a template was asked for.
    pub(in crate::supervisor) fn settle(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Lost(id, ending) => self.lost.push_back((id, ending)),
            Outcome::Declined(id) => self.start_without_template(id),
            Outcome::Unfit(unfit) => {
                let next = self.warm.as_mut().and_then(|warm| warm.unfit(&unfit));
                self.make_template(next);
            }
            Outcome::Forked(id, pid) => {
                // A process that is no longer needed finds its socket closed, and ends.
                if let Some(process) = self.process_mut(id) {
                    process.pid = Some(pid);
                }
                match self
                    .unknown_children
                    .iter()
                    .position(|(own, _)| *own == pid)
                {
                    Some(at) => {
                        let (_, ending) = self.unknown_children.swap_remove(at);
                        self.lost.push_back((id, ending));
                    }
                    None => self.configure(id),
                }
            }
        }
    }

    /// A worker has said what it has imported.
    pub(in crate::supervisor) fn imported(&mut self, imported: Imported) {
        if let Some(sharer) = &self.shared {
            return sharer.reported(imported);
        }
        let next = self.warm.as_mut().and_then(|warm| warm.reported(imported));
        self.make_template(next);
    }

    /// Replaces the template of `--reload` by one with this first message.
    fn make_template(&mut self, first: Option<ToWorker>) {
        let Some(first) = first else {
            return;
        };
        self.retire_template();
        let mut template = Template::new(first, Purpose::Learned);
        match template.start(&self.launch) {
            Ok(()) => self.template = Some(template),
            Err(reason) => error!("Cannot start a template: {reason}"),
        }
    }

    /// Ends the template; workers that it has not forked yet are started without it.
    pub(super) fn retire_template(&mut self) {
        let template = self.template.take();
        for id in template.map(Template::retire).unwrap_or_default() {
            self.start_without_template(id);
        }
    }

    /// A process has ended that is no worker's, as far as is known.
    pub(in crate::supervisor) fn unknown_child_ended(&mut self, pid: Pid, ending: Ending) {
        let isolated = self.isolated.as_mut();
        if isolated.is_some_and(|own| own.ended(pid, ending)) {
            return;
        }
        let lost = self.template.as_mut().and_then(|template| {
            let was_ready = template.should_fork();
            let outcomes = template.ended(&self.launch, pid, ending)?;
            Some((was_ready, outcomes))
        });
        let Some((was_ready, outcomes)) = lost else {
            // A worker that was forked may end before its template has told its pid.
            match self.processes.iter().any(|process| process.pid.is_none()) {
                true => self.unknown_children.push((pid, ending)),
                false => self.unknown_children.clear(),
            }
            return;
        };
        if let Some(warm) = &mut self.warm {
            warm.lost(was_ready);
        }
        for outcome in outcomes {
            self.settle(outcome);
        }
    }

    /// Whatever has been imported may be outdated.
    pub(in crate::supervisor) fn import_anew(&mut self) {
        if let Some(warm) = &mut self.warm {
            warm.forget();
            self.renew_isolated();
            return self.retire_template();
        }
        self.source_changed();
    }

    /// Handles a change of the source: modules of the application in a template may be outdated.
    pub(in crate::supervisor) fn source_changed(&mut self) {
        self.renew_isolated();
        if self.warm.is_some() {
            return;
        }
        let Some(template) = &mut self.template else {
            return;
        };
        for id in template.renew(&self.launch) {
            if let Some(process) = self.process_mut(id) {
                process.control = None;
            }
        }
    }

    fn renew_isolated(&mut self) {
        if let Some(isolated) = &mut self.isolated {
            isolated.renew(&self.launch, &self.worker);
        }
    }

    /// The settings of the template of isolated calls may have changed. The next workers have the way to it.
    pub(super) fn isolate_anew(&mut self) {
        match (
            &mut self.isolated,
            self.worker.application.isolated_template.as_slice(),
        ) {
            (Some(_), []) => self.isolated = None,
            (Some(isolated), _) => isolated.renew(&self.launch, &self.worker),
            (None, _) => match IsolatedTemplate::of(&self.worker) {
                Ok(made) => self.isolated = made,
                Err(reason) => error!("There is no template for isolated calls: {reason}"),
            },
        }
    }

    /// Ends the template of isolated calls; the next call has another one made.
    pub(in crate::supervisor) fn end_isolated(&mut self) {
        if let Some(isolated) = &mut self.isolated {
            isolated.end();
        }
    }

    /// Ends the template; the next worker that needs one starts another.
    pub(in crate::supervisor) fn drop_template(&mut self) {
        if let Some(warm) = &mut self.warm {
            warm.lost(true);
            return self.retire_template();
        }
        if let Some(template) = &mut self.template {
            template.end();
        }
    }

    /// Ends a worker that the template has not forked yet; whether it was one.
    pub(super) fn cancel_unstarted(&mut self, id: WorkerId, ending: Ending) -> bool {
        let process = self.process(id);
        let is_unstarted = process.is_some_and(|process| process.pid.is_none());
        if is_unstarted {
            if let Some(template) = &mut self.template {
                template.forget(id);
            }
            if let Some(sharer) = &self.shared {
                sharer.forget(id);
            }
            self.lost.push_back((id, ending));
        }
        is_unstarted
    }
}
