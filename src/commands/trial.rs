//! What the commands that measure an application do first.

use crate::cli::OnTrial;
use crate::config::Surroundings;
use crate::environment::{PythonMissing, Search};
use crate::trial::{Served, Warmth};

/// What is asked for if nothing is named.
const ROOT: &str = "/";

/// How the application is to be served.
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

/// What it is to be asked for.
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
