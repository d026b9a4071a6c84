//! Jobs and the queue, and where their state is.

use std::path::{Path, PathBuf};

use super::lazy_imports;
use super::mistakes::Mistakes;
use crate::cli::{self, Jobs, StartWord};
use crate::jobs::{Limits, Queue, Settings, Start};
use crate::surroundings::Surroundings;

/// Names the directory of the queue: where tasks are written.
const QUEUE_VARIABLE: &str = "LOWMEM_SERVE_QUEUE";

/// The number of isolated calls.
const CONCURRENT_VARIABLE: &str = "LOWMEM_SERVE_ISOLATED";

/// Their niceness.
const NICE_VARIABLE: &str = "LOWMEM_SERVE_ISOLATED_NICE";

/// The directory below `$XDG_STATE_HOME`.
const DIRECTORY: &str = "lowmem-serve";

/// Where the directories of applications are in that of their server.
const APPLICATIONS: &str = "apps";

pub(super) fn meant(typed: &Jobs, around: &Surroundings, mistakes: &mut Mistakes) -> Settings {
    let mut names: Vec<_> = typed.jobs.iter().map(|job| job.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        mistakes.add(
            "--job",
            format!("there are two jobs with the name {}", pair[0]),
        );
    }
    let queue = typed.queue.then_some(Queue {
        concurrent: typed.queue_concurrent,
        retries: typed.queue_retries,
        limits: Limits {
            timeout: typed.queue_timeout,
            max_memory: typed.queue_max_memory,
            nice: 0,
        },
        start: match typed.queue_start {
            StartWord::Fresh => Start::Fresh,
            StartWord::Template => Start::Template,
        },
    });
    let settings = Settings {
        jobs: typed.jobs.clone(),
        queue,
        state: state(typed.state_dir.as_deref(), around),
        only: typed.jobs_only,
    };
    if typed.jobs_only && settings.is_empty() {
        mistakes.add(
            "--jobs-only",
            "there is no job and no queue: name one with --job or --queue",
        );
    }
    if !settings.is_empty() && settings.state.is_none() {
        let why = "name a directory: neither $STATE_DIRECTORY, $XDG_STATE_HOME nor $HOME says where \
                   jobs can keep their times and results";
        mistakes.add("--state-dir", why);
    }
    settings
}

/// The variable by which workers and runs find the queue.
pub(super) fn variable(settings: &Settings) -> Option<(String, String)> {
    let state = settings
        .state
        .as_deref()
        .filter(|_| settings.queue.is_some())?;
    let queue = state.join("queue").to_string_lossy().into_owned();
    Some((QUEUE_VARIABLE.to_owned(), queue))
}

/// The variables that tell workers how many isolated calls may run, and how nice they are.
pub(super) fn isolated(typed: &Jobs) -> impl Iterator<Item = (String, String)> {
    let count = typed.isolated_concurrent.map(|count| count.to_string());
    let nice = typed.isolated_nice.map(|nice| nice.to_string());
    let named = [(CONCURRENT_VARIABLE, count), (NICE_VARIABLE, nice)];
    let named = named.into_iter();
    named.filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

/// The modules that the template of isolated calls imports.
pub(super) fn isolated_template(typed: &Jobs, mistakes: &mut Mistakes) -> Vec<String> {
    let names = typed.isolated_template.iter();
    let names: Vec<_> = names.map(|name| name.trim().to_owned()).collect();
    if let Some(wrong) = names.iter().find(|name| !lazy_imports::is_dotted(name)) {
        mistakes.add(
            "--isolated-template",
            format!(
                "\"{wrong}\" is no module; name modules as an import does: pandas,myapp.reports"
            ),
        );
    }
    names
}

/// Those of a server of several applications, which are none's.
pub(super) fn of_fleet(typed: &cli::Fleet, around: &Surroundings) -> Settings {
    Settings {
        jobs: typed.jobs.clone(),
        queue: None,
        state: state(typed.state_dir.as_deref(), around),
        only: false,
    }
}

/// Where one of several applications keeps its state, unless its table says so.
pub(super) fn state_of(server: &Settings, name: &str) -> Option<PathBuf> {
    let server = server.state.as_ref()?;
    Some(server.join(APPLICATIONS).join(name))
}

fn state(typed: Option<&Path>, around: &Surroundings) -> Option<PathBuf> {
    if let Some(named) = typed {
        return Some(around.directory.join(named));
    }
    if let Some(own) = &around.state {
        return Some(own.clone());
    }
    let absolute = |name: &str| {
        let value = around.variable(name)?;
        // systemd writes several directories with colons between them.
        let first = PathBuf::from(value.split(':').next()?);
        Some(first).filter(|path| path.is_absolute())
    };
    let home = || Some(absolute("HOME")?.join(".local/state"));
    absolute("STATE_DIRECTORY").or_else(|| {
        let below = absolute("XDG_STATE_HOME").or_else(home)?;
        Some(below.join(DIRECTORY))
    })
}
