//! The meaning of one option of another server here.

/// One thing that an option asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A flag of this server, with its value if it takes one.
    Flag(&'static str, Option<String>),
    /// A variable in front of the command.
    Variable(String),
    /// The application, as this server names it.
    Application(String),
    /// The attribute of the module that is named elsewhere.
    Callable(String),
    /// A directory of static files, and the path of the one before or after it.
    StaticDirectory(String),
    /// See above.
    StaticPath(String),
    /// Where metrics are served: whether, on which address, on which port.
    Metrics,
    /// See above.
    MetricsHost(String),
    /// See above.
    MetricsPort(String),
    /// A file of the same server's settings.
    SettingsFile(String),
    /// Something to read.
    Note(Weight, String),
}

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Nothing here does what the option did.
    Missing,
    /// It is done, in another way.
    Different,
    /// It is always so here.
    Needless,
}

/// The facts about one option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// As it was written: `--timeout 60`; empty for the whole.
    pub about: String,
    /// How much it matters.
    pub weight: Weight,
    /// Why.
    pub why: String,
}

/// The meaning of a value.
pub type Effects = Vec<Effect>;

/// A flag with a value.
pub fn flag(name: &'static str, value: impl Into<String>) -> Effects {
    vec![Effect::Flag(name, Some(value.into()))]
}

/// A flag without one.
pub fn switch(name: &'static str) -> Effects {
    vec![Effect::Flag(name, None)]
}

/// Nothing here does it.
pub fn missing(why: impl Into<String>) -> Effects {
    vec![Effect::Note(Weight::Missing, why.into())]
}

/// It is so in any case.
pub fn needless(why: impl Into<String>) -> Effects {
    vec![Effect::Note(Weight::Needless, why.into())]
}

/// A flag, and what is different about it.
pub fn but(mut effects: Effects, why: impl Into<String>) -> Effects {
    effects.push(Effect::Note(Weight::Different, why.into()));
    effects
}
