//! A configuration that is a program: it is run, as its server runs it, by the Python that will serve.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

/// The program that the Python runs; it ends after ten seconds.
const PROGRAM: &str = include_str!("settings.py");

/// A variable that such a program has left behind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PythonSetting {
    /// Its name.
    pub name: String,
    /// Its value, or those of a list, as text; none if it is of another type.
    pub values: Vec<String>,
    /// The expression that it comes from, if that is no constant.
    pub computed: Option<String>,
    /// It is a function or a class.
    pub calls: bool,
    /// Its type, if that can be no setting's.
    pub other: Option<String>,
}

/// Runs the file in this directory, and tells what it has set.
///
/// # Errors
/// It raised, did not end, or is not there.
pub fn read(python: &Path, file: &Path, directory: &Path) -> Result<Vec<PythonSetting>, String> {
    let output = Command::new(python)
        .arg("-c")
        .arg(PROGRAM)
        .arg(file)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} cannot be started: {error}", python.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().next_back().unwrap_or_default();
        let why = match last {
            "" => output.status.to_string(),
            last => last.to_owned(),
        };
        return Err(format!("{} cannot be run: {why}", file.display()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{}: {error}", file.display()))
}
