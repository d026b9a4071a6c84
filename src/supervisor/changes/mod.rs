//! Changes of source files, for `--reload`.
//!
//! By inotify on the supervisor's own loop: no thread, no polling, and nothing happens while nothing is
//! written. A crate that watches on every platform would start a thread for it. Filesystems that tell
//! inotify nothing are polled ([`polled`]).

mod burst;
mod bytecode;
mod polled;
mod tree;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use tracing::info;

use self::burst::Burst;
use self::polled::{Polled, Silent};
use self::tree::Tree;
use crate::config::Reload;

/// The watched directories, and what has happened in them.
#[derive(Debug)]
pub(super) struct Changes {
    reload: Reload,
    tree: Tree,
    polled: Option<Polled>,
    /// The burst has changes that polling found.
    is_polled: bool,
    burst: Burst,
}

/// A burst of changes.
#[derive(Debug)]
pub(super) struct Changed {
    /// The files, as a log line shows them.
    pub files: String,
    /// How the first of them was noticed.
    pub by: &'static str,
    /// One of them is the application's.
    pub has_source: bool,
    /// One of them has settings, or variables.
    pub has_settings: bool,
}

impl Changes {
    /// Watches the directories. What is in them now is no change.
    ///
    /// # Errors
    /// The kernel has no inotify instance left.
    pub(super) fn of(reload: &Reload) -> io::Result<Self> {
        let silent = polled::silent(reload);
        silent.iter().for_each(tell);
        let mut tree = Tree::new(silent.iter().map(|silent| silent.root.clone()).collect())?;
        for directory in &reload.directories {
            tree.watch(directory, reload);
        }
        reload
            .settings
            .iter()
            .for_each(|file| tree.watch_file(file));
        Ok(Self {
            reload: reload.clone(),
            tree,
            polled: (!silent.is_empty()).then(|| Polled::of(&silent, reload, Instant::now())),
            is_polled: false,
            burst: Burst::new(reload.delay),
        })
    }

    /// The directories, as log lines show them.
    pub(super) fn directories(&self) -> String {
        let quoted = |directory: &PathBuf| format!("'{}'", directory.display());
        let quoted: Vec<_> = self.reload.directories.iter().map(quoted).collect();
        format!("[{}]", quoted.join(", "))
    }

    /// The changed files, once nothing more follows.
    pub(super) fn take(&mut self, now: Instant) -> Option<Changed> {
        for file in self.tree.changed(&self.reload) {
            self.burst.add(file, now);
        }
        if let Some(polled) = &mut self.polled {
            for file in polled.changed(&self.reload, now) {
                self.is_polled = true;
                self.burst.add(file, now);
            }
        }
        let files = self.burst.take(now)?;
        files.iter().for_each(|file| bytecode::forget(file));
        let shown: Vec<_> = files.iter().map(|file| self.shown(file)).collect();
        Some(Changed {
            files: shown.join(", "),
            by: if std::mem::take(&mut self.is_polled) {
                "polling"
            } else {
                "inotify"
            },
            has_source: files.iter().any(|file| self.reload.takes(file)),
            has_settings: files.iter().any(|file| self.reload.settings.contains(file)),
        })
    }

    /// When [`Self::take`] may have something, should nothing else happen.
    pub(super) fn due(&self) -> Option<Instant> {
        let polled = self.polled.as_ref().map(Polled::due);
        [self.burst.due(), polled].into_iter().flatten().min()
    }

    fn shown(&self, file: &Path) -> String {
        let short = file.strip_prefix(&self.reload.base).unwrap_or(file);
        format!("'{}'", short.display())
    }
}

/// Says that a directory is polled.
fn tell(silent: &Silent) {
    let root = silent.root.display();
    match silent.filesystem {
        Some(filesystem) => info!(
            "'{root}' is polled for changes, because its filesystem ({filesystem}) does not tell of those \
             that others make"
        ),
        None => info!("'{root}' is polled for changes"),
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tree.as_fd()
    }
}
