//! `--reload`: changes of the source and of the settings, and what they mean for the next workers.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use tracing::{error, warn};

use super::changes::Changes;
use super::workforce::Workforce;
use crate::config::Config;

/// Reads all settings again; the text is for the operator.
pub type Reread<'a> = dyn Fn() -> Result<Config, String> + 'a;

pub(super) struct Follower<'a> {
    changes: Changes,
    /// The settings in effect.
    config: Config,
    reread: &'a Reread<'a>,
}

impl<'a> Follower<'a> {
    pub(super) fn new(changes: Changes, config: Config, reread: &'a Reread<'a>) -> Self {
        Self {
            changes,
            config,
            reread,
        }
    }

    /// When [`Self::takes_changes`] may have something, should nothing else happen.
    pub(super) fn due(&self) -> Option<Instant> {
        self.changes.due()
    }

    /// Whether something has changed that another worker has to serve; the next workers get the
    /// settings that there are by then.
    pub(super) fn takes_changes(&mut self, workforce: &mut Workforce) -> bool {
        let Some(changed) = self.changes.take(Instant::now()) else {
            return false;
        };
        let has_settings = changed.has_settings && self.take_settings(&changed.files, workforce);
        if !changed.has_source && !has_settings {
            return false;
        }
        warn!(
            "{} detected changes in {}. Reloading...",
            changed.by, changed.files
        );
        true
    }

    /// Reads the settings again; whether the next worker has others than the one that serves.
    fn take_settings(&mut self, files: &str, workforce: &mut Workforce) -> bool {
        let new = match (self.reread)() {
            Ok(new) => new,
            Err(wrong) => {
                error!("The settings stay as they were, because {files} cannot be used:\n{wrong}");
                return false;
            }
        };
        let old = &mut self.config;
        if !old.is_like_but_for_workers(&new) {
            warn!("Some settings in {files} take effect with a restart of the server only.");
        }
        if old.worker == new.worker && old.environment == new.environment {
            return false;
        }
        old.worker = new.worker;
        old.environment = new.environment;
        workforce.take(old);
        true
    }
}

impl AsFd for Follower<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }
}
