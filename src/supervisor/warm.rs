//! The modules in the template of `--reload` or `--keep-template`: those of others that the application
//! imports.
//!
//! A worker that is ready, or goes to sleep, reports the modules that it has imported: in the second case
//! with those imported while it served, so that the next template has them, too. No process that has
//! served is ever forked. A template imports the modules from directories that are neither watched nor
//! the application's, and the next worker is forked from it with only the application's own modules left
//! to import. A module that raises without the application is left out. So is one that cannot be forked, or imports
//! the application's, with the modules of the same package that are imported after it; after a few attempts workers
//! are started without a template.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tracing::{debug, info};

use super::sharing::{self, package};

use crate::config::{Reload, WorkerConfig};
use crate::control::{Imported, SharedBy, ToImport, ToWorker, Unfit};

/// So many templates may fail. Each costs what a start costs.
const ATTEMPTS: u32 = 5;

/// Which modules are an application's own, and no template's.
#[derive(Debug)]
pub(super) enum Own {
    /// Those that are watched, or beside the application: in its directory, without links.
    Watched(Reload, PathBuf),
    /// Those in the directories of the applications that share it.
    Applications(Vec<PathBuf>),
    /// All but the standard library; the others are not reported to it.
    AllOthers,
}

#[derive(Debug)]
pub(super) struct Warm {
    own: Own,
    worker: Box<WorkerConfig>,
    /// The last worker's report, until a template has been made of it.
    last: Option<Imported>,
    /// The modules of the present template.
    made_of: Option<BTreeSet<String>>,
    /// Modules that raise when they are imported without an application.
    raised: BTreeSet<String>,
    /// Packages that have failed, and which of their modules can be imported all the same.
    left_out: BTreeMap<String, BTreeSet<String>>,
    failures: u32,
}

impl Warm {
    pub(super) fn of(reload: &Reload, worker: &WorkerConfig) -> Self {
        let app_dir = &worker.application.directory;
        let app_dir = app_dir.canonicalize().unwrap_or_else(|_| app_dir.clone());
        Self::new(Own::Watched(reload.clone(), app_dir), worker.clone())
    }

    pub(super) fn new(own: Own, worker: WorkerConfig) -> Self {
        Self {
            own,
            worker: Box::new(worker),
            last: None,
            made_of: None,
            raised: BTreeSet::new(),
            left_out: BTreeMap::new(),
            failures: 0,
        }
    }

    /// These modules are an application's own from now on.
    pub(super) fn owned_by(&mut self, own: Own) {
        self.own = own;
    }

    /// The modules and packages of the present template, by the first part of their names.
    pub(super) fn packages(&self) -> BTreeSet<&str> {
        let made_of = self.made_of.iter().flatten();
        made_of.map(|module| package(module)).collect()
    }

    /// Whether so many templates have failed that none is made.
    pub(super) fn has_given_up(&self) -> bool {
        self.failures >= ATTEMPTS
    }

    /// Handles a worker's report. Returns the first message to a template, if another one should be made.
    pub(super) fn reported(&mut self, imported: Imported) -> Option<ToWorker> {
        self.last = Some(imported);
        self.next()
    }

    /// A template cannot be made; the next attempt is without the module that failed.
    pub(super) fn unfit(&mut self, unfit: &Unfit) -> Option<ToWorker> {
        let module = unfit.module.as_deref().unwrap_or("an import");
        self.failures += 1;
        self.made_of = None;
        self.raised.extend(unfit.raised.iter().cloned());
        match &unfit.module {
            Some(_) if !unfit.raised.is_empty() => {}
            Some(module) => self.leave_out(module),
            None => self.failures = ATTEMPTS,
        }
        if self.failures < ATTEMPTS {
            debug!("Left out of the template: {module} ({})", unfit.why);
        } else {
            let why = &unfit.why;
            info!("Each start imports everything: there can be no template ({module}: {why})");
        }
        self.next()
    }

    /// Of its package, what was imported before it stays.
    fn leave_out(&mut self, module: &str) {
        let imported = self.last.as_ref().map(|imported| self.chosen(imported));
        let modules = imported.map(|chosen| chosen.modules).unwrap_or_default();
        let before = modules.into_iter().take_while(|name| name != module);
        let kept = before.filter(|name| package(name) == package(module));
        self.left_out
            .insert(package(module).to_owned(), kept.collect());
    }

    fn is_left_out(&self, module: &str) -> bool {
        let kept = self.left_out.get(package(module));
        self.raised.contains(module) || kept.is_some_and(|kept| !kept.contains(module))
    }

    /// The template has ended, or is outdated: the next worker that is ready says what another one
    /// is made of.
    pub(super) fn lost(&mut self, was_ready: bool) {
        self.made_of = None;
        if !was_ready {
            self.failures += 1;
        }
    }

    /// Templates are made for this configuration from now on.
    pub(super) fn take(&mut self, worker: Box<WorkerConfig>) {
        self.worker = worker;
    }

    /// The fault that kept a template from being made may have been fixed.
    pub(super) fn forget(&mut self) {
        self.made_of = None;
        self.raised.clear();
        self.left_out.clear();
        self.failures = 0;
    }

    fn next(&mut self) -> Option<ToWorker> {
        let imported = self.last.as_ref().filter(|_| self.failures < ATTEMPTS)?;
        let import = self.chosen(imported);
        let modules: BTreeSet<_> = import.modules.iter().cloned().collect();
        if modules.is_empty() || self.made_of.as_ref() == Some(&modules) {
            return None;
        }
        self.made_of = Some(modules);
        Some(ToWorker::Warm(self.worker.clone(), Box::new(import)))
    }

    fn chosen(&self, imported: &Imported) -> ToImport {
        let is_own = |directory: &PathBuf| self.is_own(directory);
        let own: Vec<bool> = imported.directories.iter().map(is_own).collect();
        let mut chosen = ToImport {
            modules: Vec::new(),
            directories: Vec::new(),
            application: Vec::new(),
            variables: imported.variables.clone(),
            shared_by: match self.own {
                Own::Watched(..) => SharedBy::Application,
                Own::Applications(_) => SharedBy::Environment,
                Own::AllOthers => SharedBy::Python,
            },
        };
        for (name, at) in &imported.modules {
            match own.get(*at) {
                Some(true) => chosen.application.push(name.clone()),
                Some(false) if !self.is_left_out(name) => {
                    chosen.modules.push(name.clone());
                }
                _ => {}
            }
        }
        let others = imported.directories.iter().zip(&own);
        let others = others.filter(|(_, own)| !**own);
        chosen.directories = others.map(|(directory, _)| directory.clone()).collect();
        chosen
    }

    /// Whether what is in a directory is the application's.
    fn is_own(&self, directory: &Path) -> bool {
        let Ok(real) = directory.canonicalize() else {
            // An archive is what it is.
            return self.is_below(directory);
        };
        self.is_below(&real)
    }

    fn is_below(&self, directory: &Path) -> bool {
        match &self.own {
            Own::Watched(reload, app_dir) => {
                let roots = reload.directories.iter().chain([app_dir]);
                roots
                    .into_iter()
                    .any(|root| reload.reaches(root, directory))
            }
            Own::Applications(own) => sharing::is_below(directory, own),
            Own::AllOthers => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::meant;
    use crate::surroundings::Surroundings;

    /// Watches `/proc`, where nothing is a virtual environment; the application is in `/srv`.
    fn warm() -> Warm {
        let argv = ["lowmem-serve", "app:app", "--reload", "--reload-dir=/proc"];
        let argv: Vec<_> = argv.iter().map(OsString::from).collect();
        let typed = crate::cli::parse(&argv, |_| None, Path::new("/")).unwrap();
        let around = Surroundings {
            directory: "/srv".into(),
            ..Surroundings::default()
        };
        let config = meant(&typed.cli.flags, &around).unwrap();
        Warm::of(&config.reload.unwrap(), &config.worker)
    }

    fn imported(modules: &[(&str, usize)]) -> Imported {
        Imported {
            directories: ["/usr", "/proc/self/task", "/srv/.venv/lib", "/srv/part"]
                .map(PathBuf::from)
                .to_vec(),
            modules: modules
                .iter()
                .map(|(n, at)| ((*n).to_owned(), *at))
                .collect(),
            variables: Vec::new(),
            standard: Vec::new(),
        }
    }

    fn modules(first: Option<ToWorker>) -> Vec<String> {
        match first {
            Some(ToWorker::Warm(_, import)) => import.modules,
            _ => Vec::new(),
        }
    }

    fn blame(module: &str) -> Unfit {
        Unfit {
            module: Some(module.to_owned()),
            raised: Vec::new(),
            why: "it starts a thread".to_owned(),
        }
    }

    #[test]
    fn what_is_watched_or_beside_the_application_is_its_own() {
        let told = imported(&[("json", 0), ("watched", 1), ("quart.app", 2), ("part", 3)]);
        let Some(ToWorker::Warm(_, import)) = warm().reported(told) else {
            panic!("no template");
        };
        assert_eq!(import.modules, ["json", "quart.app"]);
        assert_eq!(import.application, ["watched", "part"]);
        assert_eq!(
            import.directories,
            [Path::new("/usr"), Path::new("/srv/.venv/lib")]
        );
    }

    #[test]
    fn there_is_another_template_only_if_something_else_is_imported() {
        let mut warm = warm();
        let told = imported(&[("json", 0), ("csv", 0)]);
        assert!(warm.reported(told.clone()).is_some());
        assert!(
            warm.reported(imported(&[("csv", 0), ("json", 0)]))
                .is_none()
        );
        warm.lost(true);
        assert!(warm.reported(told).is_some());
    }

    #[test]
    fn a_module_that_fails_is_left_out_with_the_rest_of_its_package() {
        let mut warm = warm();
        let told = ["numpy", "numpy.core", "json", "numpy.linalg"];
        warm.reported(imported(&told.map(|name| (name, 0))));
        assert_eq!(modules(warm.unfit(&blame("numpy.core"))), ["numpy", "json"]);
        assert_eq!(modules(warm.unfit(&blame("numpy"))), ["json"]);
        let again = [("json", 0), ("numpy", 0), ("numpy.fft", 0), ("csv", 0)];
        assert_eq!(modules(warm.reported(imported(&again))), ["json", "csv"]);
    }

    #[test]
    fn modules_that_raise_are_left_out_and_no_others_of_their_package() {
        let mut warm = warm();
        let told = ["django", "django.models", "django.urls", "django.admin"];
        warm.reported(imported(&told.map(|name| (name, 0))));
        let unfit = Unfit {
            raised: vec!["django.models".to_owned(), "django.admin".to_owned()],
            ..blame("django.models")
        };
        assert_eq!(modules(warm.unfit(&unfit)), ["django", "django.urls"]);
        warm.forget();
        let told = imported(&told.map(|name| (name, 0)));
        assert_eq!(modules(warm.reported(told)).len(), 4);
    }

    #[test]
    fn after_some_attempts_there_is_no_template_until_all_is_imported_anew() {
        let mut warm = warm();
        let packages = ["a", "b", "c", "d", "e", "f"];
        let told = imported(&packages.map(|package| (package, 0)));
        warm.reported(told.clone());
        let attempts = packages
            .iter()
            .take_while(|name| warm.unfit(&blame(name)).is_some());
        assert_eq!(attempts.count(), ATTEMPTS as usize - 1);
        assert!(warm.reported(told.clone()).is_none());
        warm.forget();
        assert_eq!(modules(warm.reported(told)).len(), packages.len());
    }
}
