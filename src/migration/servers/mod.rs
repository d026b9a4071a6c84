//! The options of each server.

mod daphne;
mod fastapi;
mod flask;
mod granian;
mod gunicorn;
mod hypercorn;
mod uwsgi;
mod values;
mod waitress;

use super::effect::{Effect, Effects, flag, missing, needless, switch};

/// A server that an application may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs)]
pub enum Server {
    Uvicorn,
    Gunicorn,
    Hypercorn,
    Daphne,
    Granian,
    Uwsgi,
    Waitress,
    /// `fastapi run`
    FastApi,
    /// `flask run`
    Flask,
}

/// One option.
pub(super) struct Opt {
    /// The names of its command.
    pub(super) names: &'static [&'static str],
    /// Whether a value follows it.
    pub(super) takes: Takes,
    here: Here,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Value,
}

/// The counterpart of an option.
enum Here {
    /// The same under this name.
    Is(&'static str),
    /// The counterpart that the function makes of its value.
    By(fn(&str) -> Effects),
    /// A flag without a value.
    Switch(&'static str),
    /// Nothing, and why.
    Missing(&'static str),
    /// It is always so, and why.
    Needless(&'static str),
}

/// An option whose value is passed on.
const fn is(names: &'static [&'static str], here: &'static str) -> Opt {
    opt(names, Takes::Value, Here::Is(here))
}

/// An option whose value means something else here.
const fn by(names: &'static [&'static str], here: fn(&str) -> Effects) -> Opt {
    opt(names, Takes::Value, Here::By(here))
}

/// An option without a value.
const fn on(names: &'static [&'static str], here: &'static str) -> Opt {
    opt(names, Takes::Nothing, Here::Switch(here))
}

/// An option with or without a value that nothing here does.
const fn no(names: &'static [&'static str], takes: Takes, why: &'static str) -> Opt {
    opt(names, takes, Here::Missing(why))
}

/// An option with or without a value that is not needed.
const fn so(names: &'static [&'static str], takes: Takes, why: &'static str) -> Opt {
    opt(names, takes, Here::Needless(why))
}

/// An option without a value that means something else.
const fn does(names: &'static [&'static str], here: fn(&str) -> Effects) -> Opt {
    opt(names, Takes::Nothing, Here::By(here))
}

const fn opt(names: &'static [&'static str], takes: Takes, here: Here) -> Opt {
    Opt { names, takes, here }
}

impl Opt {
    /// The meaning with this value, which is empty for one that takes none.
    pub(super) fn effects(&self, value: &str) -> Effects {
        match self.here {
            Here::Is(name) => flag(name, value),
            Here::By(made) => made(value),
            Here::Switch(name) => switch(name),
            Here::Missing(why) => missing(why),
            Here::Needless(why) => needless(why),
        }
    }
}

/// Every server, those first whose options are most often meant.
pub(super) const ALL: [Server; 9] = [
    Server::Gunicorn,
    Server::Uvicorn,
    Server::Hypercorn,
    Server::Granian,
    Server::Daphne,
    Server::Uwsgi,
    Server::Waitress,
    Server::FastApi,
    Server::Flask,
];

impl Server {
    /// The server whose command, or module behind `-m`, this is.
    pub fn named(program: &str) -> Option<Self> {
        let name = program.rsplit('/').next()?;
        Some(match name {
            "uvicorn" => Self::Uvicorn,
            "gunicorn" => Self::Gunicorn,
            "hypercorn" => Self::Hypercorn,
            "daphne" => Self::Daphne,
            "granian" => Self::Granian,
            "uwsgi" | "uwsgi-core" | "pyuwsgi" => Self::Uwsgi,
            "waitress-serve" | "waitress" => Self::Waitress,
            "fastapi" => Self::FastApi,
            "flask" => Self::Flask,
            _ => return None,
        })
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uvicorn => "Uvicorn",
            Self::Gunicorn => "gunicorn",
            Self::Hypercorn => "Hypercorn",
            Self::Daphne => "Daphne",
            Self::Granian => "Granian",
            Self::Uwsgi => "uWSGI",
            Self::Waitress => "Waitress",
            Self::FastApi => "FastAPI's command",
            Self::Flask => "Flask's command",
        }
    }

    fn options(self) -> &'static [Opt] {
        match self {
            // Its options are this server's.
            Self::Uvicorn => &[],
            Self::Gunicorn => gunicorn::OPTIONS,
            Self::Hypercorn => hypercorn::OPTIONS,
            Self::Daphne => daphne::OPTIONS,
            Self::Granian => granian::OPTIONS,
            Self::Uwsgi => uwsgi::OPTIONS,
            Self::Waitress => waitress::OPTIONS,
            Self::FastApi => fastapi::OPTIONS,
            Self::Flask => flask::OPTIONS,
        }
    }

    /// The option with this name.
    pub(super) fn option(self, name: &str) -> Option<&'static Opt> {
        let mut options = self.options().iter();
        options.find(|option| option.names.contains(&name))
    }

    /// The option that a setting of its configuration file stands for.
    fn setting(self, name: &str) -> Option<&'static Opt> {
        let names = match self {
            Self::Gunicorn => gunicorn::SETTINGS,
            Self::Hypercorn => hypercorn::SETTINGS,
            _ => &[],
        };
        let renamed = names.iter().find(|(setting, _)| *setting == name);
        let option = match renamed {
            Some((_, option)) => (*option).to_owned(),
            None => format!("--{}", name.replace('_', "-")),
        };
        self.option(&option)
    }

    /// Whether its configuration file has a setting of this name.
    pub fn has_setting(self, name: &str) -> bool {
        self.setting(name).is_some()
    }

    /// Whether it calls a function of this name in its configuration file.
    pub fn has_hook(self, name: &str) -> bool {
        self == Self::Gunicorn && gunicorn::HOOKS.contains(&name)
    }

    /// The meaning of a setting of its configuration file.
    pub fn of_setting(self, name: &str, value: &str) -> Effects {
        let Some(option) = self.setting(name) else {
            return missing(format!(
                "is no setting of {} that is known here",
                self.name()
            ));
        };
        let is_off = matches!(
            value.to_ascii_lowercase().as_str(),
            "false" | "0" | "none" | "no"
        );
        match option.takes {
            Takes::Nothing if is_off => Vec::new(),
            Takes::Nothing => option.effects(""),
            Takes::Value => option.effects(value),
        }
    }

    /// The meaning of a positional argument; none if it takes none.
    pub(super) fn positional(self, text: &str) -> Effects {
        match self {
            Self::Gunicorn => gunicorn::application(text),
            Self::Hypercorn => hypercorn::application(text),
            Self::Granian => granian::application(text),
            Self::Uwsgi => uwsgi::positional(text),
            Self::FastApi => fastapi::positional(text),
            Self::Flask => flask::positional(text),
            Self::Uvicorn | Self::Daphne | Self::Waitress => {
                vec![Effect::Application(text.to_owned())]
            }
        }
    }

    /// Its defaults, where this server does something else.
    pub(super) fn unasked(self, effects: &[Effect]) -> Effects {
        let has = |name: &str| {
            let mut all = effects.iter();
            all.any(|effect| matches!(effect, Effect::Flag(flag, _) if *flag == name))
        };
        match self {
            Self::Gunicorn | Self::Hypercorn | Self::Granian => values::access_lines(has),
            Self::Uwsgi => uwsgi::unasked(effects),
            Self::Waitress => waitress::unasked(has),
            Self::Daphne => daphne::unasked(has),
            Self::Flask => flask::unasked(has),
            Self::Uvicorn | Self::FastApi => Vec::new(),
        }
    }
}
