//! Which Python: the one a person would expect.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::interpreter::inspect;
use super::target::Environment;
use crate::surroundings::Surroundings;

/// Where to look, in this order.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// `--python`: an executable, a name on PATH, or a venv. If given, nothing else is looked at.
    pub wanted: Option<PathBuf>,
    /// `$VIRTUAL_ENV`.
    pub virtual_env: Option<PathBuf>,
    /// The lowmem-serve executable as it was called and as it resolves: the Python beside it is
    /// that of the environment it is installed in.
    pub executables: Vec<PathBuf>,
    /// `$PATH`.
    pub path: Option<OsString>,
}

/// No interpreter that can run a worker, and everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonMissing {
    looked_at: Vec<(PathBuf, String)>,
}

impl Search {
    /// Where a person in these surroundings would look; `wanted` is what they named.
    pub fn from(wanted: Option<PathBuf>, around: &Surroundings) -> Self {
        let path = around.variables.get(OsStr::new("PATH")).cloned();
        let name = around.argv.first().map(PathBuf::from);
        let called = name.and_then(|name| as_called(&name, path.as_ref()));
        let executables = called.into_iter().chain(around.executable.clone());
        Self {
            wanted,
            virtual_env: around.variable("VIRTUAL_ENV").map(PathBuf::from),
            executables: executables.collect(),
            path,
        }
    }

    /// Finds the environment. An interpreter that is unfit ends the search only if it was asked for.
    pub fn find(&self) -> Result<Environment, PythonMissing> {
        let mut looked_at = Vec::new();
        for candidate in self.candidates() {
            match look(&candidate) {
                Ok(environment) => return Ok(environment),
                Err(why) => looked_at.push((candidate, why)),
            }
        }
        Err(PythonMissing { looked_at })
    }

    /// Why the active virtual environment was passed over, which its user would not expect.
    pub fn passed_over(&self) -> Option<String> {
        let active = self
            .virtual_env
            .as_ref()
            .filter(|_| self.wanted.is_none())?;
        let why = look(active).err()?;
        Some(format!("VIRTUAL_ENV is {}: {why}", active.display()))
    }

    fn candidates(&self) -> Vec<PathBuf> {
        if let Some(wanted) = &self.wanted {
            let is_name = wanted.components().count() == 1 && !wanted.exists();
            let on_path = || {
                self.directories()
                    .into_iter()
                    .map(|d| d.join(wanted))
                    .find(|p| is_executable(p))
            };
            let found = if is_name { on_path() } else { None };
            return vec![found.unwrap_or_else(|| wanted.clone())];
        }
        let beside = self
            .executables
            .iter()
            .filter_map(|path| path.parent())
            .map(Path::to_owned);
        let mut candidates: Vec<PathBuf> = Vec::new();
        for candidate in self
            .virtual_env
            .iter()
            .cloned()
            .chain(beside)
            .chain(self.directories())
        {
            if !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
        candidates
    }

    fn directories(&self) -> Vec<PathBuf> {
        let path = self.path.as_deref().unwrap_or_default();
        std::env::split_paths(path)
            .filter(|directory| directory.is_absolute())
            .collect()
    }
}

fn look(candidate: &Path) -> Result<Environment, String> {
    match python_at(candidate) {
        Some(python) => inspect(&python),
        None => Err(absence(candidate.metadata().err())),
    }
}

/// Why there is no Python: a directory that may not be entered hides one.
fn absence(error: Option<io::Error>) -> String {
    match error {
        Some(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            format!("{error}; the server's user must be able to enter its directories")
        }
        _ => "no Python there".to_owned(),
    }
}

/// The path that `argv[0]` stands for: a link in a venv's bin belongs to the venv, wherever it leads.
fn as_called(name: &Path, path: Option<&OsString>) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return std::path::absolute(name).ok();
    }
    let mut directories = std::env::split_paths(path?);
    directories.find_map(|directory| Some(directory.join(name)).filter(|found| found.is_file()))
}

/// The interpreter at a path: itself, that of a venv, or that in a directory of executables.
fn python_at(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    if !absolute.is_dir() {
        return Some(absolute).filter(|path| is_executable(path));
    }
    let names = ["bin/python3", "bin/python", "python3", "python"];
    names
        .iter()
        .map(|name| absolute.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

impl fmt::Display for PythonMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("No Python to run the application in. Looked at:")?;
        if self.looked_at.is_empty() {
            f.write_str(
                "\n  nothing: PATH is empty, VIRTUAL_ENV is not set, --python is not given",
            )?;
        }
        for (path, why) in &self.looked_at {
            write!(f, "\n  {}: {why}", path.display())?;
        }
        f.write_str("\nName one with --python PATH (an executable or a venv), or activate a venv, which sets VIRTUAL_ENV.")
    }
}

impl std::error::Error for PythonMissing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_all_that_is_looked_at() {
        let search = Search {
            wanted: Some(PathBuf::from("/nowhere/python")),
            path: Some("/usr/bin:/bin".into()),
            ..Search::default()
        };
        let error = search.find().unwrap_err();
        assert_eq!(error.looked_at.len(), 1);
        let said = error.to_string();
        for part in [
            "/nowhere/python: no Python there",
            "--python",
            "VIRTUAL_ENV",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn one_that_may_not_be_looked_at_is_not_called_absent() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(absence(Some(denied)).starts_with("permission denied; "));
        let missing = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(absence(Some(missing)), "no Python there");
        assert_eq!(absence(None), "no Python there");
    }

    #[test]
    fn an_active_environment_that_is_gone_is_told() {
        let search = Search {
            virtual_env: Some(PathBuf::from("/nowhere")),
            ..Search::default()
        };
        let told = search.passed_over().unwrap();
        assert_eq!(told, "VIRTUAL_ENV is /nowhere: no Python there");
        let wanted = Some(PathBuf::from("/usr/bin/python3"));
        assert_eq!(Search { wanted, ..search }.passed_over(), None);
    }

    #[test]
    fn the_order_is_venv_then_beside_then_path() {
        let search = Search {
            virtual_env: Some(PathBuf::from("/venv")),
            executables: vec![PathBuf::from("/opt/bin/lowmem-serve")],
            path: Some("/usr/bin:/opt/bin".into()),
            ..Search::default()
        };
        let expected = ["/venv", "/opt/bin", "/usr/bin"].map(PathBuf::from);
        assert_eq!(search.candidates(), expected);
    }
}
