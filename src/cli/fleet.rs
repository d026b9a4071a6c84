//! Several applications: the options that only they have, and the flags that each comes to.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};

use super::definition::takes_negatives;
use super::file::{File, Table};
use super::matching::matched;
use super::own::Own;
use super::{Flags, job, variables};
use crate::jobs::Job;

/// Settings of one application only: neither the command line nor the environment sets them for all.
const IDENTITY: [&str; 10] = [
    "app",
    "app_dir",
    "bind",
    "env_file",
    "factory",
    "fd",
    "host",
    "port",
    "root_path",
    "uds",
];

/// Before the tables, or typed, these are about the server's own jobs; in a table, about the
/// application's.
const JOBS: &str = "jobs";
const STATE: &str = "state_dir";

/// One application, as if it had been typed.
#[derive(Debug, Parser)]
#[command(name = "lowmem-serve", args_override_self = true)]
#[command(disable_version_flag = true)]
struct Alone {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    own: Own,
}

/// The applications that a settings file has.
#[derive(Debug)]
pub struct Fleet {
    /// They.
    pub applications: Vec<Application>,
    /// The mistakes in included files, a line for each.
    pub wrong: Vec<String>,
    /// Patterns of included files, absolute.
    pub include: Vec<PathBuf>,
    /// The settings file.
    pub file: PathBuf,
    /// Jobs that are no application's.
    pub jobs: Vec<Job>,
    /// Where the server keeps its state, as typed; each application's is below it.
    pub state_dir: Option<PathBuf>,
    /// `bind` before the tables, the places that applications share, and where it is set.
    pub shared: Option<(Vec<String>, String)>,
}

/// One application.
#[derive(Debug)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// Where its table begins: `fleet.toml:12`.
    pub place: String,
    /// Where the paths in its table begin.
    pub base: PathBuf,
    /// It stands in an included file.
    pub is_included: bool,
    /// The flags that it is served with.
    pub flags: Flags,
    /// Settings that an application served alone does not have.
    pub own: Own,
    /// Variables of its environment.
    pub variables: Vec<(String, String)>,
    /// Where each option is set, by its long name.
    places: Vec<(String, String)>,
}

impl Application {
    /// Where an option, `--bind`, was set; else where the application's table begins.
    #[must_use]
    pub fn place_of(&self, option: &str) -> &str {
        let name = option.trim_start_matches('-');
        let set = self.places.iter().find(|(own, _)| own == name);
        set.map_or(&self.place, |(_, place)| place)
    }
}

/// Reads the applications of a file; `typed` are the matches of the command line, which counts for
/// all of them.
pub(super) fn of(
    file: &File,
    argv: &[OsString],
    typed: &ArgMatches,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Fleet, clap::Error> {
    refuse_identity(typed)?;
    let Some(several) = file.several() else {
        return Err(clap::Error::new(
            clap::error::ErrorKind::MissingRequiredArgument,
        ));
    };
    let mut fleet = Fleet {
        applications: Vec::new(),
        wrong: several.wrong.clone(),
        include: several.include.clone(),
        file: file.path().to_owned(),
        jobs: typed
            .get_many::<Job>(JOBS)
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
        state_dir: typed.get_one::<PathBuf>(STATE).cloned(),
        shared: file.shared_places(),
    };
    for table in &several.tables {
        match application(file, table, argv, variable) {
            Ok(application) => fleet.applications.push(application),
            Err(error) => {
                let text = error.to_string();
                let why = text.lines().next().unwrap_or_default();
                let why = why.trim_start_matches("error: ");
                fleet.wrong.push(format!("{}: {why}", table.place));
            }
        }
    }
    Ok(fleet)
}

fn refuse_identity(typed: &ArgMatches) -> Result<(), clap::Error> {
    for id in IDENTITY {
        let source = typed.try_contains_id(id).ok().and(typed.value_source(id));
        if source == Some(ValueSource::CommandLine) {
            let option = id.replace('_', "-");
            let why = format!(
                "--{option} is about one application, and the settings file has several: write \
                 {option} in its table [apps.NAME]\n"
            );
            return Err(clap::Error::raw(
                clap::error::ErrorKind::ArgumentConflict,
                why,
            ));
        }
    }
    Ok(())
}

fn application(
    file: &File,
    table: &Table,
    argv: &[OsString],
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Application, clap::Error> {
    let definition = takes_negatives(Alone::command());
    // An application's own setting overrides a variable, which is for all of them.
    let is_own = |id: &str| IDENTITY.contains(&id) || table.entries.iter().any(|own| own.id == id);
    let own: Vec<String> = definition
        .get_arguments()
        .filter(|arg| is_own(arg.get_id().as_str()))
        .filter_map(|arg| arg.get_env()?.to_str())
        .flat_map(variables::names)
        .collect();
    let for_all = |name: &str| variable(name).filter(|_| !own.iter().any(|own| own == name));
    let command = variables::read(table.apply(file.apply_to_all(definition.clone())), &for_all);
    let mut command = command.mut_args(|arg| match is_own(arg.get_id().as_str()) {
        // clap would read the variable by itself.
        true => arg.env(Resettable::Reset),
        false => arg,
    });
    let matches = matched(&mut command, argv)?;
    let Alone { mut flags, own } = Alone::from_arg_matches(&matches)?;
    // The whole server has one, wherever it was asked for.
    (flags.operation.status_bind, flags.operation.status_control) = (None, None);
    flags.jobs.jobs = own_jobs(table)?;
    flags.jobs.state_dir = own_values(table, STATE).next().map(PathBuf::from);
    flags.jobs.jobs_only = false;
    let long = |id: &str| {
        let arg = definition.get_arguments().find(|arg| arg.get_id() == id);
        arg.and_then(|arg| arg.get_long()).unwrap_or(id).to_owned()
    };
    let places = table.entries.iter();
    Ok(Application {
        name: table.name.clone(),
        place: table.place.clone(),
        base: table.base.clone(),
        is_included: table.is_included,
        flags,
        own,
        variables: table.variables.clone(),
        places: places
            .map(|entry| (long(&entry.id), entry.place.clone()))
            .collect(),
    })
}

/// The values that an application's own table has for an option.
fn own_values<'a>(table: &'a Table, id: &'a str) -> impl Iterator<Item = &'a String> {
    let entries = table.entries.iter().filter(move |own| own.id == id);
    entries.flat_map(|own| &own.values)
}

fn own_jobs(table: &Table) -> Result<Vec<Job>, clap::Error> {
    let jobs = own_values(table, JOBS).map(|text| job::parse(text));
    let jobs: Result<_, _> = jobs.collect();
    jobs.map_err(|why| clap::Error::raw(clap::error::ErrorKind::ValueValidation, why))
}
