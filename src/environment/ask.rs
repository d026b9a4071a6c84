//! Asking an interpreter for facts that are in no file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The answer of an interpreter.
pub(super) struct Answer {
    pub executable: PathBuf,
    pub version: String,
}

/// Two lines: the version, which has no line break in it, and the path, which might.
const QUESTION: &str =
    "import sys; print('%d.%d.%d\\n%s' % (*sys.version_info[:3], sys.executable))";

/// Runs `python` once, without its site packages or the caller's PYTHON* variables.
pub(super) fn ask(python: &Path) -> Result<Answer, String> {
    let output = Command::new(python)
        .args(["-I", "-S", "-c", QUESTION])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let why = match said.trim() {
            "" => output.status.to_string(),
            said => said.to_owned(),
        };
        return Err(format!("it failed when asked for its version: {why}"));
    }
    parse(output.stdout).ok_or_else(|| "it does not answer as a Python does".to_owned())
}

fn parse(mut answer: Vec<u8>) -> Option<Answer> {
    let line_end = answer.iter().position(|byte| *byte == b'\n')?;
    let mut executable = answer.split_off(line_end + 1);
    executable.pop_if(|byte| *byte == b'\n');
    answer.pop();
    Some(Answer {
        executable: PathBuf::from(OsString::from_vec(executable)),
        version: String::from_utf8(answer).ok()?,
    })
}
