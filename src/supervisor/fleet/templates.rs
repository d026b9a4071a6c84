//! Which applications share a template, and what their templates say.

use std::cell::RefCell;
use std::rc::Rc;

use rustix::process::Pid;
use tracing::warn;

use super::Fleet;
use crate::supervisor::shared::{self, Shared};
use crate::supervisor::template::Outcome;
use crate::supervisor::worker_config::worker_config;
use crate::supervisor::workforce::Sharer;
use crate::supervisor::{Member, Supervisor};
use crate::sys::fork;
use crate::sys::process::Ending;

impl Fleet<'_> {
    /// An application's part in the template that it may be forked from.
    pub(super) fn sharer(&mut self, member: &Member) -> Option<Sharer> {
        let Member { config, launch, .. } = member;
        let worker = worker_config(config, launch, &member.listeners, true);
        let is_forked_otherwise = config.preload || config.reload.is_some();
        if !member.shares || is_forked_otherwise || !shared::may_share(&worker, launch) {
            return None;
        }
        if let Err(reason) = fork::take_orphans_in() {
            warn!("It is not forked from a template: {reason}");
            return None;
        }
        let known = self
            .templates
            .iter()
            .find(|own| own.borrow().is_for(&worker, launch));
        let template = known.cloned().unwrap_or_else(|| {
            let made = Rc::new(RefCell::new(Shared::of(&worker, launch)));
            self.templates.push(Rc::clone(&made));
            made
        });
        self.joined += 1;
        let own = vec![member.directory.clone(), worker.application.directory];
        template.borrow_mut().join(self.joined, own);
        Some(Sharer {
            template,
            number: self.joined,
        })
    }

    /// Ends templates that no application shares any more.
    pub(super) fn drop_templates(&mut self) {
        self.templates.retain(|own| !own.borrow().is_alone());
    }
}

impl Supervisor<'_> {
    /// Handles what the templates have said.
    pub(in crate::supervisor) fn hear_templates(&mut self) {
        let templates = self.fleet.iter().flat_map(|fleet| &fleet.templates);
        let outcomes: Vec<_> = templates.flat_map(|own| own.borrow_mut().heard()).collect();
        self.settle(outcomes);
    }

    /// Handles the end of a process, if it was a template's; whether it was.
    pub(in crate::supervisor) fn template_ended(&mut self, pid: Pid, ending: Ending) -> bool {
        let mut templates = self.fleet.iter().flat_map(|fleet| &fleet.templates);
        let lost = templates.find_map(|own| own.borrow_mut().ended(pid, ending));
        let was_template = lost.is_some();
        self.settle(lost.unwrap_or_default());
        was_template
    }

    fn settle(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            let mut left = Some(outcome);
            for application in &mut self.applications {
                left = left.and_then(|outcome| application.settle(outcome));
            }
        }
    }
}
