//! The mistakes in flags and settings, reported all together.

use std::fmt;

use crate::exit::Exit;

/// Something that was typed and makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    option: &'static str,
    why: String,
    exit: Exit,
}

impl Mistake {
    /// Writes all of them to stderr.
    pub fn report(mistakes: &[Mistake]) -> Exit {
        for mistake in mistakes {
            eprintln!("error: {mistake}");
        }
        eprintln!("\nFor more information, try '--help'.");
        Self::exit_of(mistakes)
    }

    /// The option that it is about.
    #[must_use]
    pub fn option(&self) -> &'static str {
        self.option
    }

    /// The exit code for all of them: wrong usage if one of them is that.
    pub fn exit_of(mistakes: &[Mistake]) -> Exit {
        let usage = mistakes.iter().any(|mistake| mistake.exit == Exit::Usage);
        if usage {
            Exit::Usage
        } else {
            Exit::CouldNotStart
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.option, self.why)
    }
}

/// The mistakes met so far, so that they are reported together.
#[derive(Default)]
pub(super) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(super) fn add(&mut self, option: &'static str, why: impl Into<String>) {
        let why = why.into();
        let exit = Exit::Usage;
        self.0.push(Mistake { option, why, exit });
    }

    /// One that is no wrong usage but keeps the server from starting.
    pub(super) fn add_failure(&mut self, option: &'static str, why: String) {
        let exit = Exit::CouldNotStart;
        self.0.push(Mistake { option, why, exit });
    }

    /// All of them, if there are any.
    pub(super) fn into_result(self) -> Result<(), Vec<Mistake>> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.0)
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
