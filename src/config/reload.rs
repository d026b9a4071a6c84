//! Which changes of which files replace the worker.
//!
//! The rules are Uvicorn's, with one of our own: a directory that an exclusion matches is not looked
//! into. Without it `.git` and `.venv` alone would be thousands of watches.

use std::path::{Path, PathBuf};
use std::time::Duration;

use glob::{MatchOptions, Pattern, glob_with};

use super::mistakes::Mistakes;
use crate::cli::{self, PollingWord};
use crate::surroundings::Surroundings;

const INCLUDED: [&str; 1] = ["*.py"];
const EXCLUDED: [&str; 4] = [".*", ".py[cod]", ".sw.*", "~*"];

/// Directories that are never looked into: of bytecode, which Python writes whenever it imports, and of
/// packages, which installers write.
const LEFT_OUT: [&str; 3] = ["__pycache__", "node_modules", "site-packages"];

/// watchfiles' variable, which Uvicorn's users know.
const FORCE_POLLING: &str = "WATCHFILES_FORCE_POLLING";

/// Marks a virtual environment, whatever its name: its files are not edited.
const ENVIRONMENT: &str = "pyvenv.cfg";

/// How long open requests, streams and WebSockets may take when a worker is replaced for a change:
/// the new code should be seen soon, and an event stream has no end of its own.
pub(super) const GRACE: Duration = Duration::from_secs(2);

const WHOLE_COMPONENTS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// `--reload` and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// The watched directories, with all below; absolute.
    pub directories: Vec<PathBuf>,
    /// The working directory, which log lines leave out.
    pub base: PathBuf,
    /// For how long changes that follow each other are one.
    pub delay: Duration,
    /// Whether directories are polled.
    pub polling: Polling,
    /// Where settings are or could be: they are watched, too.
    pub settings: Vec<PathBuf>,
    includes: Vec<Name>,
    excludes: Vec<Name>,
    excluded_directories: Vec<PathBuf>,
}

/// Whether directories are looked through every now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polling {
    /// Where their filesystems tell inotify nothing.
    Auto,
    /// All of them.
    On,
    /// None.
    Off,
}

/// A pattern, which a path matches with its last components.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    text: String,
    pattern: Pattern,
}

impl Reload {
    /// The rules that separate an application's own files from others', where none are watched.
    #[must_use]
    pub fn of_application(directory: &Path) -> Self {
        let directory = real(directory.to_owned());
        Self {
            polling: Polling::Off,
            directories: vec![directory.clone()],
            base: directory,
            delay: Duration::ZERO,
            settings: Vec::new(),
            includes: Vec::new(),
            excludes: EXCLUDED.iter().flat_map(|text| Name::new(text)).collect(),
            excluded_directories: Vec::new(),
        }
    }

    /// Whether a change of this file counts.
    #[must_use]
    pub fn takes(&self, file: &Path) -> bool {
        let mut matching = self.includes.iter().filter(|name| name.matches(file));
        let Some(first) = matching.next() else {
            return false;
        };
        // A file that is included by its very name counts, even if a pattern excludes it.
        let is_named = |name: &Name| file.to_string_lossy().ends_with(&name.text);
        is_named(first) || matching.any(is_named) || !self.excludes_file(file)
    }

    fn excludes_file(&self, file: &Path) -> bool {
        let below = |directory: &PathBuf| file.starts_with(directory);
        self.excluded_directories.iter().any(below)
            || self.excludes.iter().any(|name| name.matches(file))
    }

    /// Whether to look into a directory below one that is watched.
    #[must_use]
    pub fn enters(&self, directory: &Path) -> bool {
        !self.excludes_file(directory)
            && !LEFT_OUT.iter().any(|name| directory.ends_with(name))
            && !directory.join(ENVIRONMENT).exists()
    }

    /// Whether a directory is `root` or one below that is looked into. Both are without links.
    #[must_use]
    pub fn reaches(&self, root: &Path, directory: &Path) -> bool {
        let below = directory.ancestors().take_while(|path| *path != root);
        directory.starts_with(root) && below.into_iter().all(|path| self.enters(path))
    }
}

impl Name {
    /// A relative pattern is matched by the end of a path, as Python's `Path.match` has it.
    fn new(text: &str) -> Result<Self, glob::PatternError> {
        let from_the_right = if text.starts_with('/') { "" } else { "**/" };
        Ok(Self {
            text: text.to_owned(),
            pattern: Pattern::new(&format!("{from_the_right}{text}"))?,
        })
    }

    fn matches(&self, path: &Path) -> bool {
        self.pattern.matches_path_with(path, WHOLE_COMPONENTS)
    }
}

/// The meaning of the flags; `None` without `--reload`.
pub(super) fn meant(
    typed: &cli::Reload,
    settings: Vec<PathBuf>,
    around: &Surroundings,
    notices: &mut Vec<String>,
    mistakes: &mut Mistakes,
) -> Option<Reload> {
    let lists = [&typed.reload_includes, &typed.reload_excludes];
    if !typed.reload {
        if !typed.reload_dirs.is_empty() || lists.iter().any(|list| !list.is_empty()) {
            notices.push("Nothing is watched: the options of --reload are given without it".into());
        }
        return None;
    }
    let base = &around.directory;
    let mut directories = existing(&typed.reload_dirs, base, mistakes);
    let [includes, excludes] = lists;
    let excluded_directories = directories_of(excludes, base);
    directories.extend(directories_of(includes, base));
    directories.retain(|directory| !excluded_directories.contains(directory));
    if directories.is_empty() {
        directories.push(real(base.clone()));
    }
    Some(Reload {
        directories: outermost(directories),
        base: base.clone(),
        delay: typed.reload_delay,
        polling: polling(typed, around),
        settings: settings.into_iter().map(real_file).collect(),
        includes: names(
            "--reload-include",
            beside(&INCLUDED, includes, excludes),
            mistakes,
        ),
        excludes: names(
            "--reload-exclude",
            beside(&EXCLUDED, excludes, includes),
            mistakes,
        ),
        excluded_directories,
    })
}

/// The flag, else watchfiles' variable.
fn polling(typed: &cli::Reload, around: &Surroundings) -> Polling {
    match typed.reload_polling {
        Some(PollingWord::Auto) => Polling::Auto,
        Some(PollingWord::On) => Polling::On,
        Some(PollingWord::Off) => Polling::Off,
        None => match around.variable(FORCE_POLLING).as_deref() {
            None => Polling::Auto,
            Some(value) if is_no(value) => Polling::Off,
            Some(_) => Polling::On,
        },
    }
}

/// Whether watchfiles takes a value for no.
fn is_no(value: &str) -> bool {
    let no = ["false", "disable", "disabled"];
    no.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Those of `--reload-dir` that are directories.
fn existing(typed: &[PathBuf], base: &Path, mistakes: &mut Mistakes) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    for directory in typed {
        let path = base.join(directory);
        if path.is_dir() {
            directories.push(real(path));
        } else {
            let why = format!("{} is not a directory", path.display());
            mistakes.add("--reload-dir", why);
        }
    }
    directories
}

fn names(option: &'static str, patterns: Vec<&str>, mistakes: &mut Mistakes) -> Vec<Name> {
    let mut names = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        match Name::new(pattern) {
            Ok(name) => names.push(name),
            Err(error) => mistakes.add(option, error.to_string()),
        }
    }
    names
}

/// The defaults that the other list does not name, and what is typed.
fn beside<'a>(defaults: &[&'a str], typed: &'a [String], others: &[String]) -> Vec<&'a str> {
    let is_kept = |text: &&&str| !others.iter().any(|other| other == **text);
    let defaults = defaults.iter().filter(is_kept).copied();
    defaults.chain(typed.iter().map(String::as_str)).collect()
}

/// The directories that patterns stand for. `.*` is about files.
fn directories_of(texts: &[String], base: &Path) -> Vec<PathBuf> {
    let texts = texts.iter().filter(|text| *text != ".*");
    let found = texts.flat_map(|text| {
        let path = base.join(text);
        if path.is_dir() {
            return vec![real(path)];
        }
        let paths = glob_with(&path.to_string_lossy(), WHOLE_COMPONENTS);
        let paths = paths.into_iter().flatten().flatten();
        paths.filter(|path| path.is_dir()).map(real).collect()
    });
    found.collect()
}

/// Without links: a directory has one name.
fn real(directory: PathBuf) -> PathBuf {
    directory.canonicalize().unwrap_or(directory)
}

/// A file need not be there to have its place.
fn real_file(file: PathBuf) -> PathBuf {
    match (file.parent().map(Path::canonicalize), file.file_name()) {
        (Some(Ok(directory)), Some(name)) => directory.join(name),
        _ => file,
    }
}

/// Without those that are below another.
fn outermost(mut directories: Vec<PathBuf>) -> Vec<PathBuf> {
    directories.sort();
    directories.dedup_by(|later, earlier| later.starts_with(earlier));
    directories
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(typed: &cli::Reload) -> (Option<Reload>, Vec<String>, usize) {
        let around = Surroundings {
            directory: PathBuf::from("/"),
            ..Surroundings::default()
        };
        let (mut notices, mut mistakes) = (Vec::new(), Mistakes::default());
        let reload = meant(typed, Vec::new(), &around, &mut notices, &mut mistakes);
        (reload, notices, mistakes.len())
    }

    fn typed(includes: &[&str], excludes: &[&str]) -> cli::Reload {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        cli::Reload {
            reload: true,
            reload_dirs: Vec::new(),
            reload_includes: owned(includes),
            reload_excludes: owned(excludes),
            reload_delay: Duration::ZERO,
            reload_polling: None,
        }
    }

    fn reload(includes: &[&str], excludes: &[&str]) -> Reload {
        meaning(&typed(includes, excludes)).0.unwrap()
    }

    #[test]
    fn python_files_count_and_what_editors_leave_does_not() {
        let reload = reload(&[], &[]);
        for (path, counts) in [
            ("/app.py", true),
            ("/srv/deep/er/app.py", true),
            ("/srv/app.pyc", false),
            ("/srv/.app.py", false),
            ("/srv/~app.py", false),
            ("/srv/.app.py.swp", false),
            ("/srv/page.html", false),
            ("/srv/py", false),
        ] {
            assert_eq!(reload.takes(Path::new(path)), counts, "{path}");
        }
    }

    #[test]
    fn patterns_add_and_take_away() {
        let reload = reload(&["*.html", ".env", "conf/*.toml"], &["test_*", "*.py"]);
        for (path, counts) in [
            ("/srv/page.html", true),
            ("/srv/test_page.html", false),
            ("/srv/.env", true),
            ("/srv/.other", false),
            ("/srv/conf/a.toml", true),
            ("/srv/a.toml", false),
            // The default is taken back.
            ("/srv/app.py", false),
        ] {
            assert_eq!(reload.takes(Path::new(path)), counts, "{path}");
        }
    }

    #[test]
    fn a_pattern_from_the_root_is_the_whole_path() {
        let reload = reload(&["/srv/*.html"], &[]);
        assert!(reload.takes(Path::new("/srv/a.html")));
        assert!(!reload.takes(Path::new("/other/srv/a.html")));
    }

    #[test]
    fn hidden_excluded_and_compiled_are_not_looked_into() {
        let reload = reload(&[], &["build", "/proc"]);
        for (path, enters) in [
            ("/srv/package", true),
            ("/srv/.git", false),
            ("/srv/package/__pycache__", false),
            ("/srv/package/node_modules", false),
            ("/srv/lib/python3.13/site-packages", false),
            ("/srv/build", false),
            ("/proc", false),
            ("/proc/sys", false),
        ] {
            assert_eq!(reload.enters(Path::new(path)), enters, "{path}");
        }
        assert!(!reload.takes(Path::new("/proc/sys/a.py")));
    }

    #[test]
    fn the_flag_wins_over_watchfiles_variable() {
        for (value, polling) in [
            ("true", Polling::On),
            ("1", Polling::On),
            ("False", Polling::Off),
            ("disabled", Polling::Off),
            ("", Polling::Auto),
        ] {
            let around = Surroundings {
                variables: [(FORCE_POLLING.into(), value.into())].into(),
                ..Surroundings::default()
            };
            assert_eq!(
                super::polling(&typed(&[], &[]), &around),
                polling,
                "{value}"
            );
            let asked = cli::Reload {
                reload_polling: Some(PollingWord::Auto),
                ..typed(&[], &[])
            };
            assert_eq!(super::polling(&asked, &around), Polling::Auto);
        }
    }

    #[test]
    fn a_directory_among_the_patterns_is_watched() {
        assert_eq!(reload(&[], &[]).directories, [PathBuf::from("/")]);
        assert_eq!(reload(&["proc"], &[]).directories, [PathBuf::from("/proc")]);
        let nested = reload(&["/proc", "/proc/sys", "/pro[bc]/sys/net"], &[]);
        assert_eq!(nested.directories, [PathBuf::from("/proc")]);
    }

    #[test]
    fn without_reload_its_options_are_answered_with_a_notice() {
        let off = cli::Reload {
            reload: false,
            ..typed(&["*.html"], &[])
        };
        let (reload, notices, _) = meaning(&off);
        assert_eq!((reload, notices.len()), (None, 1));
    }

    #[test]
    fn what_is_no_directory_and_no_pattern_is_a_mistake() {
        let wrong = cli::Reload {
            reload_dirs: vec!["nowhere".into()],
            ..typed(&["a**"], &["[a"])
        };
        assert_eq!(meaning(&wrong).2, 3);
    }
}
