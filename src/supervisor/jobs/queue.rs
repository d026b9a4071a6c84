//! The queue: tasks as files, which applications write and this process runs.
//!
//! ```text
//! tasks/DUE-ID-ATTEMPTS.json   waiting and running tasks; DUE in milliseconds, so that names sort by it
//! keys/HASH                    the same file by its key, for as long as the task is here
//! results/ID.json              the result, for a day; ID.error is the error of a failed attempt
//! dead/ID.json                 tasks that were given up
//! tmp/                         files that are being written
//! ```
//! Each step is one rename or one unlink, so that a task is never lost, whatever ends in between; it
//! may run twice then. `python/lowmem_serve/jobs.py` has the other end.
//!
//! Only the names of the next tasks are held in memory, however many there are.

mod index;

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::inotify;
use serde::Deserialize;
use serde_json::json;
use tracing::{error, warn};

use self::index::{Index, Name};
use super::policy::pause;
use crate::jobs::report::Dead;
use crate::jobs::state::{self, StateDirectory, replace};
use crate::jobs::{Outcome, Queue, Why};

const PARTS: [&str; 5] = ["tasks", "keys", "results", "dead", "tmp"];

/// How long results are kept.
const RESULTS_KEPT: Duration = Duration::from_secs(86_400);

/// How often old ones are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(3_600);

/// A task that has been taken from the queue, to be run.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    pub id: String,
    /// `module:function`.
    pub run: String,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// Its file.
    pub file: PathBuf,
    /// The hash of its key.
    key: Option<String>,
}

/// The part of a task's file that the supervisor reads; the arguments are for its process.
#[derive(Debug, Deserialize)]
struct Task {
    id: String,
    run: String,
    key_hash: Option<String>,
}

impl Task {
    /// Reads a task's file, whose id and key become parts of paths.
    fn read(file: &Path) -> io::Result<Self> {
        let task: Self = serde_json::from_slice(&state::read(file)?)?;
        let key = task.key_hash.as_deref();
        if !index::is_id(&task.id) || key.is_some_and(|key| !index::is_id(key)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "its id is no id",
            ));
        }
        Ok(task)
    }
}

#[derive(Debug, Deserialize)]
struct Failure {
    message: String,
}

/// The directory, watched.
#[derive(Debug)]
pub(super) struct Tasks {
    pub settings: Queue,
    directory: PathBuf,
    watch: OwnedFd,
    index: Index,
    running: Vec<String>,
    /// There is no such queue in the settings any more.
    is_closed: bool,
    tidy_at: Instant,
}

impl Tasks {
    pub(super) fn open(settings: Queue, state: &StateDirectory, now: Instant) -> io::Result<Self> {
        let directory = state.queue(&PARTS)?;
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let events = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE;
        inotify::add_watch(&watch, directory.join("tasks"), events)?;
        let mut tasks = Self {
            settings,
            directory,
            watch,
            index: Index::default(),
            running: Vec::new(),
            is_closed: false,
            tidy_at: now,
        };
        tasks.mend_keys();
        tasks.fill();
        Ok(tasks)
    }

    /// Takes note of tasks that have come, and tidies from time to time.
    pub(super) fn turn(&mut self, now: Instant) {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.watch, &mut buffer);
        let mut is_overrun = false;
        while let Ok(event) = events.next() {
            is_overrun |= event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW);
            let name = event.file_name().and_then(|name| name.to_str().ok());
            if let Some(name) = name.and_then(Name::parse) {
                self.index.add(name);
            }
        }
        if is_overrun {
            self.fill();
        }
        if self.tidy_at <= now {
            self.tidy_at = now + TIDY_EVERY;
            self.tidy();
        }
    }

    /// The next task that is due, taken; `now` in milliseconds since 1970.
    pub(super) fn claim(&mut self, now: i64) -> Option<Claimed> {
        if !self.has_room() {
            return None;
        }
        loop {
            if self.index.wants_more() {
                self.fill();
            }
            let name = self.index.take_due(now)?;
            if self.running.contains(&name.id) {
                continue;
            }
            match self.begin(&name) {
                Ok(claimed) => {
                    self.running.push(claimed.id.clone());
                    return Some(claimed);
                }
                // It was cancelled, or is seen a second time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    error!("The task {} cannot be run: {error}", name.id);
                    self.set_aside(&name, &self.path("tasks", &name.to_string()));
                }
            }
        }
    }

    /// The attempt counts before it is made: a task that takes the server with it is given up, too.
    fn begin(&self, name: &Name) -> io::Result<Claimed> {
        let old = self.path("tasks", &name.to_string());
        let task = Task::read(&old)?;
        if task.id != name.id {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it has another id",
            ));
        }
        let begun = Name {
            attempts: name.attempts + 1,
            ..name.clone()
        };
        let file = self.path("tasks", &begun.to_string());
        fs::rename(old, &file)?;
        Ok(Claimed {
            id: task.id,
            run: task.run,
            attempt: begun.attempts,
            file,
            key: task.key_hash,
        })
    }

    /// Where the process of a task writes its result; what it writes counts once it has ended.
    pub(super) fn result_file(&self, id: &str) -> PathBuf {
        self.path("results", &format!("{id}.json"))
    }

    /// A task's process has ended. Says what becomes of it, for the log.
    pub(super) fn ended(&mut self, task: &Claimed, outcome: Outcome, now: i64) -> Option<String> {
        self.running.retain(|id| *id != task.id);
        let done = match outcome {
            Outcome::Done => self.done(task),
            // It did nothing wrong.
            Outcome::Ended(Why::Shutdown) => self.again(task, task.attempt - 1, now),
            Outcome::Ended(Why::Stopped) => self.give_up(task, outcome),
            _ if task.attempt > self.settings.retries => self.give_up(task, outcome),
            _ => {
                let pause = pause(task.attempt);
                let due = now + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
                self.again(task, task.attempt, due)
                    .map(|_| Some(format!("it is tried again in {}s", pause.as_secs())))
            }
        };
        done.unwrap_or_else(|error| Some(format!("its file cannot be changed: {error}")))
    }

    fn done(&self, task: &Claimed) -> io::Result<Option<String>> {
        forget(&self.result_file(&task.id).with_extension("error"));
        let removed = fs::remove_file(&task.file);
        self.forget_key(task);
        removed.map(|()| None)
    }

    fn again(&mut self, task: &Claimed, attempts: u32, due: i64) -> io::Result<Option<String>> {
        let name = Name {
            due,
            id: task.id.clone(),
            attempts,
        };
        fs::rename(&task.file, self.path("tasks", &name.to_string()))?;
        self.index.add(name);
        Ok(None)
    }

    fn give_up(&self, task: &Claimed, outcome: Outcome) -> io::Result<Option<String>> {
        let result = self.result_file(&task.id);
        let error = result.with_extension("error");
        // The process has written why, unless it was killed.
        if outcome != Outcome::Code(1) || fs::rename(&error, &result).is_err() {
            let told = json!({"status": "failed", "type": "", "message": outcome.to_string()});
            replace(&result, told.to_string().as_bytes())?;
        }
        fs::rename(&task.file, self.path("dead", &format!("{}.json", task.id)))?;
        self.forget_key(task);
        Ok(Some(format!(
            "it is given up after {} attempt(s); lowmem-serve jobs retry {} runs it again",
            task.attempt, task.id
        )))
    }

    fn forget_key(&self, task: &Claimed) {
        if let Some(key) = &task.key {
            forget(&self.path("keys", key));
        }
    }

    /// A file that is no task, or cannot be read.
    fn set_aside(&self, name: &Name, file: &Path) {
        if let Err(error) = fs::rename(file, self.path("dead", &format!("{}.json", name.id))) {
            error!("Cannot put {} aside: {error}", file.display());
        }
    }

    /// Puts a task that was given up into the queue again.
    pub(super) fn retry(&mut self, id: &str, now: i64) -> io::Result<()> {
        if !index::is_id(id) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name = Name {
            due: now,
            id: id.to_owned(),
            attempts: 0,
        };
        let dead = self.path("dead", &format!("{id}.json"));
        fs::rename(dead, self.path("tasks", &name.to_string()))?;
        forget(&self.result_file(id));
        self.index.add(name);
        Ok(())
    }

    /// From now on these settings hold for the tasks that are begun.
    pub(super) fn set(&mut self, settings: Queue) {
        self.settings = settings;
        self.is_closed = false;
    }

    /// No task is begun any more.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether none runs, nor will.
    pub(super) fn is_over(&self) -> bool {
        self.is_closed && self.running.is_empty()
    }

    fn has_room(&self) -> bool {
        !self.is_closed && self.running.len() < self.settings.concurrent
    }

    /// The number of tasks that wait.
    pub(super) fn waiting(&self) -> usize {
        let files = fs::read_dir(self.directory.join("tasks"))
            .into_iter()
            .flatten();
        files.count().saturating_sub(self.running.len())
    }

    /// Where its files are: `tasks/`, `dead/`, and more.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Tasks that were given up.
    pub(super) fn dead(&self) -> Vec<Dead> {
        let entries = fs::read_dir(self.directory.join("dead"))
            .into_iter()
            .flatten();
        let dead = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let id = name.strip_suffix(".json")?.to_owned();
            let task = Task::read(&entry.path()).ok();
            let failure: Option<Failure> = read(&self.result_file(&id));
            Some(Dead {
                id,
                run: task.map_or_else(|| "(unreadable)".to_owned(), |task| task.run),
                why: failure.map(|failure| failure.message).unwrap_or_default(),
            })
        });
        dead.collect()
    }

    /// When the next task is due, in milliseconds since 1970, if one can run then.
    pub(super) fn due(&self) -> Option<i64> {
        self.index.due().filter(|_| self.has_room())
    }

    pub(super) fn tidy_at(&self) -> Instant {
        self.tidy_at
    }

    fn fill(&mut self) {
        match fs::read_dir(self.directory.join("tasks")) {
            Ok(entries) => {
                let names = entries.flatten().filter_map(|entry| {
                    let name = Name::parse(entry.file_name().to_str()?)?;
                    (!self.running.contains(&name.id)).then_some(name)
                });
                self.index = Index::of(names);
            }
            Err(error) => error!("Cannot read the queue: {error}"),
        }
    }

    /// Removes keys whose task was never put into the queue, or has left it: the process that took the key, or
    /// ended the task, was killed in between.
    fn mend_keys(&self) {
        let tasks: std::collections::BTreeSet<_> = names(&self.directory.join("tasks"))
            .filter_map(|name| Some(Name::parse(&name)?.id))
            .collect();
        for key in names(&self.directory.join("keys")) {
            let file = self.path("keys", &key);
            let found = Task::read(&file).ok();
            let Some(task) = found.filter(|task| !tasks.contains(&task.id)) else {
                continue;
            };
            let name = Name {
                due: 0,
                id: task.id.clone(),
                attempts: 0,
            };
            if self.result_file(&task.id).exists() {
                forget(&file);
            } else if let Err(error) = fs::hard_link(&file, self.path("tasks", &name.to_string())) {
                warn!("The task {} cannot be put into the queue: {error}", task.id);
            }
        }
    }

    fn tidy(&self) {
        for part in ["results", "tmp"] {
            for name in names(&self.directory.join(part)) {
                let file = self.path(part, &name);
                let age = fs::metadata(&file).and_then(|found| found.modified());
                let is_old = age.is_ok_and(|age| {
                    SystemTime::now()
                        .duration_since(age)
                        .is_ok_and(|age| age > RESULTS_KEPT)
                });
                if is_old {
                    forget(&file);
                }
            }
        }
    }

    fn path(&self, part: &str, name: &str) -> PathBuf {
        self.directory.join(part).join(name)
    }
}

impl AsFd for Tasks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

fn names(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

fn read<T: serde::de::DeserializeOwned>(file: &Path) -> Option<T> {
    serde_json::from_slice(&state::read(file).ok()?).ok()
}

/// Removes a file that need not be there.
fn forget(file: &Path) {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!("Cannot remove {}: {error}", file.display());
        }
        _ => {}
    }
}
