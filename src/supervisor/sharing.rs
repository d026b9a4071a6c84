//! The modules that a shared template imports: of others' modules, those that at least two applications do.
//!
//! Workers tell their imports when they are ready, and once more when they end: what they have imported
//! while they served is common as soon as two applications have. The first two applications are started without a
//! template, so that there is something to learn from; the others wait for what they tell. When much
//! more has become common since, the template is made anew. Pure: which modules those are is decided
//! here, a process of them is made in [`super::shared`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::control::Imported;

/// A module takes a few tens of kilobytes: so many are worth the memory of a template beside the old
/// one until the last worker has been replaced.
const WORTH_RENEWING: usize = 16;

/// Our own package, of which workers tell what all of them have from the same place.
const OURS: &str = "lowmem_serve";

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
    /// Only the standard library counts: the applications have environments of their own.
    is_of_python: bool,
    /// Of each application the modules and packages that are not of the standard library.
    others: BTreeMap<u32, BTreeSet<String>>,
}

impl Sharing {
    /// For applications that have a Python in common, and no environment.
    pub(super) fn of_python() -> Self {
        Self {
            is_of_python: true,
            ..Self::default()
        }
    }

    /// An application whose own modules are below these directories.
    pub(super) fn join(&mut self, application: u32, own: Vec<PathBuf>) {
        self.own.insert(application, own);
    }

    /// It is served no more.
    pub(super) fn leave(&mut self, application: u32) {
        self.own.remove(&application);
        self.told.remove(&application);
        self.others.remove(&application);
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
            let is_everyones = is_standard(directory, &imported.standard) || package(&name) == OURS;
            if self.is_of_python && !is_everyones {
                let others = self.others.entry(application).or_default();
                others.insert(package(&name).to_owned());
                continue;
            }
            let next = self.order.len();
            self.order.entry(name.clone()).or_insert(next);
            told.insert(name, directory.clone());
        }
    }

    /// Whether there is nothing more to learn before the first template is made.
    pub(super) fn knows_enough(&self) -> bool {
        !self.made_of.is_empty() || self.told.len() >= COMMON
    }

    /// One of these modules and packages that an application does not have from the standard library.
    pub(super) fn other(&self, application: u32, packages: &BTreeSet<&str>) -> Option<&str> {
        let mut others = self.others.get(&application).into_iter().flatten();
        others
            .find(|name| packages.contains(name.as_str()))
            .map(String::as_str)
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

    /// The modules of the last template.
    pub(super) fn listed(&self) -> Imported {
        let mut listed = Imported {
            directories: Vec::new(),
            modules: Vec::new(),
            variables: Vec::new(),
            standard: Vec::new(),
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
pub(super) fn is_below(directory: &Path, own: &[PathBuf]) -> bool {
    !is_installed(directory) && own.iter().any(|own| directory.starts_with(own))
}

fn is_standard(directory: &Path, standard: &[PathBuf]) -> bool {
    !is_installed(directory) && standard.iter().any(|own| directory.starts_with(own))
}

fn is_installed(directory: &Path) -> bool {
    let installed = ["site-packages", "dist-packages"];
    let mut parts = directory.components();
    parts.any(|part| installed.iter().any(|name| part.as_os_str() == *name))
}

/// `quart` of `quart.app`
pub(super) fn package(module: &str) -> &str {
    module.split('.').next().unwrap_or(module)
}

/// The file of a module in this directory, which comes first on `sys.path`, that is named as one of these.
pub(super) fn shadowing(directory: &Path, packages: &BTreeSet<&str>) -> Option<PathBuf> {
    let files = directory.read_dir().into_iter().flatten().flatten();
    let mut files = files.map(|entry| entry.path());
    files.find(|path| {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return false;
        };
        let (module, kind) = name.split_once('.').unwrap_or((name, ""));
        packages.contains(module)
            && match kind {
                "" => has_code(path),
                "py" | "pyc" => true,
                kind => kind == "so" || kind.ends_with(".so"),
            }
    })
}

/// Whether a directory is a package: one without code of its own does not come before a module further down the path.
fn has_code(directory: &Path) -> bool {
    let files = directory.read_dir().into_iter().flatten().flatten();
    let mut names = files.map(|entry| entry.file_name());
    names.any(|name| name.to_string_lossy().starts_with("__init__."))
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
            standard: vec!["/python/lib".into()],
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

    /// The report of an application with an environment of its own.
    fn of_environment(number: u32, standard: &[&str], others: &[&str]) -> Imported {
        let installed = format!("/python/lib/{number}/site-packages").into();
        let standard = standard.iter().map(|name| ((*name).to_owned(), 0));
        let others = others.iter().map(|name| ((*name).to_owned(), 1));
        Imported {
            directories: vec!["/python/lib/json".into(), installed],
            modules: standard.chain(others).collect(),
            variables: Vec::new(),
            standard: vec!["/python/lib".into()],
        }
    }

    #[test]
    fn environments_have_the_standard_library_in_common() {
        let mut sharing = Sharing::of_python();
        for number in [1, 2] {
            sharing.join(number, vec![format!("/srv/{number}").into()]);
            let told = of_environment(number, &["json", "json.decoder"], &["quart", "typing"]);
            sharing.told(number, told);
        }
        let (next, _) = sharing.next(true).unwrap();
        assert_eq!(names(&next), ["json", "json.decoder"]);
        let packages = BTreeSet::from(["json", "typing"]);
        assert_eq!(sharing.other(1, &packages), Some("typing"));
        assert_eq!(sharing.other(3, &packages), None);
    }

    #[test]
    fn a_module_of_the_directory_that_comes_first_is_found() {
        let root = std::env::temp_dir().join(format!("lowmem-shadow-{}", std::process::id()));
        let packages = BTreeSet::from(["typing", "json", "email", "select"]);
        for directory in ["email", "json"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        for file in ["typing_extensions.py", "typing.md", "email/letter.html"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        assert_eq!(shadowing(&root, &packages), None);
        for file in ["typing.py", "json/__init__.py", "select.cpython-311.so"] {
            std::fs::write(root.join(file), "").unwrap();
            let found = shadowing(&root, &packages).unwrap();
            assert!(root.join(file).starts_with(&found));
            std::fs::remove_file(root.join(file)).unwrap();
        }
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(shadowing(&root, &packages), None);
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
