//! Whether a setting exists and its value is possible: asked of the options themselves, one at a
//! time, as if it had been typed.

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Args, Command};
use toml::de::DeValue;

use crate::cli::kind::{Kind, is_setting};
use crate::cli::{Flags, own};

/// Which settings there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those of an application that is served alone.
    Alone,
    /// Those that stand before the applications.
    All,
    /// Those of one application of several.
    Application,
}

/// A key that a file with several applications has not: it says what is served.
const ONLY_ALONE: &str = "jobs_only";

/// Settings of the whole server, and not of one application.
const ONLY_ALL: [&str; 4] = [
    "operator_socket",
    "status_bind",
    "status_control",
    "memory_budget",
];

/// The keys that say which application a request is for.
const ONLY_ONE: [&str; 2] = ["hosts", "paths"];

/// Other ways to name a place than `bind`, of which the shared ones are made.
const OWN_PLACES: [&str; 4] = ["host", "port", "uds", "fd"];

/// The option's id and its values as they would have been typed.
pub(super) fn entry(
    whose: Whose,
    key: &str,
    value: &DeValue<'_>,
) -> Result<(String, Vec<String>), String> {
    let definition = definition(whose);
    let name = key.replace('_', "-");
    let options = definition.get_arguments();
    let Some(option) = options
        .filter(|arg| is_setting(arg))
        .find(|arg| is_called(arg, &name))
    else {
        return Err(unknown_of(&definition, key, &name));
    };
    let id = option.get_id().as_str();
    if whose != Whose::Alone && id == ONLY_ALONE {
        return Err(format!(
            "{key}: this file has applications; the jobs of a server that serves none are in a file \
             of their own"
        ));
    }
    if whose == Whose::All && ONLY_ONE.contains(&id) {
        return Err(format!(
            "{key} is one application's; write it in its table [apps.NAME]"
        ));
    }
    if whose == Whose::All && OWN_PLACES.contains(&id) {
        return Err(format!(
            "{key}: write the places that applications share as bind = [\"0.0.0.0:80\"], and those of \
             one in its table [apps.NAME]"
        ));
    }
    if whose == Whose::Application && ONLY_ALL.contains(&id) {
        return Err(format!(
            "{key} is the whole server's; write it before the tables [apps.NAME]"
        ));
    }
    let values = texts(Kind::of(option), value)
        .map_err(|wanted| format!("{key} wants {wanted}, not {}", article(value.type_str())))?;
    for value in &values {
        possible(&definition, option, value).map_err(|why| format!("{key} = {value:?}: {why}"))?;
    }
    Ok((option.get_id().to_string(), values))
}

/// The options without their variables, which have nothing to do with what is in the file.
fn definition(whose: Whose) -> Command {
    let command = match whose {
        Whose::Alone => Flags::augment_args(Command::new("settings")),
        Whose::All | Whose::Application => own::definition(),
    };
    command.mut_args(|arg| arg.env(Resettable::Reset))
}

fn is_called(arg: &Arg, name: &str) -> bool {
    let aliases = arg.get_all_aliases().unwrap_or_default();
    let long = arg.get_long().unwrap_or(arg.get_id().as_str());
    long == name || aliases.contains(&name)
}

/// The advice about `key`, which is no setting, and meant the option `name`.
pub(in crate::cli) fn unknown(key: &str, name: &str) -> String {
    unknown_of(&definition(Whose::Alone), key, name)
}

fn unknown_of(definition: &Command, key: &str, name: &str) -> String {
    if let Some(positive) = name.strip_prefix("no-") {
        let mut options = definition.get_arguments();
        if options.any(|arg| is_called(arg, positive)) {
            return format!("there is no setting {key}; write {positive} = false");
        }
    }
    let typed = ["settings".to_owned(), format!("--{name}=")];
    let error = definition.clone().try_get_matches_from(typed).err();
    let suggested = error.and_then(|error| match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(near)) => Some(near.trim_start_matches('-').to_owned()),
        _ => None,
    });
    match suggested {
        Some(near) => format!("there is no setting {key}; did you mean {near}?"),
        None => format!("there is no setting {key}; lowmem-serve config shows all of them"),
    }
}

/// A value as text, or what it should have been.
fn texts(kind: Kind, value: &DeValue<'_>) -> Result<Vec<String>, &'static str> {
    let wanted = match kind {
        Kind::Boolean => "true or false",
        Kind::Number => "a whole number",
        Kind::Mode => "a mode like 0o660",
        Kind::Text => "a string",
        Kind::Quantity => "a number or a string",
        Kind::List => "a list of strings",
    };
    match (kind, value) {
        (Kind::Boolean, DeValue::Boolean(value)) => Ok(vec![value.to_string()]),
        (Kind::Number | Kind::Quantity, DeValue::Integer(number)) => {
            let whole = i64::from_str_radix(number.as_str(), number.radix());
            whole
                .map(|whole| vec![whole.to_string()])
                .map_err(|_| wanted)
        }
        (Kind::Mode, DeValue::Integer(number)) if number.radix() == 8 => {
            Ok(vec![number.as_str().to_owned()])
        }
        (Kind::Quantity, DeValue::Float(number)) => Ok(vec![number.as_str().to_owned()]),
        (Kind::Text | Kind::Mode | Kind::Quantity | Kind::List, DeValue::String(text)) => {
            Ok(vec![text.clone().into_owned()])
        }
        (Kind::List, DeValue::Array(values)) => {
            let texts = values.iter().map(|value| value.get_ref().as_str());
            let texts = texts.map(|text| text.map(str::to_owned).ok_or(wanted));
            texts.collect()
        }
        _ => Err(wanted),
    }
}

fn article(kind: &str) -> String {
    let is_vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if is_vowel { "an" } else { "a" })
}

/// Lets the option itself read the value.
fn possible(definition: &Command, option: &Arg, value: &str) -> Result<(), String> {
    if Kind::of(option) == Kind::Boolean {
        return Ok(());
    }
    let Some(long) = option.get_long() else {
        return Ok(());
    };
    let typed = ["settings".to_owned(), format!("--{long}={value}")];
    let Err(error) = definition.clone().try_get_matches_from(typed) else {
        return Ok(());
    };
    let choices = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(choices)) if error.kind() == ErrorKind::InvalidValue => choices,
        _ => {
            let source = std::error::Error::source(&error);
            return Err(source.map_or_else(|| "not possible".to_owned(), ToString::to_string));
        }
    };
    if choices.is_empty() {
        return Err("it is empty".to_owned());
    }
    Err(format!("the choices are {}", choices.join(", ")))
}
