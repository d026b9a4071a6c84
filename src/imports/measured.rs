//! The worker's report.

use serde::{Deserialize, Serialize};

/// The memory and time that importing an application added to its worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Private dirty bytes before the application was imported: the interpreter and the server.
    pub before: u64,
    /// The same when it was imported.
    pub after: u64,
    /// The same when it had answered and its shutdown was done.
    pub end: u64,
    /// How long its import took.
    pub import_seconds: f64,
    /// How the use of modules was found out: `monitoring`, `setprofile`, or empty if it was not.
    pub watched_by: String,
    /// In the order in which their imports began.
    pub modules: Vec<Module>,
}

/// One import. Its figures include those of what it imported in turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Module {
    /// Its full name.
    pub name: String,
    /// The module, by its place in the list, during whose import it was imported.
    pub importer: Option<usize>,
    /// Whether it was imported only when the application was there.
    pub is_late: bool,
    /// The private dirty memory that it added; negative where memory was given back.
    pub bytes: i64,
    /// How long it took, without the measurement.
    pub seconds: f64,
    /// Where it is, unless it is built in.
    pub file: Option<String>,
    /// Whether it is still imported: an import that failed is not.
    pub is_there: bool,
    /// Whether one of its functions ran after the application was imported; unknown for extension
    /// modules, and for modules that define no function or class.
    pub is_used: Option<bool>,
}

impl Module {
    /// Whether it is Python, was there to be used, and was not.
    pub fn is_unused(&self) -> bool {
        self.is_there && !self.is_late && self.is_used == Some(false)
    }
}
