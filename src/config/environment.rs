//! Variables and settings that come from files.

use std::ffi::OsStr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::env_file;
use super::mistakes::Mistakes;
use crate::cli::{self, Flags};
use crate::surroundings::Surroundings;

/// Each is a process: a larger number is a slip that would take the machine down.
const MOST_WORKERS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The files that flags and variables come from, there or not.
pub(super) fn settings(flags: &Flags, around: &Surroundings) -> Vec<PathBuf> {
    let files = match &flags.config {
        Some(file) => vec![file.as_path()],
        None => cli::SETTINGS_FILES.map(Path::new).to_vec(),
    };
    let files = files
        .into_iter()
        .chain(flags.application.env_file.as_deref());
    files.map(|file| around.directory.join(file)).collect()
}

/// How many workers there are: as it was typed, or by the file's WEB_CONCURRENCY.
pub(super) fn workers(
    typed: Option<usize>,
    environment: &[(String, String)],
    mistakes: &mut Mistakes,
) -> NonZeroUsize {
    let from_file = {
        let mut variables = environment.iter();
        variables.find(|(name, _)| name == "WEB_CONCURRENCY")
    };
    let (option, number) = match (typed, from_file) {
        (Some(number), _) => ("--workers", number),
        // A text that is no number is as wrong as 0.
        (None, Some((_, text))) => ("WEB_CONCURRENCY", text.trim().parse().unwrap_or(0)),
        (None, None) => return NonZeroUsize::MIN,
    };
    let number = NonZeroUsize::new(number).filter(|number| *number <= MOST_WORKERS);
    number.unwrap_or_else(|| {
        mistakes.add(option, format!("a number of workers, 1 to {MOST_WORKERS}"));
        NonZeroUsize::MIN
    })
}

/// The variables of `--env-file` that are not set already.
pub(super) fn read(
    file: Option<&Path>,
    around: &Surroundings,
    notices: &mut Vec<String>,
    mistakes: &mut Mistakes,
) -> Vec<(String, String)> {
    let Some(path) = file else {
        return Vec::new();
    };
    let text = match std::fs::read_to_string(around.directory.join(path)) {
        Ok(text) => text,
        Err(error) => {
            mistakes.add("--env-file", format!("{}: {error}", path.display()));
            return Vec::new();
        }
    };
    let outside = |name: &str| around.variables.get(OsStr::new(name));
    let mut file = env_file::parse(&text, |name| {
        outside(name).map(|value| value.to_string_lossy().into_owned())
    });
    for line in file.nonsense {
        let path = path.display();
        notices.push(format!("{path}, line {line}: not NAME=value, skipped"));
    }
    file.variables.retain(|(name, _)| outside(name).is_none());
    file.variables
}
