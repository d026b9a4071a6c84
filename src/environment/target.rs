//! The interpreter that workers run in, as far as the supervisor has to know it.

use std::fmt;
use std::path::PathBuf;

use super::ask;

/// The interpreter of the target environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its `sys.executable`: in a venv the venv's own link, never resolved.
    pub python: PathBuf,
    /// Its version.
    pub version: Version,
    /// Where its code is.
    pub linkage: Linkage,
}

/// Where an interpreter's code is, which decides how a worker is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Linkage {
    /// In this libpython; a path, or a bare name that only the dynamic linker can find.
    Shared(PathBuf),
    /// In the executable itself, as Debian builds it.
    Static,
}

/// A version of CPython.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
}

/// The oldest version that the workers' shared object is built for.
pub const OLDEST: Version = Version {
    major: 3,
    minor: 11,
};

impl Environment {
    /// `3.11.7`. Asks the interpreter for the last number, which no file is sure to tell.
    pub fn full_version(&self) -> String {
        match ask::ask(&self.python) {
            Ok(answer) => answer.version,
            Err(_) => self.version.to_string(),
        }
    }
}

/// Which Python it is and how a worker loads it, for people.
impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let python = self.python.display();
        match &self.linkage {
            Linkage::Shared(library) => {
                write!(f, "Python: {python}, loaded from {}", library.display())
            }
            Linkage::Static => write!(f, "Python: {python}, started itself (it has no libpython)"),
        }
    }
}

impl Version {
    /// Reads `3.11`, `3.11.7`, `3.11.7.final.0`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
