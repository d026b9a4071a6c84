//! The files that the applications stand in: seen to change, by inotify on the supervisor's own loop.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tracing::warn;

use crate::config::Fleet;

/// Files that were written and closed, moved in or out, made or removed: half a file is no settings.
const WATCHED: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ONLYDIR);

/// For how long changes that follow each other are one: an editor makes several of a file, and a
/// deployment of many.
const DELAY: Duration = Duration::from_millis(250);

/// Watches the directories that the files are in, or could be in.
#[derive(Debug)]
pub(super) struct Files {
    inotify: OwnedFd,
    directories: BTreeSet<PathBuf>,
    due: Option<Instant>,
}

impl Files {
    /// # Errors
    /// The kernel has no inotify instance left.
    pub(super) fn of(fleet: &Fleet) -> io::Result<Self> {
        let mut files = Self {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            directories: BTreeSet::new(),
            due: None,
        };
        files.watch(fleet);
        Ok(files)
    }

    /// Watches what a fleet is read from by now.
    pub(super) fn watch(&mut self, fleet: &Fleet) {
        let patterns = fleet.include.iter().filter_map(|pattern| pattern.parent());
        let patterns = patterns.flat_map(existing);
        let variables = fleet.applications.iter();
        let variables = variables.filter_map(|own| {
            let file = own.config.env_file.as_ref()?;
            Some(own.directory.join(file).parent()?.to_owned())
        });
        let own = fleet.file.parent().map(Path::to_owned);
        for directory in own.into_iter().chain(patterns).chain(variables) {
            if self.directories.contains(&directory) {
                continue;
            }
            match inotify::add_watch(&self.inotify, &directory, WATCHED) {
                Ok(_) => drop(self.directories.insert(directory)),
                Err(error) => warn!("{} cannot be watched: {error}", directory.display()),
            }
        }
    }

    /// Whether something has changed and nothing more follows.
    pub(super) fn changed(&mut self, now: Instant) -> bool {
        if self.has_events() {
            self.due = Some(now + DELAY);
        }
        self.due.take_if(|due| *due <= now).is_some()
    }

    /// When [`Self::changed`] may say so, should nothing else happen.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    fn has_events(&self) -> bool {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut space);
        let mut any = false;
        loop {
            match reader.next() {
                Ok(_) | Err(Errno::INTR) => any = true,
                Err(_) => return any,
            }
        }
    }
}

impl AsFd for Files {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// The directories that a pattern stands for.
fn existing(pattern: &Path) -> Vec<PathBuf> {
    let found = glob::glob(&pattern.to_string_lossy());
    let found = found.into_iter().flatten().filter_map(Result::ok);
    found.filter(|path| path.is_dir()).collect()
}
