//! The first steps of the commands that measure an application.

use crate::cli::OnTrial;
use crate::environment::{PythonMissing, Search};
use crate::surroundings::Surroundings;
use crate::trial::{Served, Warmth};

/// The target of requests if none is named.
const ROOT: &str = "/";

/// How the application should be served.
///
/// # Errors
/// There is no Python to serve it in.
pub(super) fn served(asked: &OnTrial, around: &Surroundings) -> Result<Served, PythonMissing> {
    let environment = Search::from(asked.python.clone(), around).find()?;
    Ok(Served {
        app: asked.app.clone(),
        app_dir: asked.app_dir.clone(),
        factory: asked.factory,
        environment,
        called_as: around.argv.first().cloned().unwrap_or_default(),
        flags: asked.flags.clone(),
        variables: Vec::new(),
    })
}

/// The requests before it is measured.
pub(super) fn warmth(asked: &OnTrial) -> Warmth {
    let mut requests = asked.requests.clone();
    if requests.is_empty() {
        requests.extend(ROOT.parse());
    }
    Warmth {
        requests,
        count: asked.count,
    }
}
