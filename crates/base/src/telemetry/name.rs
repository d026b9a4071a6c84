//! Which application a line is about, where there are several.
//!
//! In a worker it is set once; the supervisor sets it for as long as it does something for one
//! application.

use std::sync::{Arc, PoisonError, RwLock};

static NAME: RwLock<Option<Arc<str>>> = RwLock::new(None);

/// From now on lines are about this application.
pub fn name_lines(name: Option<Arc<str>>) {
    *NAME.write().unwrap_or_else(PoisonError::into_inner) = name;
}

/// The application that lines are about.
pub(super) fn current() -> Option<Arc<str>> {
    NAME.read().unwrap_or_else(PoisonError::into_inner).clone()
}
