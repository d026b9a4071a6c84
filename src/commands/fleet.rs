//! Serving several applications: what lowmem-serve does with a settings file that has tables
//! `[apps.NAME]`.

use std::ffi::OsString;

use tracing::{error, info, warn};

use super::serve;
use crate::config::{self, Config};
use crate::environment::Search;
use crate::exit::Exit;
use crate::jobs::Settings;
use crate::launch::Launch;
use crate::supervisor::{self, Catalog, Work};
use crate::surroundings::Surroundings;
use crate::sys::title;
use crate::sys::user::User;
use crate::{cli, telemetry};

/// Serves them until the server is stopped.
pub fn run(typed: &cli::Typed, argv: &[OsString], around: &Surroundings) -> Exit {
    let Some(fleet) = &typed.fleet else {
        return Exit::Usage;
    };
    if typed.cli.flags.jobs.jobs_only {
        eprintln!(
            "error: --jobs-only: {} has applications; the jobs of a server that serves none are in a \
             file of their own",
            fleet.file.display()
        );
        return Exit::Usage;
    }
    // Settings that do not belong to one application: how lines look, where operators ask.
    let whole = match config::meant(&typed.cli.flags, around) {
        Ok(mut whole) => {
            whole.notices.extend(typed.notices.iter().cloned());
            whole
        }
        Err(mistakes) => return config::Mistake::report(&mistakes),
    };
    let fleet = match config::fleet(fleet, &typed.cli.flags, around) {
        Ok(fleet) => fleet,
        Err(wrong) => {
            wrong.iter().for_each(|line| eprintln!("error: {line}"));
            return Exit::Usage;
        }
    };
    if let Err(reason) = telemetry::init(&whole.worker.log) {
        eprintln!("ERROR:    {reason}");
        return Exit::CouldNotStart;
    }
    title::set(&format!(
        "lowmem-serve: supervisor {}",
        fleet.file.display()
    ));
    tell(&whole, &fleet);
    let search = Search::from(typed.cli.flags.application.python.clone(), around);
    let catalog = Files {
        argv,
        around,
        whole: &whole,
        search,
    };
    let never = || Err("the settings of several applications are read together".to_owned());
    match supervisor::run_fleet(&fleet, &whole, &catalog, &never) {
        Ok(exit) => exit,
        Err(reason) => {
            error!("{reason}{}", serve::hint(&reason));
            Exit::CouldNotStart
        }
    }
}

fn tell(whole: &Config, fleet: &config::Fleet) {
    whole.notices.iter().for_each(|notice| warn!("{notice}"));
    for application in &fleet.applications {
        let name = &application.name;
        for notice in &application.config.notices {
            if !whole.notices.contains(notice) {
                warn!("[{name}] {notice}");
            }
        }
    }
    fleet.wrong.iter().for_each(|line| error!("{line}"));
    info!(
        "{} applications in {}",
        fleet.applications.len(),
        fleet.file.display()
    );
}

/// The settings files.
struct Files<'a> {
    argv: &'a [OsString],
    around: &'a Surroundings,
    /// The settings that belong to no single application.
    whole: &'a Config,
    search: Search,
}

impl Catalog for Files<'_> {
    fn read(&self) -> Result<config::Fleet, String> {
        let variable = |name: &str| self.around.variables.get(&OsString::from(name)).cloned();
        let typed = cli::parse(self.argv, variable, &self.around.directory);
        let typed = typed.map_err(|error| error.to_string().trim_end().to_owned())?;
        let fleet = typed.fleet.as_ref();
        let fleet = fleet.ok_or("there is no [apps.NAME] in it any more")?;
        config::fleet(fleet, &typed.cli.flags, self.around).map_err(|wrong| wrong.join("\n"))
    }

    fn work(&self, jobs: &Settings) -> Result<Work, String> {
        let config = Config {
            jobs: jobs.clone(),
            ..self.whole.clone()
        };
        let launch = serve::launch(&config, &self.search, self.around);
        let launch = launch.map_err(|error| error.to_string())?;
        Ok(Work { config, launch })
    }

    fn launch(&self, application: &config::Application) -> Result<Launch, String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        match serve::wrong_files(&application.config) {
            Ok(wrong) if wrong.is_empty() => {}
            Ok(wrong) => return Err(wrong.trim_end().to_owned()),
            Err(reason) => return Err(format!("cannot look at the files for TLS: {reason}")),
        }
        let user = application.user.as_deref().map(User::named).transpose();
        let user = user.map_err(|error| told(&error))?;
        let search = Search::from(application.python.clone(), self.around);
        let launch = serve::launch(&application.config, &search, self.around);
        let mut launch = launch.map_err(|error| told(&error))?;
        launch.directory = Some(application.directory.clone());
        if let Some(user) = user {
            let home = user.home.to_string_lossy().into_owned();
            let login = [
                ("HOME", home),
                ("USER", user.name.clone()),
                ("LOGNAME", user.name.clone()),
            ];
            let login = login.map(|(name, value)| (name.to_owned(), value));
            launch.variables.splice(0..0, login);
            launch.user = Some(user);
        }
        Ok(launch)
    }
}
