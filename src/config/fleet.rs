//! Several applications: what each of them is served with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::member::Application;
use super::routing::{self, Claims, Shared};
use super::{Config, MemoryBudget, jobs, meant};
use crate::cli::{self, ShareWord};
use crate::jobs::Settings;
use crate::net::Listen;
use crate::surroundings::Surroundings;

/// How long a worker may take to become ready, where `timeout-worker-startup` does not say: beside
/// others a start that hangs must end, and then be told.
const STARTUP: Duration = Duration::from_secs(60);

/// The applications of a settings file.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// Those that can be served.
    pub applications: Vec<Application>,
    /// The mistakes in included files, a line for each.
    pub wrong: Vec<String>,
    /// Patterns of included files, absolute.
    pub include: Vec<PathBuf>,
    /// The settings file.
    pub file: PathBuf,
    /// Jobs that are no application's.
    pub jobs: Settings,
    /// How much memory all of them together may take.
    pub memory_budget: Option<MemoryBudget>,
    /// The places that applications share, by hosts and paths.
    pub shared: Option<Shared>,
}

/// Says what each application is served with, or everything that is wrong in the settings file, a
/// line for each mistake. What is wrong with an included application keeps no other from being served.
pub fn fleet(
    typed: &cli::Fleet,
    flags: &cli::Flags,
    around: &Surroundings,
) -> Result<Fleet, Vec<String>> {
    let (shared, mut wrong) = match routing::shared(typed, flags, around) {
        Ok(shared) => (shared, Vec::new()),
        Err(wrong) => (None, wrong),
    };
    // Mistakes in it are reported; that it is there decides about the applications.
    let is_shared = typed.shared.is_some();
    let mut fleet = Fleet {
        applications: Vec::new(),
        wrong: typed.wrong.clone(),
        include: typed.include.clone(),
        file: around.directory.join(&typed.file),
        jobs: jobs::of_fleet(typed, around),
        memory_budget: flags.sleeping.memory_budget,
        shared,
    };
    let mut taken = BTreeMap::new();
    for place in fleet.shared.iter().flat_map(|shared| &shared.listen) {
        if let Some(shown) = shown(place) {
            taken.insert(shown, "all".to_owned());
        }
    }
    let mut claims = Claims::default();
    for own in &typed.applications {
        let state = jobs::state_of(&fleet.jobs, &own.name);
        let meant = application(own, is_shared, around, state).and_then(|meant| {
            separate(&meant, &mut taken)?;
            claims.take(&meant)?;
            Ok(meant)
        });
        match meant {
            Ok(meant) => fleet.applications.push(meant),
            Err(why) if own.is_included => fleet.wrong.extend(why),
            Err(why) => wrong.extend(why),
        }
    }
    if wrong.is_empty() {
        Ok(fleet)
    } else {
        Err(wrong)
    }
}

fn application(
    typed: &cli::Member,
    is_shared: bool,
    around: &Surroundings,
    state: Option<PathBuf>,
) -> Result<Application, Vec<String>> {
    let name = &typed.name;
    let mut wrong = Vec::new();
    let mut mistake = |option: &str, why: &str| {
        wrong.push(format!("{}: [apps.{name}] {why}", typed.place_of(option)));
    };
    let directory = match &typed.own.directory {
        Some(directory) => typed.base.join(directory),
        None => typed.base.clone(),
    };
    if !directory.is_dir() {
        let why = format!(
            "directory {}: there is no such directory",
            directory.display()
        );
        mistake("--directory", &why);
    }
    if typed.flags.app.is_none() {
        mistake("--app", "app is missing: app = \"module:attribute\"");
    }
    let listening = &typed.flags.listening;
    let has_place = listening.host.is_some()
        || listening.port.is_some()
        || listening.fd.is_some()
        || listening.uds.is_some()
        || !listening.bind.is_empty();
    let routes = routing::routes(typed, is_shared).unwrap_or_else(|bad| {
        for (option, why) in bad {
            mistake(
                option,
                &format!("{}: {why}", option.trim_start_matches('-')),
            );
        }
        Vec::new()
    });
    let is_routed = !typed.own.hosts.is_empty() || !typed.own.paths.is_empty();
    if !has_place && !is_routed {
        mistake(
            "--bind",
            "bind is missing: bind = [\"unix:/run/NAME.sock\"], or \"127.0.0.1:8001\"; or hosts, \
             for places that applications share",
        );
    }
    if typed.own.user.is_some() && !rustix::process::geteuid().is_root() {
        mistake("--user", "user needs a server that is started as root");
    }
    let around = Surroundings {
        state,
        ..surroundings(typed, &directory, around)
    };
    match meant(&typed.flags, &around) {
        Ok(mut config) if wrong.is_empty() => Ok(Application {
            name: name.clone(),
            place: typed.place.clone(),
            config: {
                routing::add_place(&mut config, &routes, has_place);
                placed(config, name, &directory, &typed.variables)
            },
            python: typed
                .flags
                .application
                .python
                .as_deref()
                .map(|own| below(&directory, own)),
            directory,
            user: typed.own.user.clone(),
            shares: typed.own.share == ShareWord::Auto,
            routes,
            place_of_routes: typed.place_of("--hosts").to_owned(),
        }),
        Ok(_) => Err(wrong),
        Err(mistakes) => {
            for mistake in mistakes {
                let place = typed.place_of(mistake.option());
                wrong.push(format!("{place}: [apps.{name}] {mistake}"));
            }
            Err(wrong)
        }
    }
}

/// The surroundings of an application: its own directory, and its own variables first.
fn surroundings(typed: &cli::Member, directory: &Path, around: &Surroundings) -> Surroundings {
    let mut around = around.clone();
    around.directory = directory.to_owned();
    for (name, value) in &typed.variables {
        around.variables.insert(name.into(), value.into());
    }
    around
}

/// A path below the directory, but a name that is looked up on PATH.
fn below(directory: &Path, path: &Path) -> PathBuf {
    if path.components().count() == 1 && !directory.join(path).exists() {
        path.to_owned()
    } else {
        directory.join(path)
    }
}

/// The differences from an application that is served alone.
fn placed(
    mut config: Config,
    name: &str,
    directory: &Path,
    variables: &[(String, String)],
) -> Config {
    config.worker.log.application = Some(name.to_owned());
    config.worker.server.application = Some(name.to_owned());
    config.worker_startup.get_or_insert(STARTUP);
    // Its own files are watched with those of the others.
    if let Some(reload) = &mut config.reload {
        reload.settings.clear();
    }
    config.environment.extend_from_slice(variables);
    for place in &mut config.listen {
        if let Listen::Unix(path) = place {
            *path = directory.join(&*path);
        }
    }
    if let Some(tls) = &mut config.worker.server.tls {
        let paths = [
            Some(&mut tls.certificate),
            tls.key.as_mut(),
            tls.client_roots.as_mut(),
        ];
        for path in paths.into_iter().flatten() {
            *path = directory.join(&*path);
        }
    }
    config
}

/// A place by which two applications would be in each other's way.
fn shown(place: &Listen) -> Option<String> {
    match place {
        Listen::Tcp { port: 0, .. } | Listen::Routed(_) => None,
        Listen::Tcp { host, port } => Some(format!("{host}:{port}")),
        Listen::Unix(path) => Some(format!("unix:{}", path.display())),
        Listen::Inherited(number) => Some(format!("fd://{number}")),
    }
}

/// Each place belongs to one application.
fn separate(
    application: &Application,
    taken: &mut BTreeMap<String, String>,
) -> Result<(), Vec<String>> {
    let mut wrong = Vec::new();
    for place in &application.config.listen {
        let Some(shown) = shown(place) else {
            continue;
        };
        match taken.get(&shown) {
            Some(other) => wrong.push(format!(
                "{}: [apps.{}] {shown} is a place of {other} already",
                application.place, application.name
            )),
            None => drop(taken.insert(shown, application.name.clone())),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}
