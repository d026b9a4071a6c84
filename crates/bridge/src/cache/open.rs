//! An open store, and where it is counted.

use std::ops::{Deref, DerefMut};
use std::path::Path;

use lowmem_base::counters::{self, CacheCounts};
use lowmem_serve_cache::{Added, Store, Write};

/// The files of a cache, open in this process.
pub(super) struct Open {
    store: Store,
    /// In the worker's page, with `--status-bind`. Looked for when the files are opened: a process that
    /// was forked from a template opens them again, and only then has a page.
    counted: Option<&'static CacheCounts>,
}

impl Open {
    pub(super) fn new(store: Store, directory: &Path) -> Self {
        let page = counters::mine();
        Self {
            store,
            counted: page.and_then(|page| page.cache(directory)),
        }
    }

    /// A read has found a value, or none.
    pub(super) fn has_read(&self, has_hit: bool) {
        if let Some(counted) = self.counted {
            counted.read(has_hit);
        }
    }

    /// A write has come to this.
    pub(super) fn has_written(&self, added: &Added) {
        let is_stored = matches!(added, Added::Number(_) | Added::Written(Write::Stored));
        if let Some(counted) = self.counted.filter(|_| is_stored) {
            counted.stored();
        }
    }
}

impl Deref for Open {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl DerefMut for Open {
    fn deref_mut(&mut self) -> &mut Store {
        &mut self.store
    }
}
