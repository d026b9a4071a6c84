//! The modules that workers import, for templates.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A variable of the environment; without a value it is not set.
pub type Variable = (String, Option<String>);

/// The modules that a worker has imported when it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Where modules have come from.
    pub directories: Vec<PathBuf>,
    /// The modules that have come from a file, in the order in which their imports began, with the
    /// numbers of their directories.
    pub modules: Vec<(String, usize)>,
    /// The environment variables that the application has changed.
    pub variables: Vec<Variable>,
    /// Where the standard library is.
    pub standard: Vec<PathBuf>,
}

impl Imported {
    /// These modules, and then those.
    #[must_use]
    pub fn followed_by(mut self, other: Self) -> Self {
        let own = self.directories.len();
        self.directories.extend(other.directories);
        let modules = other.modules.into_iter();
        self.modules
            .extend(modules.map(|(name, at)| (name, own + at)));
        self.variables = other.variables;
        self.standard = other.standard;
        self
    }
}

/// The workers that are forked from a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedBy {
    /// One application's workers.
    Application,
    /// Those of applications of one environment.
    Environment,
    /// Those of applications of one Python, with environments of their own.
    Python,
}

/// The modules that a template should import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToImport {
    /// Modules, in this order.
    pub modules: Vec<String>,
    /// Where they come from.
    pub directories: Vec<PathBuf>,
    /// The application's own modules, which must not be imported with them.
    pub application: Vec<String>,
    /// The environment in which the application has imported them.
    pub variables: Vec<Variable>,
    /// Which workers are forked from it: for those of several applications more work before the first fork is worth it.
    pub shared_by: SharedBy,
}

/// Why a template cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfit {
    /// The module whose import is the cause, where it is one module's.
    pub module: Option<String>,
    /// If it raised: all that raise, this one first. They need what an application does before it imports them.
    pub raised: Vec<String>,
    /// The reason.
    pub why: String,
}
