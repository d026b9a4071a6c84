//! The settings in effect, and where each came from.

use std::ffi::OsString;
use std::fmt;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args};

use super::kind::Kind;
use super::{Flags, variables};

/// One option of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name in a settings file: the flag's, without the dashes.
    pub name: String,
    /// Its value; none where it is not set and has no default.
    pub value: Option<Value>,
    /// Who said so.
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
    /// Nobody said anything.
    Default,
    /// This environment variable.
    Variable(String),
    /// The command line.
    CommandLine,
}

/// The settings that matches say, in the order of the help.
pub(super) fn of(
    matches: &ArgMatches,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Vec<Setting> {
    let definition = Flags::augment_args(clap::Command::new("settings"));
    let shown = definition.get_arguments().filter(|arg| !is_negation(arg));
    shown.map(|arg| setting(arg, matches, variable)).collect()
}

/// `--no-x` is no setting of its own.
fn is_negation(arg: &Arg) -> bool {
    arg.get_long().is_some_and(|long| long.starts_with("no-"))
}

fn setting(
    arg: &Arg,
    matches: &ArgMatches,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Setting {
    let id = arg.get_id().as_str();
    let name = arg.get_long().unwrap_or(id).to_owned();
    let negation = format!("no_{id}");
    let is_negated =
        matches!(matches.try_get_one::<bool>(&negation), Ok(Some(negated)) if *negated);
    if is_negated {
        return Setting {
            name,
            value: Some(Value::Bare("false".to_owned())),
            origin: Origin::CommandLine,
        };
    }
    let origin = match (matches.value_source(id), variables::source(arg, variable)) {
        (Some(ValueSource::CommandLine), _) => Origin::CommandLine,
        (_, Some((variable, _))) => Origin::Variable(variable),
        _ => Origin::Default,
    };
    let kind = Kind::of(arg);
    // Of the many ways to write a boolean a file knows two.
    let texts = match matches.try_get_one::<bool>(id) {
        Ok(Some(is_true)) if kind == Kind::Boolean => vec![is_true.to_string()],
        _ => {
            let raw = matches.get_raw(id).into_iter().flatten();
            raw.map(|text| text.to_string_lossy().into_owned())
                .collect()
        }
    };
    Setting {
        name,
        value: Value::of(kind, texts),
        origin,
    }
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
            Kind::Quantity | Kind::Text => Self::Text(first),
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
            Self::Variable(name) => write!(f, "${name}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}
