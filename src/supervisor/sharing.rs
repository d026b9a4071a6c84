//! The modules that a shared template imports: of others' modules, those that at least two applications do.
//!
//! Workers tell their imports when they are ready, and once more when they end: what they have imported
//! while they served is common as soon as two applications have. The first two applications are started without a
//! template, so that there is something to learn from; the others wait for what they tell. When much
//! more has become common since, the template is made anew. Pure: which modules those are is decided
//! here, a process of them is made in [`super::shared`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::control::Imported;

/// A module takes a few tens of kilobytes: so many are worth the memory of a template beside the old
/// one until the last worker has been replaced.
const WORTH_RENEWING: usize = 16;

/// How many applications have to import a module.
const COMMON: usize = 2;

/// Modules, and the directories that they come from.
type Modules = BTreeMap<String, PathBuf>;

/// The imports of the applications of one template, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    /// All that workers of each have ever told: one that was forked does not tell what the template has.
    told: BTreeMap<u32, Modules>,
    /// The order in which they were imported.
    order: BTreeMap<String, usize>,
    /// Directories of the applications themselves.
    own: BTreeMap<u32, Vec<PathBuf>>,
    /// The modules that the last template should have imported.
    made_of: Modules,
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

    /// A worker has told what it has imported beyond its template.
    pub(super) fn told(&mut self, application: u32, imported: Imported) {
        let told = self.told.entry(application).or_default();
        for (name, at) in imported.modules {
            let Some(directory) = imported.directories.get(at) else {
                continue;
            };
            let next = self.order.len();
            self.order.entry(name.clone()).or_insert(next);
            told.insert(name, directory.clone());
        }
    }

    /// Whether there is nothing more to learn before the first template is made.
    pub(super) fn knows_enough(&self) -> bool {
        !self.made_of.is_empty() || self.told.len() >= COMMON
    }

    /// Every directory that is an application's own.
    pub(super) fn own(&self) -> Vec<PathBuf> {
        self.own.values().flatten().cloned().collect()
    }

    /// The modules that should be imported, if the last template has much less of it, or is `gone`, and whether it
    /// is much more; without variables, for those are an application's own.
    pub(super) fn next(&mut self, gone: bool) -> Option<(Imported, bool)> {
        if !self.knows_enough() {
            return None;
        }
        let common = self.common();
        let known = &self.made_of;
        let news = common.keys().filter(|name| !known.contains_key(*name));
        let is_more = known.is_empty() || news.count() >= WORTH_RENEWING;
        if !gone && !is_more {
            return None;
        }
        self.made_of = common;
        Some((self.listed(), is_more))
    }

    /// The modules that two applications import, or the last template has; an application's own modules, too: they
    /// are named, so that they stay out of it.
    fn common(&self) -> Modules {
        let own = self.own();
        let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
        let mut common = self.made_of.clone();
        for (name, directory) in self.told.values().flatten() {
            let count = counts.entry(name).or_default();
            *count += 1;
            if *count >= COMMON || is_below(directory, &own) {
                common.insert(name.clone(), directory.clone());
            }
        }
        common
    }

    fn listed(&self) -> Imported {
        let mut listed = Imported {
            directories: Vec::new(),
            modules: Vec::new(),
            variables: Vec::new(),
        };
        let mut modules: Vec<_> = self.made_of.iter().collect();
        modules.sort_by_key(|(name, _)| self.order.get(*name));
        for (name, directory) in modules {
            let known = listed.directories.iter().position(|own| own == directory);
            let number = known.unwrap_or_else(|| {
                listed.directories.push(directory.clone());
                listed.directories.len() - 1
            });
            listed.modules.push((name.clone(), number));
        }
        listed
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
    fn what_the_template_has_is_not_told_again_and_stays_in_it() {
        let mut sharing = of(&[1, 2, 3]);
        sharing.told(1, told(&["json", "quart"], "one"));
        sharing.told(2, told(&["json", "quart"], "two"));
        assert!(sharing.next(true).is_some());
        sharing.told(1, told(&[], "one"));
        sharing.told(3, told(&[], "three"));
        sharing.leave(1);
        sharing.leave(2);
        let (next, _) = sharing.next(true).unwrap();
        assert_eq!(names(&next), ["json", "quart", "one", "two", "three"]);
    }

    #[test]
    fn what_was_imported_while_serving_is_in_the_next_template() {
        let mut sharing = of(&[1, 2]);
        sharing.told(1, told(&["json"], "one"));
        sharing.told(2, told(&["json"], "two"));
        assert!(sharing.next(true).is_some());
        sharing.told(1, told(&["json", "late"], "one"));
        assert!(sharing.next(false).is_none());
        sharing.told(2, told(&["late"], "two"));
        assert!(sharing.next(false).is_none());
        // When it is made anew, for what reason ever.
        let (next, _) = sharing.next(true).unwrap();
        assert_eq!(names(&next), ["json", "one", "two", "late"]);
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
