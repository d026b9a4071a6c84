//! Files that have changed: what they say by now is done.

use std::rc::Rc;

use tracing::{error, info};

use crate::config;
use crate::net::Listeners;
use crate::supervisor::application::Application;
use crate::supervisor::{Member, Supervisor};
use crate::telemetry;

impl Supervisor<'_> {
    /// Reads the files again, and does what they say by now.
    pub(in crate::supervisor) fn read_files(&mut self) {
        telemetry::name_lines(None);
        let Some(fleet) = &mut self.fleet else {
            return;
        };
        fleet.is_unsettled = true;
        let new = match fleet.catalog.read() {
            Ok(new) => new,
            Err(wrong) => {
                error!("The settings stay as they were, because they cannot be used:");
                wrong.lines().for_each(|line| error!("{line}"));
                return;
            }
        };
        new.wrong.iter().for_each(|line| error!("{line}"));
        fleet.memory_budget = new.memory_budget;
        fleet.files.watch(&new);
        let is_in_doubt = |application: &config::Application| {
            let mut wrong = new.wrong.iter();
            wrong.any(|line| is_about_file_of(line, &application.place))
        };
        let known = std::mem::take(&mut fleet.known);
        let mut next = new.applications.clone();
        for old in &known {
            if !next.iter().any(|own| own.name == old.name) && is_in_doubt(old) {
                next.push(old.clone());
            }
        }
        fleet.known = next.clone();
        if fleet.own_jobs != new.jobs {
            fleet.own_jobs = new.jobs.clone();
            self.put_own_jobs(&new.jobs);
        }
        for old in known.iter() {
            if !next.iter().any(|own| own.name == old.name) {
                self.remove(&old.name);
            }
        }
        for application in next {
            let old = known.iter().find(|old| old.name == application.name);
            match old {
                Some(old) if old.is_like(&application) => {}
                Some(old) if old.serves_like(&application) => self.take_jobs(&application),
                _ => self.put(&application),
            }
        }
        self.share_places(new.shared.as_ref());
        self.route();
    }

    fn remove(&mut self, name: &str) {
        if let Some(fleet) = &mut self.fleet {
            fleet.unprepared.retain(|(own, _)| own.name != name);
        }
        if let Some(application) = self.named(name) {
            application.leave();
        }
        self.jobs.remove(name);
    }

    /// Serves an application that is new, or has other settings.
    pub(super) fn put(&mut self, application: &config::Application) {
        let name = &application.name;
        let served = self.applications.iter().find(|own| own.is_named(name));
        let open = served.filter(|own| own.listens_as(&application.config));
        let open = open.map(|own| Rc::clone(own.listeners()));
        let Some(fleet) = &mut self.fleet else {
            return;
        };
        fleet.unprepared.retain(|(own, _)| own.name != *name);
        let Some(mut member) = fleet.prepare(application, open.as_ref()) else {
            return;
        };
        let served = self.applications.iter().find(|own| own.is_named(name));
        if let Some(served) = served.filter(|_| open.is_none()) {
            go_on_from(&mut member, served.listeners());
        }
        let Some(fleet) = &mut self.fleet else {
            return;
        };
        let (reread, sharer) = (fleet.reread, fleet.sharer(&member));
        self.put_jobs(&member);
        match self.named(name) {
            Some(served) => {
                if let Err(why) = served.take(member, sharer, reread) {
                    error!("It stays as it was, because it cannot be served so: {why}");
                }
            }
            None => match Application::new(member, reread) {
                Ok(mut added) => {
                    info!("It is new in the settings.");
                    added.share(sharer);
                    if self.monitored.is_some() {
                        added.count();
                    }
                    self.applications.push(added);
                }
                Err(why) => error!("It cannot be served: {why}"),
            },
        }
    }
}

/// A connection that waits for an application on shared places waits for its new settings.
fn go_on_from(member: &mut Member, before: &Rc<Listeners>) {
    if let Some(listeners) = Rc::get_mut(&mut member.listeners)
        && let Err(reason) = listeners.go_on_from(before)
    {
        error!("Connections of shared places may be lost: {reason}");
    }
}

/// Whether a line that tells what is wrong is about the file of `apps/shop.toml:3`.
fn is_about_file_of(line: &str, place: &str) -> bool {
    let file = place.rsplit_once(':').map_or(place, |(file, _)| file);
    let rest = line.strip_prefix(file);
    rest.is_some_and(|rest| rest.starts_with(':'))
}
