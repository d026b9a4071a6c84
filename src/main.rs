//! The executable: reads argv and the environment, decides, and exits.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use lowmem_serve::commands::{self, fleet, serve};
use lowmem_serve::config::{self, Config, Mistake};
use lowmem_serve::environment::Search;
use lowmem_serve::exit::Exit;
use lowmem_serve::surroundings::Surroundings;
use lowmem_serve::{cli, launch};

fn main() -> ExitCode {
    let argv: Vec<OsString> = env::args_os().collect();
    if launch::is_worker(&argv) {
        let Err(reason) = launch::become_worker(argv);
        eprintln!("ERROR:    Cannot load Python into the worker: {reason}");
        return Exit::CouldNotStart.into();
    }
    let surroundings = surroundings(&argv);
    let variable = |name: &str| surroundings.variables.get(&OsString::from(name)).cloned();
    let typed = match cli::parse(&argv, variable, &surroundings.directory) {
        Ok(typed) => typed,
        Err(error) => return refused(&error).into(),
    };
    if let Some(command) = &typed.cli.command {
        typed
            .notices
            .iter()
            .for_each(|notice| eprintln!("note: {notice}"));
        return commands::run(command, &typed, &surroundings).into();
    }
    let flags = &typed.cli.flags;
    let search = Search::from(flags.application.python.clone(), &surroundings);
    if typed.cli.version {
        return version(&search, typed.cli.verbose).into();
    }
    if typed.fleet.is_some() {
        return fleet::run(&typed, &argv, &surroundings).into();
    }
    let exit = match config::meant(flags, &surroundings) {
        Ok(mut config) => {
            config.notices.extend(typed.notices);
            let reread = || reread(&argv, &surroundings);
            serve::run(&config, &search, &surroundings, &reread)
        }
        Err(mistakes) => Mistake::report(&mistakes),
    };
    exit.into()
}

/// The meaning of the same command line now: the files that it names, or finds, may have changed.
fn reread(argv: &[OsString], around: &Surroundings) -> Result<Config, String> {
    let variable = |name: &str| around.variables.get(&OsString::from(name)).cloned();
    let typed = cli::parse(argv, variable, &around.directory);
    let typed = typed.map_err(|error| error.to_string().trim_end().to_owned())?;
    config::meant(&typed.cli.flags, around).map_err(|mistakes| {
        let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

/// Prints clap's message: a mistake, or the help, which goes to stdout.
fn refused(error: &clap::Error) -> Exit {
    // There is nowhere to report that the terminal is gone.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Stopped
    }
}

/// One line, as Uvicorn's; `verbose` adds which Python it is, or why there is none.
fn version(search: &Search, verbose: bool) -> Exit {
    let version = env!("CARGO_PKG_VERSION");
    let (mut text, more) = match search.find() {
        Ok(environment) => {
            let python = environment.full_version();
            let line = format!("Running lowmem-serve {version} with CPython {python} on Linux\n");
            (line, environment.to_string())
        }
        Err(reason) => (
            format!("lowmem-serve {version}, without a Python to run (-v says more)\n"),
            reason.to_string(),
        ),
    };
    if verbose {
        text.push_str(&more);
        text.push('\n');
    }
    commands::write(text.as_bytes())
}

/// Whether stderr is the stream that systemd has named in JOURNAL_STREAM, and was not redirected since.
fn stderr_is_journal() -> bool {
    let Ok(named) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    let stat = rustix::fs::fstat(io::stderr());
    stat.is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
}

fn surroundings(argv: &[OsString]) -> Surroundings {
    Surroundings {
        argv: argv
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        executable: env::current_exe().ok(),
        variables: env::vars_os().collect::<BTreeMap<_, _>>(),
        pid: std::process::id(),
        directory: env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        state: None,
        stdout_is_terminal: io::stdout().is_terminal(),
        stderr_is_terminal: io::stderr().is_terminal(),
        stderr_is_journal: stderr_is_journal(),
    }
}
