//! What a template that applications share imports: of others' modules, what at least two of them do.
//!
//! Workers tell their imports when they are ready. The first two applications are started without a
//! template, so that there is something to learn from; the others wait for what they tell. When much
//! more has become common since, the template is made anew. Pure: which modules those are is decided
//! here, a process of them is made in [`super::shared`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::control::Imported;

/// A module takes a few tens of kilobytes: so many are worth the memory of a template beside the old
/// one until the last worker has been replaced.
const WORTH_RENEWING: usize = 16;

/// How many applications have to import a module.
const COMMON: usize = 2;

/// What the applications of one template have told, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    told: BTreeMap<u32, Imported>,
    /// Directories of the applications themselves.
    own: BTreeMap<u32, Vec<PathBuf>>,
    made_of: BTreeSet<String>,
}

impl Sharing {
    /// An application whose own modules are below these directories.
    pub(super) fn join(&mut self, application: u32, own: Vec<PathBuf>) {
        self.own.insert(application, own);
    }

    /// It is served no more.
    pub(super) fn leave(&mut self, application: u32) {
        self.own.remove(&application);
        self.told.remove(&application);
    }

    /// How many applications may share.
    pub(super) fn members(&self) -> usize {
        self.own.len()
    }

    /// A worker has told what it has imported.
    pub(super) fn told(&mut self, application: u32, imported: Imported) {
        self.told.insert(application, imported);
    }

    /// Whether there is nothing more to learn before the first template is made.
    pub(super) fn knows_enough(&self) -> bool {
        self.told.len() >= COMMON
    }

    /// Every directory that is an application's own.
    pub(super) fn own(&self) -> Vec<PathBuf> {
        self.own.values().flatten().cloned().collect()
    }

    /// What should be imported, if the last template has much less of it, or is `gone`, and whether it
    /// is much more; without variables, for those are an application's own.
    pub(super) fn next(&mut self, gone: bool) -> Option<(Imported, bool)> {
        if !self.knows_enough() {
            return None;
        }
        let merged = self.merged();
        let names: BTreeSet<_> = merged
            .modules
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        let news = names.difference(&self.made_of).count();
        let is_more = self.made_of.is_empty() || news >= WORTH_RENEWING;
        if !gone && !is_more {
            return None;
        }
        self.made_of = names;
        Some((merged, is_more))
    }

    fn merged(&self) -> Imported {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, _) in self.told.values().flat_map(|told| &told.modules) {
            *counts.entry(name).or_default() += 1;
        }
        let own = self.own();
        let is_own = |directory: &PathBuf| is_below(directory, &own);
        let mut merged = Imported {
            directories: Vec::new(),
            modules: Vec::new(),
            variables: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        for told in self.told.values() {
            for (name, at) in &told.modules {
                let Some(directory) = told.directories.get(*at) else {
                    continue;
                };
                // An application's own modules are named, so that they stay out of it.
                let counts = counts
                    .get(name.as_str())
                    .is_some_and(|count| *count >= COMMON);
                if (counts || is_own(directory)) && seen.insert(name) {
                    let known = merged.directories.iter().position(|own| own == directory);
                    let number = known.unwrap_or_else(|| {
                        merged.directories.push(directory.clone());
                        merged.directories.len() - 1
                    });
                    merged.modules.push((name.clone(), number));
                }
            }
        }
        merged
    }
}

/// Whether a directory belongs to an application: packages that are installed below it do not.
pub(super) fn is_below(directory: &std::path::Path, own: &[PathBuf]) -> bool {
    let installed = ["site-packages", "dist-packages"];
    let mut parts = directory.components();
    !parts.any(|part| installed.iter().any(|name| part.as_os_str() == *name))
        && own.iter().any(|own| directory.starts_with(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(modules: &[&str], own: &str) -> Imported {
        let own = (own.to_owned(), 1);
        let others = modules.iter().map(|name| ((*name).to_owned(), 0));
        Imported {
            directories: ["/venv/lib/site-packages", "/srv/app"]
                .map(PathBuf::from)
                .to_vec(),
            modules: others.chain([own]).collect(),
            variables: vec![("SECRET".to_owned(), Some("x".to_owned()))],
        }
    }

    fn names(imported: &Imported) -> Vec<&str> {
        imported
            .modules
            .iter()
            .map(|(name, _)| name.as_str())
            .collect()
    }

    fn of(applications: &[u32]) -> Sharing {
        let mut sharing = Sharing::default();
        for number in applications {
            sharing.join(*number, vec!["/srv/app".into()]);
        }
        sharing
    }

    #[test]
    fn two_applications_have_in_common_what_both_import_and_nothing_of_their_own() {
        let mut sharing = of(&[1, 2]);
        sharing.told(1, told(&["json", "quart", "pandas"], "one"));
        assert!(sharing.next(true).is_none());
        sharing.told(2, told(&["json", "quart", "boto3"], "two"));
        let (next, _) = sharing.next(true).unwrap();
        assert_eq!(names(&next), ["json", "quart", "one", "two"]);
        assert!(next.variables.is_empty());
        assert!(sharing.next(false).is_none());
    }

    #[test]
    fn it_is_made_anew_when_much_more_is_common() {
        let mut sharing = of(&[1, 2, 3]);
        sharing.told(1, told(&["json"], "one"));
        sharing.told(2, told(&["json"], "two"));
        assert!(sharing.next(true).is_some());
        let many: Vec<String> = (0..WORTH_RENEWING).map(|n| format!("m{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        sharing.told(3, told(&many, "three"));
        assert!(sharing.next(false).is_none());
        sharing.told(2, told(&many, "two"));
        assert!(sharing.next(false).is_some_and(|(_, is_more)| is_more));
        assert!(sharing.next(true).is_some_and(|(_, is_more)| !is_more));
    }

    #[test]
    fn what_is_installed_below_an_application_is_not_its_own() {
        let own = ["/srv/app".into()];
        let is_own = |path: &str| is_below(path.as_ref(), &own);
        assert!(is_own("/srv/app/shop"));
        assert!(!is_own("/srv/app/.venv/lib/python3.11/site-packages/quart"));
        assert!(!is_own("/usr/lib/python3.11"));
    }
}
