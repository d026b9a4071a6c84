//! The commands besides serving: one file for each [`Command`].
//!
//! A command receives its arguments and its surroundings, writes its result to stdout and errors to stderr,
//! and returns its exit code.

mod apps;
mod cache;
mod completions;
mod config;
mod ctl;
mod exec;
pub mod fleet;
mod growth;
mod health;
mod imports;
mod jobs;
mod man;
mod migrate;
pub mod serve;
mod status;
mod top;
mod trial;
mod weigh;

use std::io::{self, Write};

use crate::cli::{Command, Typed};
use crate::exit::Exit;
use crate::surroundings::Surroundings;

/// Does what the first word says, with what else was typed.
pub fn run(command: &Command, typed: &Typed, around: &Surroundings) -> Exit {
    match command {
        // These are serving, and never come here.
        Command::Run(_) | Command::Dev(_) => Exit::Usage,
        Command::Config(flags) => config::run(flags, typed, around),
        Command::Weigh(asked) => weigh::run(asked, around),
        Command::Jobs(asked) => jobs::run(asked, around),
        Command::Imports(asked) => imports::run(asked, around),
        Command::Growth(asked) => growth::run(asked, around),
        Command::Status(asked) => status::run(asked, around),
        Command::Health(named) => health::run(named, around),
        Command::Top(asked) => top::run(asked, around),
        Command::Ctl(control) => ctl::run(control, around),
        Command::Cache(asked) => cache::run(asked, around),
        Command::Apps(apps) => apps::run(apps, around),
        Command::Completions { shell } => write(&completions::script(*shell)),
        Command::Exec(asked) => exec::run(asked, around),
        Command::Migrate(asked) => migrate::run(asked, around),
        Command::Man => write(&man::page()),
    }
}

/// Tells what kept a command from doing what it was asked for.
fn refused(reason: &dyn std::fmt::Display) -> Exit {
    eprintln!("error: {reason}");
    Exit::CouldNotStart
}

/// Writes a command's result. A reader that has seen enough (`| head`) is no failure.
pub fn write(text: &[u8]) -> Exit {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write to stdout: {error}");
            Exit::CouldNotStart
        }
        _ => Exit::Stopped,
    }
}
