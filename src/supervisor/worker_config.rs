//! The configuration that the workers of an application are started with.

use crate::config::{Config, StartFacts, TellsImports, WorkerConfig};
use crate::launch::Launch;
use crate::net::Listeners;

/// A worker's configuration, with the facts that only the supervisor knows.
pub(super) fn worker_config(
    config: &Config,
    launch: &Launch,
    listeners: &Listeners,
    shares: bool,
) -> WorkerConfig {
    let start = StartFacts {
        listeners: listeners.kinds(),
        package: launch.package.clone(),
        tells_imports: match &config.reload {
            _ if config.preload || launch.package.is_none() => TellsImports::Never,
            Some(_) => TellsImports::WhenReady,
            None if shares => TellsImports::WhenReady,
            None if config.sleep.makes_template => TellsImports::BeforeSleep,
            None => TellsImports::Never,
        },
        place: launch.place(),
        ..StartFacts::default()
    };
    WorkerConfig {
        start,
        ..config.worker.clone()
    }
}
