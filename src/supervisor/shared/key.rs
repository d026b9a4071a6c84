//! The properties that applications must share to be forked from the same template.

use std::fmt;
use std::path::PathBuf;

use crate::config::{LogSettings, WorkerConfig};
use crate::environment::Base;
use crate::launch::Launch;
use crate::sys::user::User;

/// Variables that Python, the C library or the dynamic linker read when a process begins; a worker
/// whose application sets one cannot be forked.
const READ_AT_START: [&str; 6] = ["PYTHON", "LD_", "MALLOC_", "GLIBC_", "LC_", "LANG"];

/// Variables that have something come before the standard library, or the library from elsewhere.
const OF_THE_LIBRARY: [&str; 3] = ["PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR"];

/// Where the modules of a template are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) enum Origin {
    /// An environment, by its `sys.executable`.
    Environment(PathBuf),
    /// The standard library of a Python.
    Python(Base),
}

/// The properties that applications must share to be forked from the same template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) origin: Origin,
    core: PathBuf,
    package: Option<PathBuf>,
    user: Option<User>,
    gc_freeze: bool,
    merges_pages: bool,
    pub(super) log: LogSettings,
}

/// Whether an application may be forked from a template that it shares.
pub(in crate::supervisor) fn may_share(worker: &WorkerConfig, launch: &Launch) -> bool {
    let is_plain = |name: &str| !READ_AT_START.iter().any(|begin| name.starts_with(begin));
    let is_plain = |(name, _): &(String, String)| is_plain(name) && name != "TZ";
    launch.package.is_some()
        && worker.diagnosis.growth.is_none()
        && worker.diagnosis.imports_report.is_none()
        && launch.variables.iter().all(is_plain)
}

/// The Python whose standard library an application shares with those that have other environments.
pub(in crate::supervisor) fn base(launch: &Launch) -> Result<Base, String> {
    let mut set = OF_THE_LIBRARY.iter();
    if let Some(name) = set.find(|name| std::env::var_os(name).is_some()) {
        return Err(format!("{name} is set"));
    }
    launch.environment.base()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(python) => write!(f, "{}", python.display()),
            Self::Python(base) => write!(f, "the standard library of {base}"),
        }
    }
}

impl Key {
    pub(super) fn of(origin: Origin, worker: &WorkerConfig, launch: &Launch) -> Self {
        Self {
            origin,
            core: launch.core.clone(),
            package: launch.package.clone(),
            user: launch.user.clone(),
            gc_freeze: worker.application.gc_freeze,
            merges_pages: worker.application.merges_pages,
            log: LogSettings {
                application: None,
                ..worker.log.clone()
            },
        }
    }
}
