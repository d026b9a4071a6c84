//! The report of a weighing, as text and as JSON.

use std::fmt::{self, Write};

use serde::Serialize;

use super::verdict::{Limit, Verdict};
use super::{Beside, Figure, Tree, Weighing};
use crate::figures::Megabytes;
use crate::sys::weight::Weight;

/// Room for the names of processes.
const NAMES: usize = 30;

/// One JSON object: the weighing, sizes in bytes, and the verdicts.
pub fn json(weighing: &Weighing, verdicts: &[Verdict]) -> String {
    #[derive(Serialize)]
    struct Report<'a> {
        #[serde(flatten)]
        weighing: &'a Weighing,
        verdicts: &'a [Verdict],
    }
    let report = Report { weighing, verdicts };
    // Numbers, texts and lists always serialise.
    let text = serde_json::to_string_pretty(&report).unwrap_or_default();
    text + "\n"
}

/// The same as a table in MB (1024²).
pub fn text(weighing: &Weighing, verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    // Writing into memory does not fail.
    let _ = table(&mut text, weighing);
    for verdict in verdicts {
        let _ = writeln!(text, "{verdict}");
    }
    text
}

fn table(out: &mut String, weighing: &Weighing) -> fmt::Result {
    let Weighing {
        app,
        python,
        lowmem_serve,
        ..
    } = weighing;
    writeln!(out, "{app}, lowmem-serve {lowmem_serve}, CPython {python}")?;
    let answers: Vec<String> = weighing.answers.iter().map(ToString::to_string).collect();
    writeln!(out, "after {}\n", answers.join(", "))?;
    writeln!(
        out,
        "{:NAMES$} {:>9} {:>9} {:>9}",
        "MB", "private", "PSS", "RSS"
    )?;
    rows(out, &weighing.warm)?;
    if weighing.warm.processes.len() > 1 {
        row(out, "all", &weighing.warm.total)?;
    }
    row(out, "all, before the requests", &weighing.started.total)?;
    for beside in &weighing.beside {
        writeln!(out, "\n{} {}", beside.server, beside.version)?;
        comparison(out, &weighing.warm.total, beside)?;
    }
    if weighing.starts.len() > 1 {
        let each = weighing
            .starts
            .iter()
            .map(|start| Megabytes(start.private).to_string());
        let each: Vec<String> = each.collect();
        writeln!(
            out,
            "\nprivate in each start: {}; the lightest counts",
            each.join(", ")
        )?;
    }
    Ok(())
}

/// Another server's weight, and ours over it.
fn comparison(out: &mut String, ours: &Weight, beside: &Beside) -> fmt::Result {
    rows(out, &beside.warm)?;
    if beside.warm.processes.len() > 1 {
        row(out, "all", &beside.warm.total)?;
    }
    let ratio = |figure: Figure| {
        let theirs = figure.of(&beside.warm.total).max(1);
        format!("{:.2}×", figure.of(ours) as f64 / theirs as f64)
    };
    let (private, pss) = (ratio(Figure::Private), ratio(Figure::Pss));
    let name = format!("lowmem-serve / {}", beside.server);
    writeln!(out, "{name:NAMES$} {private:>9} {pss:>9}")
}

fn rows(out: &mut String, tree: &Tree) -> fmt::Result {
    for process in &tree.processes {
        let indent = "  ".repeat(process.depth);
        let name = format!("{indent}{} [{}]", process.name, process.pid);
        row(out, &name, &process.weight)?;
    }
    Ok(())
}

fn row(out: &mut String, name: &str, weight: &Weight) -> fmt::Result {
    let [private, pss, rss] =
        [weight.private, weight.pss, weight.rss].map(|bytes| Megabytes(bytes).to_string());
    writeln!(out, "{name:NAMES$} {private:>9} {pss:>9} {rss:>9}")
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figure = match self.figure {
            Figure::Private => "private",
            Figure::Pss => "PSS",
        };
        let (weight, limit) = (Megabytes(self.weight), Megabytes(self.limit));
        let percent = self.weight as f64 * 100.0 / self.limit.max(1) as f64;
        let kept = if self.kept { "kept" } else { "EXCEEDED" };
        match &self.limit_from {
            Limit::Budget => {
                write!(
                    f,
                    "\nbudget {kept}: {weight} MB {figure} of {limit} MB ({percent:.0} %)"
                )
            }
            Limit::Record {
                file,
                recorded,
                tolerance_percent,
                differences,
            } => {
                let (file, recorded) = (file.display(), Megabytes(*recorded));
                write!(
                    f,
                    "\nrecord {kept}: {weight} MB {figure}, {recorded} MB in {file}, \
                     {tolerance_percent} % more ({limit} MB) allowed"
                )?;
                differences
                    .iter()
                    .try_for_each(|difference| write!(f, "\n  note: {difference}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn verdict(limit_from: Limit) -> String {
        let verdict = Verdict {
            limit_from,
            figure: Figure::Private,
            limit: 60 << 20,
            weight: 66 << 20,
            kept: false,
        };
        verdict.to_string()
    }

    #[test]
    fn a_verdict_says_by_how_much() {
        let said = verdict(Limit::Budget);
        assert_eq!(
            said.trim(),
            "budget EXCEEDED: 66.0 MB private of 60.0 MB (110 %)"
        );
    }

    #[test]
    fn a_record_that_is_not_comparable_says_so() {
        let said = verdict(Limit::Record {
            file: PathBuf::from("then.json"),
            recorded: 57 << 20,
            tolerance_percent: 5,
            differences: vec!["CPython: 3.11.7 then, 3.12.1 now".to_owned()],
        });
        assert!(said.contains("57.0 MB in then.json, 5 % more (60.0 MB) allowed"));
        assert!(said.ends_with("\n  note: CPython: 3.11.7 then, 3.12.1 now"));
    }
}
