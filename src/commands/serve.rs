//! Serving: what lowmem-serve does when no command is named.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use tracing::{error, info, warn};

use crate::config::Config;
use crate::environment::{self, Search};
use crate::exit::Exit;
use crate::launch::Launch;
use crate::net::Listeners;
use crate::supervisor::{Member, Work};
use crate::surroundings::Surroundings;
use crate::sys::{process, title};
use crate::{supervisor, telemetry, tls};

/// Points at another shared object than the installed one, for working on lowmem-serve itself.
pub(super) const CORE_VARIABLE: &str = "LOWMEM_SERVE_CORE";

/// Names the directory of our Python package, where a build is far from its source.
pub(super) const PACKAGE_VARIABLE: &str = "LOWMEM_SERVE_PACKAGE";

/// Serves until it is stopped. `reread` reads the settings once more, for `--reload`.
pub fn run(
    config: &Config,
    search: &Search,
    around: &Surroundings,
    reread: &supervisor::Reread<'_>,
) -> Exit {
    if let Err(reason) = telemetry::init(&config.worker.log) {
        eprintln!("ERROR:    {reason}");
        return Exit::CouldNotStart;
    }
    if let Some(file) = &config.env_file {
        info!("Loading environment from '{}'", file.display());
    }
    for notice in &config.notices {
        warn!("{notice}");
    }
    match wrong_files(config) {
        Ok(wrong) if wrong.is_empty() => {}
        Ok(wrong) => {
            wrong.lines().for_each(|line| error!("{line}"));
            return Exit::Usage;
        }
        Err(reason) => {
            error!("Cannot look at the files for TLS: {reason}");
            return Exit::CouldNotStart;
        }
    }
    match start(config, search, around, reread) {
        Ok(exit) => exit,
        Err(reason) => {
            let hint = hint(&*reason);
            error!("{reason}{hint}");
            Exit::CouldNotStart
        }
    }
}

/// The remedy, where the system's message does not say so.
pub(super) fn hint(reason: &(dyn std::error::Error + 'static)) -> &'static str {
    let error = reason.downcast_ref::<io::Error>();
    match error.and_then(io::Error::raw_os_error) {
        Some(libc::EMFILE) => "; raise the limit on open files (ulimit -n)",
        Some(libc::EAGAIN) => "; raise the limit on processes (ulimit -u, pids.max)",
        _ => "",
    }
}

/// The faults in the files for TLS, a line each. A process of its own reads them, so that no key comes
/// into the supervisor; workers read it for themselves.
pub(super) fn wrong_files(config: &Config) -> io::Result<String> {
    let Some(settings) = &config.worker.server.tls else {
        return Ok(String::new());
    };
    process::apart(|| match tls::load(settings, &[]) {
        Ok(_) => String::new(),
        Err(bad) => bad.iter().map(|bad| format!("{bad}\n")).collect(),
    })
}

/// Everything that can fail before a worker runs does so before anything is imported.
fn start(
    config: &Config,
    search: &Search,
    around: &Surroundings,
    reread: &supervisor::Reread<'_>,
) -> Result<Exit, Box<dyn std::error::Error>> {
    let launch = launch(config, search, around)?;
    if let Some(why) = search.passed_over() {
        let python = launch.environment.python.display();
        warn!("{why}. {python} is taken instead.");
    }
    let work = Work {
        config: config.clone(),
        launch: launch.clone(),
    };
    let members = if config.jobs.only {
        Vec::new()
    } else {
        let listeners = Listeners::open(&config.listen, config.uds_mode, config.backlog)?;
        vec![Member {
            name: None,
            shares: false,
            directory: around.directory.clone(),
            config: config.clone(),
            launch,
            listeners: Rc::new(listeners),
        }]
    };
    title::set(&config.worker.title("supervisor"));
    Ok(supervisor::run(members, work, reread)?)
}

/// The facts for starting a worker.
pub fn launch(
    config: &Config,
    search: &Search,
    around: &Surroundings,
) -> Result<Launch, Box<dyn std::error::Error>> {
    let named = |variable| around.variable(variable).map(PathBuf::from);
    let environment = search.find()?;
    let core = environment::find_core(named(CORE_VARIABLE), &search.executables)?;
    let package = environment::find_package(named(PACKAGE_VARIABLE), &core, &search.executables);
    Ok(Launch {
        without_site: false,
        environment,
        core,
        package: if config.worker.needs_package() || !config.jobs.is_empty() {
            Some(package?)
        } else {
            package.ok()
        },
        variables: config.environment.clone(),
        directory: None,
        user: None,
    })
}
