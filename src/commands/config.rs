//! `lowmem-serve config`: the settings in effect, in a form that a settings file may have.

use std::fmt::Write;

use crate::cli;
use crate::cli::{Flags, Setting, Typed};
use crate::config::{self, Mistake};
use crate::exit::Exit;
use crate::surroundings::Surroundings;

/// Where the remarks begin, unless a setting is longer.
const REMARK_COLUMN: usize = 40;

/// Writes the settings, and what is wrong with them and with those of the applications of a file.
pub(super) fn run(flags: &Flags, typed: &Typed, around: &Surroundings) -> Exit {
    let written = super::write(text(&typed.settings).as_bytes());
    match config::meant(flags, around) {
        Err(mistakes) => Mistake::report(&mistakes),
        Ok(config) => {
            if let Some(fleet) = &typed.fleet {
                return applications(fleet, flags, around, written);
            }
            for notice in &config.notices {
                eprintln!("note: {notice}");
            }
            written
        }
    }
}

/// Says what is wrong with the applications.
fn applications(fleet: &cli::Fleet, flags: &Flags, around: &Surroundings, written: Exit) -> Exit {
    let wrong = match config::fleet(fleet, flags, around) {
        Ok(fleet) => fleet.wrong,
        Err(wrong) => wrong,
    };
    wrong.iter().for_each(|line| eprintln!("error: {line}"));
    if wrong.is_empty() {
        written
    } else {
        Exit::Usage
    }
}

fn text(settings: &[Setting]) -> String {
    let mut text = String::new();
    for Setting {
        name,
        value,
        otherwise,
        origin,
    } in settings
    {
        let line = match value {
            Some(value) if !is_secret(name) => format!("{name} = {value}"),
            _ => format!("# {name}"),
        };
        let remark = match (value, otherwise) {
            (Some(_), _) if is_secret(name) => format!("{origin}, not shown"),
            (Some(_), _) => origin.to_string(),
            (None, Some(words)) => format!("not set: {words}"),
            (None, None) => "not set".to_owned(),
        };
        // Writing into memory does not fail.
        let _ = writeln!(text, "{line:REMARK_COLUMN$} # {remark}");
    }
    text
}

/// Whether a setting must not be shown in the output.
fn is_secret(name: &str) -> bool {
    name == "ssl-keyfile-password"
}
