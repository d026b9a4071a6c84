//! Watched directories, by inotify, with all below them.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tracing::warn;

use crate::config::Reload;

/// Files that were written and closed, touched, moved in or out, made or removed. Not each write: half a
/// file is nothing to import.
const WATCHED: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::ONLYDIR);

#[derive(Debug)]
pub(super) struct Tree {
    inotify: OwnedFd,
    /// By their watch. A directory has one watch, whatever paths lead to it.
    directories: HashMap<i32, Directory>,
    /// Directories that are polled.
    left_out: Vec<PathBuf>,
    has_warned: bool,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// It is watched for files of settings only.
    is_for_settings: bool,
}

/// The subject of an event.
enum Seen {
    /// A file, or a name that is gone.
    File(PathBuf),
    /// One where nothing else counts than settings.
    Beside(PathBuf),
    Directory(PathBuf),
    /// More has happened than the kernel could note.
    Overflow,
}

impl Tree {
    /// Nothing is watched yet, and directories that are left out never are.
    pub(super) fn new(left_out: Vec<PathBuf>) -> io::Result<Self> {
        Ok(Self {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            directories: HashMap::new(),
            left_out,
            has_warned: false,
        })
    }

    /// Watches a directory with all below it, and says which files are there.
    pub(super) fn watch(&mut self, root: &Path, reload: &Reload) -> Vec<PathBuf> {
        let (mut files, mut seen) = (Vec::new(), HashSet::new());
        let mut left = vec![root.to_owned()];
        while let Some(directory) = left.pop() {
            if self.left_out.contains(&directory) {
                continue;
            }
            let watch = match inotify::add_watch(&self.inotify, &directory, WATCHED) {
                Ok(watch) => watch,
                Err(error) => {
                    self.warn_once(&directory, error);
                    continue;
                }
            };
            let own = Directory {
                path: directory.clone(),
                is_for_settings: false,
            };
            self.directories.insert(watch, own);
            // A link may lead back up.
            if !seen.insert(watch) {
                continue;
            }
            // A directory that cannot be read cannot be imported from either.
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            for path in entries.map(|entry| entry.path()) {
                if !path.is_dir() {
                    files.push(path);
                } else if reload.enters(&path) {
                    left.push(path);
                }
            }
        }
        files
    }

    /// Watches a file, which need not be there.
    pub(super) fn watch_file(&mut self, file: &Path) {
        let Some(directory) = file.parent() else {
            return;
        };
        match inotify::add_watch(&self.inotify, directory, WATCHED) {
            Ok(watch) => {
                self.directories.entry(watch).or_insert_with(|| Directory {
                    path: directory.to_owned(),
                    is_for_settings: true,
                });
            }
            Err(error) => self.warn_once(directory, error),
        }
    }

    /// The files that have changed since the last call and count.
    pub(super) fn changed(&mut self, reload: &Reload) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for seen in self.read() {
            match seen {
                Seen::File(path) if reload.takes(&path) => files.push(path),
                Seen::File(path) | Seen::Beside(path) => {
                    files.extend(Some(path).filter(|path| reload.settings.contains(path)));
                }
                // The files in a new directory may be older than its watch.
                Seen::Directory(path) if reload.enters(&path) => {
                    files.extend(self.taken(&path, reload));
                }
                Seen::Directory(_) => {}
                // It is not known what was missed: anything may have changed.
                Seen::Overflow => {
                    for directory in &reload.directories {
                        files.extend(self.taken(directory, reload));
                    }
                    files.extend_from_slice(&reload.settings);
                }
            }
        }
        files
    }

    /// Watches a directory; the files that are there and count.
    fn taken(&mut self, directory: &Path, reload: &Reload) -> Vec<PathBuf> {
        let mut files = self.watch(directory, reload);
        files.retain(|file| reload.takes(file));
        files
    }

    fn read(&mut self) -> Vec<Seen> {
        let mut all = Vec::new();
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut space);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                // Nothing more for now.
                Err(_) => return all,
            };
            let kind = event.events();
            if kind.contains(ReadFlags::QUEUE_OVERFLOW) {
                all.push(Seen::Overflow);
            }
            if kind.contains(ReadFlags::IGNORED) {
                // The directory is gone, and its watch with it.
                self.directories.remove(&event.wd());
            }
            let directory = self.directories.get(&event.wd());
            let (Some(directory), Some(name)) = (directory, event.file_name()) else {
                continue;
            };
            let path = directory.path.join(OsStr::from_bytes(name.to_bytes()));
            let is_new = kind.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            if directory.is_for_settings {
                all.push(Seen::Beside(path));
            } else if !kind.contains(ReadFlags::ISDIR) {
                all.push(Seen::File(path));
            } else if is_new {
                all.push(Seen::Directory(path));
            }
        }
    }

    /// Once is enough: when watches run out, they do for every directory that is left.
    fn warn_once(&mut self, directory: &Path, error: Errno) {
        // Gone since it was found: there is nothing to be watched.
        if self.has_warned || matches!(error, Errno::NOENT | Errno::NOTDIR) {
            return;
        }
        self.has_warned = true;
        let hint = match error {
            Errno::NOSPC => "; raise fs.inotify.max_user_watches, or name less with --reload-dir",
            _ => "",
        };
        warn!(
            "Cannot watch {} for changes: {error}{hint}",
            directory.display()
        );
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
