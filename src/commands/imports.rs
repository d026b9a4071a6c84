//! `lowmem-serve imports`: what an application's imports cost.

use std::fs;
use std::io;

use rustix::termios::tcgetwinsize;

use super::{refused, trial, write};
use crate::cli::Imports;
use crate::exit::Exit;
use crate::imports::text::{self, Style};
use crate::imports::{self, advice, html};
use crate::surroundings::Surroundings;
use crate::weighing::{Figure, Plan};

/// Columns where the terminal does not tell, or there is none.
const WIDTH: usize = 100;

/// Starts for each advice that is tried: the first one fills the cache of lazy modules.
const STARTS: u32 = 2;

/// Measures the imports and shows them.
pub(super) fn run(asked: &Imports, around: &Surroundings) -> Exit {
    let served = match trial::served(&asked.trial, around) {
        Ok(served) => served,
        Err(reason) => return refused(&reason),
    };
    let warmth = trial::warmth(&asked.trial);
    let mut report = match imports::measure(&served, &warmth) {
        Ok(report) => report,
        Err(reason) => return refused(&reason),
    };
    if !asked.no_advice {
        let plan = Plan {
            served,
            warmth,
            starts: STARTS,
            figure: Figure::Private,
            peers: Vec::new(),
        };
        let app_dir = match &asked.trial.app_dir {
            Some(directory) => around.directory.join(directory),
            None => around.directory.clone(),
        };
        match advice::find(&plan, &report.measured.modules, &app_dir) {
            Ok(advice) => report.advice = Some(advice),
            Err(reason) => return refused(&reason),
        }
    }
    if let Some(file) = &asked.html
        && let Err(error) = fs::write(file, html::page(&report))
    {
        return refused(&format!("cannot write {}: {error}", file.display()));
    }
    if asked.json {
        return write(imports::json(&report).as_bytes());
    }
    let style = Style {
        threshold: (asked.at_least * f64::from(1 << 20)) as i64,
        depth: asked.depth.max(1),
        width: width(around),
        colors: around.stdout_is_terminal && around.variable("NO_COLOR").is_none(),
    };
    write(text::page(&report, style).as_bytes())
}

/// `$COLUMNS`, or what the terminal says.
fn width(around: &Surroundings) -> usize {
    let said = around
        .variable("COLUMNS")
        .and_then(|columns| columns.parse().ok());
    let window = || tcgetwinsize(io::stdout()).ok();
    let columns = || window().map(|size| usize::from(size.ws_col));
    said.or_else(columns)
        .filter(|width| *width > 0)
        .unwrap_or(WIDTH)
}
