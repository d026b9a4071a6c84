//! One application of several, as it is served.

use std::path::PathBuf;

use super::Config;
use crate::routes::Route;

/// One application of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// Where its table begins: `fleet.toml:12`.
    pub place: String,
    /// The configuration that it is served with.
    pub config: Config,
    /// Its working directory.
    pub directory: PathBuf,
    /// `python`, absolute unless it is a name.
    pub python: Option<PathBuf>,
    /// The user that its workers run as.
    pub user: Option<String>,
    /// Whether it may be forked from a template that it shares with others.
    pub shares: bool,
    /// Its own part of shared places.
    pub routes: Vec<Route>,
    /// Where that is set.
    pub(super) place_of_routes: String,
}

impl Application {
    /// Whether it is served in the same way; where its table stands does not matter.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let like = Self {
            place: other.place.clone(),
            place_of_routes: other.place_of_routes.clone(),
            ..self.clone()
        };
        like == *other
    }

    /// Whether its workers are the same, though it may have other jobs.
    #[must_use]
    pub fn serves_like(&self, other: &Self) -> bool {
        let mut like = self.clone();
        like.config.jobs.clone_from(&other.config.jobs);
        like.is_like(other)
    }
}
