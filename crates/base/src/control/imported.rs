//! The modules that workers import, for the template of `--reload`.

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
    /// Whether several applications share the template: it is worth more work before the first fork.
    pub is_shared: bool,
}

/// Why a template cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfit {
    /// The module whose import is the cause, where it is one module's.
    pub module: Option<String>,
    /// The reason.
    pub why: String,
}
