//! The settings in effect, and where each came from.

use std::ffi::OsString;
use std::fmt;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args};

use super::file::File;
use super::kind::{Kind, is_setting};
use super::{Flags, variables};

/// One option of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name in a settings file: the flag's, without the dashes.
    pub name: String,
    /// Its value; none where it is not set and has no default.
    pub value: Option<Value>,
    /// The behaviour while it is not set, in words.
    pub otherwise: Option<String>,
    /// The source of the value.
    pub origin: Origin,
}

/// A value, to be shown as it would be written in a settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number or a boolean.
    Bare(String),
    /// A text.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The default: it is not set.
    Default,
    /// A line of a settings file, as in `lowmem-serve.toml:3`.
    File(String),
    /// This environment variable.
    Variable(String),
    /// The command line.
    CommandLine,
}

/// The settings that matches say, in the order of the help.
pub(super) fn of(
    matches: &ArgMatches,
    file: Option<&File>,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Vec<Setting> {
    let definition = Flags::augment_args(clap::Command::new("settings"));
    let settings = definition.get_arguments().filter(|arg| is_setting(arg));
    let setting = |arg: &Arg| {
        let id = arg.get_id().as_str();
        let (value, origin) = if is_negated(id, matches) {
            (Some(Value::Bare("false".to_owned())), Origin::CommandLine)
        } else {
            let place = file.and_then(|file| file.place(id));
            (value(arg, matches), origin(arg, matches, place, variable))
        };
        Setting {
            name: arg.get_long().unwrap_or(id).to_owned(),
            value,
            otherwise: otherwise(arg),
            origin,
        }
    };
    settings.map(setting).collect()
}

/// The help says it where it is no constant.
fn otherwise(arg: &Arg) -> Option<String> {
    let help = arg.get_help()?.to_string();
    let (_, words) = help.split_once("[default: ")?;
    Some(words.split(']').next()?.to_owned())
}

fn is_negated(id: &str, matches: &ArgMatches) -> bool {
    let negation = format!("no_{id}");
    matches!(matches.try_get_one::<bool>(&negation), Ok(Some(true)))
}

fn origin(
    arg: &Arg,
    matches: &ArgMatches,
    place: Option<String>,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Origin {
    if matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine) {
        return Origin::CommandLine;
    }
    match (variables::source(arg, variable), place) {
        (Some((variable, _)), _) => Origin::Variable(variable),
        (None, Some(place)) => Origin::File(place),
        (None, None) => Origin::Default,
    }
}

fn value(arg: &Arg, matches: &ArgMatches) -> Option<Value> {
    let id = arg.get_id().as_str();
    let kind = Kind::of(arg);
    // Of the many ways to write a boolean a file knows two.
    if let (Kind::Boolean, Ok(Some(is_true))) = (kind, matches.try_get_one::<bool>(id)) {
        return Some(Value::Bare(is_true.to_string()));
    }
    let raw = matches.get_raw(id).into_iter().flatten();
    let texts = raw.map(|text| text.to_string_lossy().into_owned());
    Value::of(kind, texts.collect())
}

impl Value {
    fn of(kind: Kind, texts: Vec<String>) -> Option<Self> {
        let Some(first) = texts.first().cloned() else {
            return (kind == Kind::List).then_some(Self::List(texts));
        };
        Some(match kind {
            Kind::List => Self::List(texts),
            Kind::Boolean | Kind::Number => Self::Bare(first),
            Kind::Quantity if first.parse::<f64>().is_ok() => Self::Bare(first),
            Kind::Quantity | Kind::Mode | Kind::Text => Self::Text(first),
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare(text) => f.write_str(text),
            Self::Text(text) => write!(f, "{}", Quoted(text)),
            Self::List(texts) => {
                f.write_str("[")?;
                for (index, text) in texts.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{}", Quoted(text))?;
                }
                f.write_str("]")
            }
        }
    }
}

/// A text as a TOML basic string.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{:04X}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => f.write_str(place),
            Self::Variable(name) => write!(f, "${name}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}
