//! Which applications share a template, and what their templates say.

use std::cell::RefCell;
use std::rc::Rc;

use rustix::process::Pid;
use tracing::{debug, warn};

use super::Fleet;
use crate::config::WorkerConfig;
use crate::launch::Launch;
use crate::supervisor::shared::{self, Guest, Origin, Shared, SharedTemplate};
use crate::supervisor::sharer::Sharer;
use crate::supervisor::template::Outcome;
use crate::supervisor::worker_config::worker_config;
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
        let environment = &launch.environment;
        // Modules are told by the path that they were found at, and looked for where it leads.
        let own = [&member.directory, &worker.application.directory];
        let real = own.into_iter().filter_map(|path| path.canonicalize().ok());
        let guest = Guest {
            own: own.into_iter().cloned().chain(real).collect(),
            first: worker.application.directory.clone(),
            environment: environment.clone(),
            unfit: None,
        };
        self.joined += 1;
        let origin = Origin::Environment(environment.python.clone());
        let template = self.template(origin, &worker, launch);
        let sharer = Sharer::new(template, self.joined, guest);
        match shared::base(launch) {
            Ok(base) => Some(sharer.or(self.template(Origin::Python(base), &worker, launch))),
            Err(why) => {
                debug!("It shares nothing with applications that have another environment: {why}");
                Some(sharer)
            }
        }
    }

    /// The template of these modules, for such an application.
    fn template(
        &mut self,
        origin: Origin,
        worker: &WorkerConfig,
        launch: &Launch,
    ) -> SharedTemplate {
        let mut known = self.templates.iter();
        let known = known.find(|own| own.borrow().is_for(&origin, worker, launch));
        known.cloned().unwrap_or_else(|| {
            let made = Rc::new(RefCell::new(Shared::of(origin, worker, launch)));
            self.templates.push(Rc::clone(&made));
            made
        })
    }

    /// Ends templates that no application may share any more.
    pub(super) fn drop_templates(&mut self) {
        self.templates.retain(|own| Rc::strong_count(own) > 1);
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
