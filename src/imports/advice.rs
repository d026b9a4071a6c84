//! Which `--lazy-imports` would save the most: tried, not guessed.
//!
//! Each line is weighed as `weigh` does, with the same requests, and counts only if the application
//! answers as it does without it. Lines are made of `auto` and of the application's own packages:
//! those change no package that they were not tested with.

use std::path::Path;

use serde::Serialize;

use super::Module;
use crate::trial::Answers;
use crate::weighing::{self, Error, Figure, Plan};

/// The word for the packages that were tested with lazy imports.
const AUTO: &str = "auto";

/// Own packages that are tried one by one if all of them together do not work.
const ONE_BY_ONE: usize = 6;

/// A line that saves less is not worth a flag.
const WORTH: i64 = 256 << 10;

/// The values that were tried, and the best.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// Private bytes of the whole tree after the requests, without lazy imports.
    pub without: u64,
    /// In the order in which they were tried.
    pub tried: Vec<Tried>,
    /// The value of `--lazy-imports` that saves the most, if any is worth it.
    pub best: Option<String>,
}

/// One value of `--lazy-imports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// As it is typed.
    pub value: String,
    /// Private bytes with it.
    pub with: Option<u64>,
    /// How much less that is; less than nothing if it is more.
    pub saved: Option<i64>,
    /// Why the application cannot be served with it.
    pub failed: Option<String>,
}

/// Weighs the application with and without.
///
/// # Errors
/// It cannot be served without.
pub fn find(plan: &Plan, modules: &[Module], app_dir: &Path) -> Result<Advice, Error> {
    let without = weighing::weigh(&lazily(plan, "off"))?;
    let mut trials = Trials {
        plan,
        without: Figure::Private.of(&without.warm.total),
        answers: without.answers,
        tried: Vec::new(),
    };
    let mut line = AUTO.to_owned();
    if !trials.works(&line) {
        line.clear();
    }
    let own = own_packages(modules, app_dir);
    let joined = |line: &str, more: &[String]| {
        let words = line
            .split(',')
            .filter(|word| !word.is_empty())
            .map(str::to_owned);
        words
            .chain(more.iter().cloned())
            .collect::<Vec<_>>()
            .join(",")
    };
    if !own.is_empty() && !trials.works(&joined(&line, &own)) && own.len() > 1 {
        for package in own.iter().take(ONE_BY_ONE) {
            let longer = joined(&line, std::slice::from_ref(package));
            if trials.works(&longer) {
                line = longer;
            }
        }
    }
    Ok(trials.advice())
}

/// The top-level names of what lies below the application's directory, but for what is installed.
fn own_packages(modules: &[Module], app_dir: &Path) -> Vec<String> {
    let mut own: Vec<String> = Vec::new();
    for module in modules.iter().filter(|module| module.is_there) {
        let Some(file) = module.file.as_deref().map(Path::new) else {
            continue;
        };
        let is_installed = ["site-packages", "dist-packages"]
            .iter()
            .any(|place| file.components().any(|part| part.as_os_str() == *place));
        let name = module.name.split('.').next().unwrap_or_default();
        if file.starts_with(app_dir) && !is_installed && !own.iter().any(|known| known == name) {
            own.push(name.to_owned());
        }
    }
    own
}

fn lazily(plan: &Plan, value: &str) -> Plan {
    let mut plan = plan.clone();
    plan.served
        .flags
        .push(format!("--lazy-imports={value}").into());
    plan
}

struct Trials<'a> {
    plan: &'a Plan,
    without: u64,
    answers: Vec<Answers>,
    tried: Vec<Tried>,
}

impl Trials<'_> {
    /// Tries a line; whether the application answers with it as it does without.
    fn works(&mut self, value: &str) -> bool {
        let outcome = match weighing::weigh(&lazily(self.plan, value)) {
            Ok(weighing) if weighing.answers == self.answers => {
                Ok(Figure::Private.of(&weighing.warm.total))
            }
            Ok(weighing) => {
                let answers = weighing.answers.iter().map(ToString::to_string);
                Err(format!(
                    "it answers otherwise: {}",
                    answers.collect::<Vec<_>>().join(", ")
                ))
            }
            Err(error) => Err(error.to_string()),
        };
        let works = outcome.is_ok();
        let with = outcome.as_ref().ok().copied();
        self.tried.push(Tried {
            value: value.to_owned(),
            with,
            saved: with.map(|with| self.without.cast_signed() - with.cast_signed()),
            failed: outcome.err(),
        });
        works
    }

    fn advice(self) -> Advice {
        Advice {
            without: self.without,
            best: best(&self.tried),
            tried: self.tried,
        }
    }
}

/// A longer line has to save more by what is worth it than the one before.
fn best(tried: &[Tried]) -> Option<String> {
    let mut best = (0, None);
    for one in tried {
        match one.saved {
            Some(saved) if saved >= best.0 + WORTH => best = (saved, Some(one.value.clone())),
            _ => {}
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::modules;
    use super::*;

    #[test]
    fn own_packages_are_below_the_directory_and_not_installed_there() {
        let mut modules = modules(&[
            ("app", None, 0, None),
            ("app.views", None, 0, None),
            ("quart", None, 0, None),
            ("json", None, 0, None),
            ("_ssl", None, 0, None),
        ]);
        let files = [
            "/srv/app/__init__.py",
            "/srv/app/views.py",
            "/srv/.venv/lib/site-packages/quart/__init__.py",
            "/usr/lib/json.py",
        ];
        for (module, file) in modules.iter_mut().zip(files) {
            module.file = Some(file.to_owned());
        }
        assert_eq!(own_packages(&modules, Path::new("/srv")), ["app"]);
    }

    #[test]
    fn the_best_line_is_the_one_that_saves_most_if_it_is_worth_it() {
        let tried = |value: &str, saved: Option<i64>| Tried {
            value: value.to_owned(),
            with: None,
            saved,
            failed: None,
        };
        let all = [
            tried("auto", Some(5 << 20)),
            tried("auto,app", Some(6 << 20)),
            tried("x", None),
        ];
        assert_eq!(best(&all).as_deref(), Some("auto,app"));
        let hardly = [
            tried("auto", Some(5 << 20)),
            tried("auto,app", Some((5 << 20) + 1)),
        ];
        assert_eq!(best(&hardly).as_deref(), Some("auto"));
        assert_eq!(best(&[tried("auto", Some(1_000))]), None);
    }
}
