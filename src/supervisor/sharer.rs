//! An application's part in the templates that it may be forked from: that of its environment, or, while no other
//! application has the same environment, that of its Python.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::pool::WorkerId;
use super::shared::{Guest, SharedTemplate};
use crate::control::{Imported, SupervisorEnd};

#[derive(Debug)]
pub(super) struct Sharer {
    own: Part,
    python: Option<Part>,
}

/// A part in one template.
#[derive(Debug)]
struct Part {
    template: SharedTemplate,
    /// The application's number there.
    number: u32,
    guest: Guest,
    has_joined: bool,
}

impl Part {
    fn join(&mut self) {
        if !self.has_joined {
            self.has_joined = true;
            let guest = self.guest.clone();
            self.template.borrow_mut().join(self.number, guest);
        }
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.has_joined) {
            self.template.borrow_mut().leave(self.number);
        }
    }

    fn generation(&self) -> u32 {
        self.template.borrow().generation(self.number)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Sharer {
    /// The part of an application with this number in the template of its environment.
    pub(super) fn new(template: SharedTemplate, number: u32, guest: Guest) -> Self {
        let mut own = Part {
            template,
            number,
            guest,
            has_joined: false,
        };
        own.join();
        Self { own, python: None }
    }

    /// It may share this one, too, of its Python.
    pub(super) fn or(mut self, template: SharedTemplate) -> Self {
        self.python = Some(Part {
            template,
            number: self.own.number,
            guest: self.own.guest.clone(),
            has_joined: false,
        });
        self
    }

    /// Takes part in the template of its Python only while there is none of its environment: the others of the Python
    /// would have it made, and kept, for nothing.
    pub(super) fn choose(&mut self) {
        let is_worthwhile = self.own.template.borrow().is_worthwhile();
        match &mut self.python {
            Some(python) if is_worthwhile => python.leave(),
            Some(python) => python.join(),
            None => {}
        }
    }

    fn chosen(&self) -> &Part {
        let python = self.python.as_ref().filter(|part| part.has_joined);
        python.unwrap_or(&self.own)
    }

    /// Whether the application may start now, or waits for a template.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let part = self.chosen();
        part.template.borrow_mut().admits(part.number, now)
    }

    /// The generation that its workers should have been forked from; 0 while there is none.
    pub(super) fn generation(&self) -> u32 {
        self.chosen().generation()
    }

    /// Has a worker forked, if a template is ready, of this generation.
    pub(super) fn fork(&self, id: WorkerId) -> Option<(SupervisorEnd, u32)> {
        let part = self.chosen();
        let control = part.template.borrow_mut().fork(part.number, id)?;
        Some((control, part.generation()))
    }

    /// Asks for the process of a run, if a template is ready.
    pub(super) fn fork_run(&self, descriptors: &[BorrowedFd<'_>]) -> bool {
        let part = self.chosen();
        let mut template = part.template.borrow_mut();
        template.fork_run(part.number, descriptors)
    }

    /// A worker is wanted no more.
    pub(super) fn forget(&self, id: WorkerId) {
        for part in self.parts() {
            part.template.borrow_mut().forget(id);
        }
    }

    /// A worker has told what it has imported beyond its template.
    pub(super) fn reported(&self, mut imported: Imported) {
        let python = self.python.as_ref().filter(|part| part.has_joined);
        if let Some(python) = python {
            let mut template = python.template.borrow_mut();
            template.reported(python.number, imported.clone());
            // The template of its environment will not have it from there.
            if let Some(contents) = template.contents() {
                imported = contents.followed_by(imported);
            }
        }
        let mut template = self.own.template.borrow_mut();
        template.reported(self.own.number, imported);
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        [&self.own].into_iter().chain(&self.python)
    }
}
