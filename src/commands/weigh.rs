//! `lowmem-serve weigh`: what an application weighs when it is served, as a check.

use std::fs;

use super::{refused, trial, write};
use crate::cli::Weigh;
use crate::exit::Exit;
use crate::surroundings::Surroundings;
use crate::weighing::verdict::{self, Limits};
use crate::weighing::{self, Plan, Weighing, report};

/// Weighs it, writes the figures, and says whether they are as they should be.
pub(super) fn run(asked: &Weigh, around: &Surroundings) -> Exit {
    // The record to compare with is read first: a typing error need not wait for the weighing.
    let limits = match limits(asked) {
        Ok(limits) => limits,
        Err(reason) => return refused(&reason),
    };
    let served = match trial::served(&asked.trial, around) {
        Ok(served) => served,
        Err(reason) => return refused(&reason),
    };
    let plan = Plan {
        served,
        warmth: trial::warmth(&asked.trial),
        starts: asked.starts,
        figure: asked.figure,
        peers: asked.beside.clone(),
    };
    let weighing = match weighing::weigh(&plan) {
        Ok(weighing) => weighing,
        Err(reason) => return refused(&reason),
    };
    let verdicts = verdict::of(&limits, &weighing);
    let text = if asked.json {
        report::json(&weighing, &verdicts)
    } else {
        report::text(&weighing, &verdicts)
    };
    let written = write(text.as_bytes());
    if let Err(reason) = record(asked, &weighing) {
        return refused(&reason);
    }
    if verdicts.iter().all(|verdict| verdict.is_kept()) {
        written
    } else {
        Exit::TooHeavy
    }
}

fn limits(asked: &Weigh) -> Result<Limits, weighing::Error> {
    let record = match &asked.against {
        Some(file) => Some((file.clone(), weighing::read_record(file)?)),
        None => None,
    };
    Ok(Limits {
        figure: asked.figure,
        budget: asked.budget,
        record,
        tolerance: asked.tolerance,
    })
}

fn record(asked: &Weigh, weighing: &Weighing) -> Result<(), String> {
    let Some(file) = &asked.record else {
        return Ok(());
    };
    let failed = |error| format!("cannot write {}: {error}", file.display());
    fs::write(file, report::json(weighing, &[])).map_err(failed)
}
