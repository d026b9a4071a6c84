//! Whether a weight is as it should be.

use std::path::PathBuf;

use serde::Serialize;

use super::{Figure, Weighing};

/// The limits on the weight of an application.
#[derive(Debug)]
pub struct Limits {
    /// The figure that is compared.
    pub figure: Figure,
    /// The most bytes, whatever it weighed before.
    pub budget: Option<u64>,
    /// The earlier weighing, and its file.
    pub record: Option<(PathBuf, Weighing)>,
    /// How many percent it may have gained since.
    pub tolerance: u8,
}

/// One comparison, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The limit that it was compared with.
    pub limit_from: Limit,
    /// The figure that was compared.
    pub figure: Figure,
    /// The largest weight that is allowed.
    pub limit: u64,
    /// The weight.
    pub weight: u64,
    /// Whether it is no more than that.
    pub kept: bool,
}

/// The source of the limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs)]
pub enum Limit {
    /// `--budget`.
    Budget,
    /// `--against`: the recorded weight, and what may be added to it.
    Record {
        file: PathBuf,
        recorded: u64,
        tolerance_percent: u8,
        /// The differences between the two weighings that may make the comparison unfair.
        differences: Vec<String>,
    },
}

impl Verdict {
    /// Whether it weighs no more than it may.
    pub fn is_kept(&self) -> bool {
        self.kept
    }
}

/// The results of the requested comparisons.
pub fn of(limits: &Limits, weighing: &Weighing) -> Vec<Verdict> {
    let figure = limits.figure;
    let weight = figure.of(&weighing.warm.total);
    let verdict = |limit_from, limit| Verdict {
        limit_from,
        figure,
        limit,
        weight,
        kept: weight <= limit,
    };
    let budget = limits.budget.map(|limit| verdict(Limit::Budget, limit));
    let record = limits.record.as_ref().map(|(file, then)| {
        let before = figure.of(&then.warm.total);
        let limit = before + before * u64::from(limits.tolerance) / 100;
        let from = Limit::Record {
            file: file.clone(),
            recorded: before,
            tolerance_percent: limits.tolerance,
            differences: differences(then, weighing),
        };
        verdict(from, limit)
    });
    budget.into_iter().chain(record).collect()
}

/// The differences since then, apart from the application.
fn differences(then: &Weighing, now: &Weighing) -> Vec<String> {
    let asked = |weighing: &Weighing| {
        let counted = weighing.answers.iter().map(|answers| {
            let times: u32 = answers.statuses.values().sum();
            format!("{} ×{times}", answers.request)
        });
        counted.collect::<Vec<_>>().join(", ")
    };
    let pairs = [
        ("the application", then.app.clone(), now.app.clone()),
        ("CPython", then.python.clone(), now.python.clone()),
        (
            "lowmem-serve",
            then.lowmem_serve.clone(),
            now.lowmem_serve.clone(),
        ),
        ("the requests", asked(then), asked(now)),
    ];
    let changed = pairs.into_iter().filter(|(_, then, now)| then != now);
    changed
        .map(|(what, then, now)| format!("{what}: {then} then, {now} now"))
        .collect()
}
