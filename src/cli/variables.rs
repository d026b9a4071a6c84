//! The environment variables of the options.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};

use super::{definition, file};

/// Uvicorn's names that are not ours with another beginning.
const RENAMED: [(&str, &str); 3] = [
    ("LOWMEM_MAX_REQUESTS", "UVICORN_LIMIT_MAX_REQUESTS"),
    (
        "LOWMEM_MAX_REQUESTS_JITTER",
        "UVICORN_LIMIT_MAX_REQUESTS_JITTER",
    ),
    (
        "LOWMEM_MAX_HEAD_SIZE",
        "UVICORN_H11_MAX_INCOMPLETE_EVENT_SIZE",
    ),
];

/// Variables without a prefix, which whole platforms set; they count last.
const SHARED: [(&str, &str); 3] = [
    ("LOWMEM_PORT", "PORT"),
    ("LOWMEM_WORKERS", "WEB_CONCURRENCY"),
    ("LOWMEM_FORWARDED_ALLOW_IPS", "FORWARDED_ALLOW_IPS"),
];

/// Lets every option, those of the subcommands too, read the one of its variables that is set.
/// The help always names the `LOWMEM_` one.
pub(super) fn read(command: Command, variable: &dyn Fn(&str) -> Option<OsString>) -> Command {
    command
        .mut_args(|arg| from_environment(arg, variable))
        .mut_subcommands(|command| read(command, variable))
}

/// The variable that an option reads: the first one that is set and, as in Uvicorn, not empty.
pub(super) fn source(
    arg: &Arg,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Option<(String, OsString)> {
    let own = arg.get_env()?.to_str()?;
    names(own).into_iter().find_map(|name| {
        let value = variable(&name).filter(|value| !value.is_empty())?;
        Some((name, value))
    })
}

/// Lets an error about a variable's value name the variable instead of the option.
pub(super) fn blamed(mut error: clap::Error, definition: &Command) -> clap::Error {
    let (Some(ContextValue::String(option)), Some(ContextValue::String(value))) = (
        error.get(ContextKind::InvalidArg),
        error.get(ContextKind::InvalidValue),
    ) else {
        return error;
    };
    let option = definition
        .get_arguments()
        .find(|arg| arg.to_string() == *option);
    let name = option
        .and_then(Arg::get_env)
        .map(|name| name.to_string_lossy().into_owned());
    match name {
        Some(name) if std::env::var_os(&name).is_some_and(|set| *set == **value) => {
            error.insert(ContextKind::InvalidArg, ContextValue::String(name));
            error
        }
        _ => error,
    }
}

/// Variables that only working on lowmem-serve itself takes.
const INTERNAL: &str = "LOWMEM_SERVE_";

/// A variable in a worker's environment: a server that an application starts inherits it.
const SLOT: &str = "LOWMEM_WORKER_SLOT";

/// Warnings about variables with our prefix that no option reads: a slip in a name would go unnoticed.
pub fn unknown<'a>(set: impl Iterator<Item = &'a OsString>) -> Vec<String> {
    let ours = set
        .filter_map(|name| name.to_str())
        .filter(|name| name.starts_with("LOWMEM_") && !name.starts_with(INTERNAL) && *name != SLOT);
    let ours: Vec<_> = ours.collect();
    if ours.is_empty() {
        return Vec::new();
    }
    let definition = definition();
    let known: Vec<_> = definition
        .get_arguments()
        .filter_map(Arg::get_env)
        .collect();
    let unknown_children = ours
        .into_iter()
        .filter(|name| !known.contains(&OsStr::new(name)));
    unknown_children
        .map(|name| {
            let option = name["LOWMEM_".len()..].to_lowercase().replace('_', "-");
            file::unknown(name, &option)
        })
        .collect()
}

pub(super) fn names(own: &str) -> Vec<String> {
    let renamed = RENAMED.iter().find(|(ours, _)| *ours == own);
    let uvicorns = match renamed {
        Some((_, theirs)) => (*theirs).to_owned(),
        None => own.replacen("LOWMEM_", "UVICORN_", 1),
    };
    let shared = SHARED.iter().filter(|(ours, _)| *ours == own);
    let mut names = vec![own.to_owned(), uvicorns];
    names.extend(shared.map(|(_, name)| (*name).to_owned()));
    names
}

fn from_environment(arg: Arg, variable: &dyn Fn(&str) -> Option<OsString>) -> Arg {
    let arg = arg.hide_env_values(true);
    let is_list = matches!(arg.get_action(), ArgAction::Append);
    let own = arg.get_env().and_then(|own| own.to_str());
    let is_empty = own.is_some_and(|own| variable(own).is_some());
    match source(&arg, variable) {
        // clap would take the whole variable for one value.
        Some((name, value)) if is_list => {
            let arg = arg.hide_default_value(true).env(Resettable::Reset);
            arg.default_values(split(&name, &value))
        }
        Some((name, _)) => arg.env(name),
        None if is_empty => arg.env(Resettable::Reset),
        None => arg,
    }
}

/// The parts of a list in a variable: directories as on PATH, everything else at white space.
fn split(name: &str, value: &OsStr) -> Vec<OsString> {
    let value = value.to_string_lossy();
    let parts: Vec<&str> = if name.ends_with("_DIRS") {
        value.split(':').filter(|part| !part.is_empty()).collect()
    } else {
        value.split_whitespace().collect()
    };
    parts.into_iter().map(OsString::from).collect()
}
