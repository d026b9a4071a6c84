//! The cost of an application's imports, and which of them it uses: served on trial by a worker that
//! measures its own imports (the Python package's `imports.py`), then shown as a tree, as JSON, or
//! as a page with a treemap.

pub mod advice;
pub mod html;
pub mod measured;
pub mod text;
mod tree;

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use crate::sys::weight;
use crate::trial::{Answers, Failed, Served, Trial, Warmth};
use crate::weighing;

pub use self::advice::Advice;
pub use self::measured::{Measured, Module};

/// The variable that names the file of the worker's report.
pub const REPORT_VARIABLE: &str = "LOWMEM_SERVE_IMPORTS_REPORT";

/// Only one worker, or they would write over each other's report.
const ONE_WORKER: [&str; 2] = ["--workers", "1"];

/// An application's imports.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `module:attribute`.
    pub app: String,
    /// The version of CPython it ran in.
    pub python: String,
    /// The requests after its import, and its answers.
    pub answers: Vec<Answers>,
    /// The worker's measurements.
    #[serde(flatten)]
    pub measured: Measured,
    /// Which `--lazy-imports` saves most, unless nothing was tried.
    pub advice: Option<Advice>,
}

/// Why nothing was measured.
#[derive(Debug)]
pub enum Error {
    /// The server did not start or answer.
    Trial(Failed),
    /// The application failed in what it was asked for.
    Warmth(weighing::Error),
    /// The worker has left no report, or none that can be read; what it wrote.
    NoReport(String, String),
    /// There is nowhere for the report.
    Io(io::Error),
}

/// Serves the application twice, asks it for everything, and measures the second time.
///
/// The first start leaves the bytecode of its modules behind, so that the second one measures
/// imports, and not the compiler.
///
/// # Errors
/// It is not served, or does not answer.
pub fn measure(served: &Served, warmth: &Warmth) -> Result<Report, Error> {
    let mut served = served.clone();
    served.flags.extend(ONE_WORKER.map(OsString::from));
    let first = Trial::start(&served).map_err(Error::Trial)?;
    first.stop().map_err(Error::Io)?;

    weight::settle_files();

    let file = ReportFile::new();
    let path = file.0.as_os_str().to_owned();
    served.variables.push((REPORT_VARIABLE.into(), path));
    let trial = Trial::start(&served).map_err(Error::Trial)?;
    let answers = weighing::warm(&trial, warmth, "lowmem-serve").map_err(Error::Warmth)?;
    let (_, wrote) = trial.stop().map_err(Error::Io)?;
    let text = fs::read(&file.0).map_err(|error| Error::NoReport(error.to_string(), wrote))?;
    let measured: Measured = serde_json::from_slice(&text)
        .map_err(|error| Error::NoReport(error.to_string(), String::new()))?;
    Ok(Report {
        app: served.app.clone(),
        python: served.environment.full_version(),
        answers,
        measured,
        advice: None,
    })
}

/// One JSON object; sizes are bytes, times are seconds.
pub fn json(report: &Report) -> String {
    // Numbers, texts and lists always serialise.
    serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
}

/// Where the worker writes; removed when it has been read.
struct ReportFile(PathBuf);

impl ReportFile {
    fn new() -> Self {
        let name = format!("lowmem-serve-imports-{}.json", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for ReportFile {
    fn drop(&mut self) {
        // There is none when the trial failed.
        let _ = fs::remove_file(&self.0);
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trial(failed) => failed.fmt(f),
            Self::Warmth(error) => error.fmt(f),
            Self::NoReport(why, wrote) => {
                write!(f, "the worker has left no report of its imports: {why}")?;
                match wrote.trim_end() {
                    "" => Ok(()),
                    wrote => write!(f, ". It wrote:\n{wrote}"),
                }
            }
            Self::Io(error) => write!(f, "the server cannot be stopped: {error}"),
        }
    }
}

impl std::error::Error for Error {}
