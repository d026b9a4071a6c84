//! The executable: reads argv and the environment, decides, and exits.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lowmem_serve::cli;
use lowmem_serve::config::{self, Config, Mistake, Surroundings};
use lowmem_serve::environment::{self, Search};
use lowmem_serve::exit::Exit;
use lowmem_serve::launch::{self, Launch};
use lowmem_serve::net::Listeners;
use lowmem_serve::{supervisor, telemetry};
use tracing::{error, info, warn};

/// Points at another shared object than the installed one, for working on lowmem-serve itself.
const CORE_VARIABLE: &str = "LOWMEM_SERVE_CORE";

/// Names the directory of our Python package, where a build is far from its source.
const PACKAGE_VARIABLE: &str = "LOWMEM_SERVE_PACKAGE";

fn main() -> ExitCode {
    let argv: Vec<OsString> = env::args_os().collect();
    if launch::is_worker(&argv) {
        let Err(reason) = launch::become_worker(argv);
        eprintln!("ERROR:    Cannot load Python into the worker: {reason}");
        return Exit::CouldNotStart.into();
    }
    let surroundings = surroundings(&argv);
    let variable = |name: &str| surroundings.variables.get(&OsString::from(name)).cloned();
    let cli = match cli::parse(argv, variable) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` arrives here, too, and goes to stdout with code 0.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Stopped
            }
            .into();
        }
    };
    let search = search(cli.application.python.clone(), &surroundings);
    if cli.version {
        return version(&search).into();
    }
    match config::meant(&cli, &surroundings) {
        Ok(config) => serve(&config, &search, &surroundings).into(),
        Err(mistakes) => {
            for mistake in &mistakes {
                eprintln!("error: {mistake}");
            }
            eprintln!("\nFor more information, try '--help'.");
            Mistake::exit_of(&mistakes).into()
        }
    }
}

fn serve(config: &Config, search: &Search, surroundings: &Surroundings) -> Exit {
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
    match start(config, search, surroundings) {
        Ok(exit) => exit,
        Err(reason) => {
            error!("{reason}");
            Exit::CouldNotStart
        }
    }
}

/// Everything that can fail before a worker runs does so before anything is imported.
fn start(
    config: &Config,
    search: &Search,
    surroundings: &Surroundings,
) -> Result<Exit, Box<dyn std::error::Error>> {
    let named = |variable| surroundings.variable(variable).map(PathBuf::from);
    let environment = search.find()?;
    let core = environment::find_core(named(CORE_VARIABLE), &search.executables)?;
    let package = environment::find_package(named(PACKAGE_VARIABLE), &core, &search.executables);
    let launch = Launch {
        environment,
        core,
        package: package.ok(),
        variables: config.environment.clone(),
    };
    let listeners = Listeners::open(&config.listen, config.backlog)?;
    Ok(supervisor::run(config, &launch, &listeners)?)
}

fn version(search: &Search) -> Exit {
    let version = env!("CARGO_PKG_VERSION");
    match search.find() {
        Ok(environment) => {
            let python = environment.full_version();
            println!(
                "Running lowmem-serve {version} with CPython {python} on Linux\n{environment}"
            );
        }
        Err(reason) => println!("lowmem-serve {version}\n{reason}"),
    }
    Exit::Stopped
}

fn surroundings(argv: &[OsString]) -> Surroundings {
    Surroundings {
        argv: argv
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        variables: env::vars_os().collect::<BTreeMap<_, _>>(),
        directory: env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        stdout_is_terminal: io::stdout().is_terminal(),
        stderr_is_terminal: io::stderr().is_terminal(),
    }
}

fn search(wanted: Option<PathBuf>, surroundings: &Surroundings) -> Search {
    let path = surroundings.variables.get(&OsString::from("PATH")).cloned();
    let called = surroundings
        .argv
        .first()
        .map(PathBuf::from)
        .and_then(|name| as_called(&name, path.as_ref()));
    Search {
        wanted,
        virtual_env: surroundings.variable("VIRTUAL_ENV").map(PathBuf::from),
        executables: called.into_iter().chain(env::current_exe()).collect(),
        path,
    }
}

/// The path that argv[0] stands for: a link in a venv's bin belongs to the venv, wherever it leads.
fn as_called(name: &Path, path: Option<&OsString>) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return std::path::absolute(name).ok();
    }
    let mut directories = env::split_paths(path?);
    directories.find_map(|directory| Some(directory.join(name)).filter(|found| found.is_file()))
}
