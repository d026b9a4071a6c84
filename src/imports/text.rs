//! The report for a terminal: a tree, the largest first, and what was never used.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::tree::Tree;
use super::{Advice, Module, Report};
use crate::figures::Megabytes;

/// Lines of the list of what was never used.
const UNUSED: usize = 12;

/// Before the names: three figures and their spaces.
const FIGURES: usize = 29;

/// The least width of a name, however narrow the terminal is.
const LEAST_NAME: usize = 24;

/// How the tree is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Modules that added less, in bytes, are only counted.
    pub threshold: i64,
    /// Levels of the tree.
    pub depth: usize,
    /// Columns of the terminal.
    pub width: usize,
    /// Whether there is colour.
    pub colors: bool,
}

impl Style {
    /// The escape sequences around secondary text.
    fn dim(self) -> (&'static str, &'static str) {
        if self.colors {
            ("\x1b[2m", "\x1b[0m")
        } else {
            ("", "")
        }
    }
}

/// The report as a page.
pub fn page(report: &Report, style: Style) -> String {
    let mut page = Page {
        out: String::new(),
        tree: Tree::new(&report.measured.modules),
        style,
    };
    // Writing into memory does not fail.
    let _ = page.write(report);
    page.out
}

struct Page<'a> {
    out: String,
    tree: Tree<'a>,
    style: Style,
}

impl Page<'_> {
    fn write(&mut self, report: &Report) -> fmt::Result {
        let measured = &report.measured;
        let [before, after, end] = [measured.before, measured.after, measured.end].map(Megabytes);
        let (app, python) = (&report.app, &report.python);
        let (count, time) = (measured.modules.len(), measured.import_seconds * 1e3);
        writeln!(
            self.out,
            "{app}, CPython {python}: {count} modules, imported in {time:.0} ms"
        )?;
        writeln!(
            self.out,
            "{before} MB before the import, {after} MB after it, {end} MB at the end\n"
        )?;
        writeln!(self.out, "{:>8} {:>8} {:>8}   module", "MB", "own MB", "ms")?;
        let roots = self.tree.roots().to_vec();
        self.level(&roots, "", 1)?;
        self.unused(report)?;
        report
            .advice
            .as_ref()
            .map_or(Ok(()), |advice| self.advice(advice))
    }

    /// A list of siblings; those that are too small are summed.
    fn level(&mut self, siblings: &[usize], indent: &str, depth: usize) -> fmt::Result {
        let is_shown = |at: &usize| self.tree.module(*at).bytes >= self.style.threshold;
        let (shown, rest): (Vec<usize>, Vec<usize>) = siblings.iter().partition(|at| is_shown(at));
        let last = shown.len() + usize::from(!rest.is_empty());
        for (number, at) in shown.iter().enumerate() {
            let is_last = number + 1 == last;
            let (branch, below) = match (depth, is_last) {
                (1, _) => ("", ""),
                (_, true) => ("└─ ", "   "),
                (_, false) => ("├─ ", "│  "),
            };
            self.module(*at, &format!("{indent}{branch}"))?;
            let children = self.tree.children(*at).to_vec();
            let below = format!("{indent}{below}");
            if depth < self.style.depth {
                self.level(&children, &below, depth + 1)?;
            } else if !children.is_empty() {
                self.more(&children, &format!("{below}└─ "))?;
            }
        }
        match rest.as_slice() {
            [] => Ok(()),
            rest => self.more(
                rest,
                &format!("{indent}{}", if depth == 1 { "" } else { "└─ " }),
            ),
        }
    }

    fn module(&mut self, at: usize, branch: &str) -> fmt::Result {
        let module = self.tree.module(at);
        let (bytes, own) = (megabytes(module.bytes), megabytes(self.tree.own(at)));
        let time = module.seconds * 1e3;
        let note = match module {
            Module {
                is_there: false, ..
            } => "  (failed)",
            Module { is_late: true, .. } => "  (after the import)",
            module if module.is_unused() && !self.tree.is_used_below(at) => "  (unused)",
            _ => "",
        };
        let room = self
            .style
            .width
            .saturating_sub(FIGURES + branch.chars().count());
        let name = shortened(
            &module.name,
            room.saturating_sub(note.len()).max(LEAST_NAME),
        );
        let (start, end) = self.paint(module.bytes);
        let (dim, plain) = self.style.dim();
        writeln!(
            self.out,
            "{start}{bytes:>8}{end} {own:>8} {time:>8.1}   {dim}{branch}{plain}{start}{name}{end}{dim}{note}{plain}"
        )
    }

    fn more(&mut self, all: &[usize], branch: &str) -> fmt::Result {
        let bytes: i64 = all.iter().map(|at| self.tree.module(*at).bytes).sum();
        let time: f64 = all.iter().map(|at| self.tree.module(*at).seconds).sum();
        let count: usize = all.iter().map(|at| self.tree.count(*at)).sum();
        let (dim, plain) = self.style.dim();
        let (bytes, time) = (megabytes(bytes), time * 1e3);
        writeln!(
            self.out,
            "{dim}{bytes:>8} {:>8} {time:>8.1}   {branch}{count} more{plain}",
            ""
        )
    }

    /// Red for a quarter of everything, yellow for a twentieth.
    fn paint(&self, bytes: i64) -> (&'static str, &'static str) {
        let roots = self.tree.roots().iter();
        let all: i64 = roots.map(|root| self.tree.module(*root).bytes).sum();
        match bytes.saturating_mul(100).checked_div(all).unwrap_or(0) {
            _ if !self.style.colors => ("", ""),
            25.. => ("\x1b[1;31m", "\x1b[0m"),
            5..25 => ("\x1b[33m", "\x1b[0m"),
            _ => ("", ""),
        }
    }

    /// The modules that no request has used, by package, as far as it can be known.
    fn unused(&mut self, report: &Report) -> fmt::Result {
        if report.measured.watched_by.is_empty() {
            return writeln!(
                self.out,
                "\nwhat is used is not known: another tool watches this interpreter"
            );
        }
        let answers: Vec<String> = report.answers.iter().map(ToString::to_string).collect();
        let mut packages: BTreeMap<&str, (i64, usize)> = BTreeMap::new();
        for (at, module) in report.measured.modules.iter().enumerate() {
            if module.is_unused() {
                let package = module.name.split('.').next().unwrap_or_default();
                let (bytes, count) = packages.entry(package).or_default();
                *bytes += self.tree.own(at);
                *count += 1;
            }
        }
        let mut packages: Vec<_> = packages.into_iter().collect();
        packages.sort_by_key(|(_, (bytes, _))| std::cmp::Reverse(*bytes));
        let all: i64 = packages.iter().map(|(_, (bytes, _))| bytes).sum();
        let count: usize = packages.iter().map(|(_, (_, count))| count).sum();
        let (all, answers) = (megabytes(all), answers.join(", "));
        writeln!(
            self.out,
            "\nnever called after the import, in {answers}: {count} modules, {all} MB of their own"
        )?;
        for (package, (bytes, count)) in packages.iter().take(UNUSED) {
            let bytes = megabytes(*bytes);
            let all = self.tree.modules_of(package);
            let modules = if all == 1 { "module" } else { "modules" };
            let part = if *count == all {
                format!("{count} {modules}")
            } else {
                format!("{count} of {all} {modules}")
            };
            writeln!(self.out, "{bytes:>8} MB   {package} ({part})")?;
        }
        match packages.len().saturating_sub(UNUSED) {
            0 => Ok(()),
            more => writeln!(self.out, "{:>8}      and {more} more packages", ""),
        }
    }

    fn advice(&mut self, advice: &Advice) -> fmt::Result {
        let without = Megabytes(advice.without).to_string();
        writeln!(
            self.out,
            "\nprivate memory with --lazy-imports, after the same requests:"
        )?;
        writeln!(self.out, "{without:>8} MB   off")?;
        for tried in &advice.tried {
            let value = &tried.value;
            match (tried.with, tried.saved) {
                (Some(with), Some(saved)) => {
                    let (with, saved) = (Megabytes(with).to_string(), megabytes(-saved));
                    writeln!(self.out, "{with:>8} MB   {value} ({saved} MB)")?;
                }
                _ => {
                    let why = tried.failed.as_deref().unwrap_or_default();
                    let first = why.lines().next().unwrap_or_default();
                    writeln!(self.out, "{:>8}      {value}: {first}", "-")?;
                }
            }
        }
        match &advice.best {
            Some(best) => writeln!(self.out, "saves most: --lazy-imports {best}"),
            None => writeln!(self.out, "none of them saves enough to be worth it"),
        }
    }
}

/// Signed, and without a minus before nothing.
fn megabytes(bytes: i64) -> String {
    let shown = format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    match shown.as_str() {
        "-0.0" => "0.0".to_owned(),
        _ => shown,
    }
}

fn shortened(name: &str, room: usize) -> String {
    if name.chars().count() <= room {
        return name.to_owned();
    }
    let kept: String = name.chars().take(room.saturating_sub(1)).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::modules;
    use super::super::{Measured, Report};
    use super::*;

    const MB: i64 = 1 << 20;

    fn report(modules: Vec<Module>) -> Report {
        Report {
            app: "app:app".to_owned(),
            python: "3.11.7".to_owned(),
            answers: Vec::new(),
            measured: Measured {
                before: 5 << 20,
                after: 15 << 20,
                end: 16 << 20,
                import_seconds: 0.1,
                watched_by: "monitoring".to_owned(),
                modules,
            },
            advice: None,
        }
    }

    const STYLE: Style = Style {
        threshold: MB,
        depth: 9,
        width: 80,
        colors: false,
    };

    fn small_tree() -> Report {
        report(modules(&[
            ("app", None, 10 * MB, Some(true)),
            ("heavy", Some(0), 6 * MB, Some(false)),
            ("heavy.part", Some(1), 4 * MB, Some(false)),
            ("light", Some(0), MB / 2, None),
        ]))
    }

    #[test]
    fn the_tree_is_drawn_and_what_is_small_is_counted() {
        let page = page(&small_tree(), STYLE);
        let tree: Vec<&str> = page.lines().skip(4).take(4).collect();
        assert_eq!(
            tree,
            [
                "    10.0      3.5      1.0   app",
                "     6.0      2.0      1.0   ├─ heavy  (unused)",
                "     4.0      4.0      1.0   │  └─ heavy.part  (unused)",
                "     0.5               1.0   └─ 1 more",
            ]
        );
        assert!(page.contains("2 modules, 6.0 MB of their own\n     6.0 MB   heavy (2 modules)"));
        assert!(!page.contains('\x1b'));
    }

    #[test]
    fn deep_levels_are_counted_and_large_shares_are_red() {
        let style = Style {
            depth: 2,
            colors: true,
            ..STYLE
        };
        let page = page(&small_tree(), style);
        assert!(!page.contains("heavy.part") && page.contains("│  └─ 1 more"));
        assert!(page.contains("\x1b[1;31mheavy\x1b[0m"));
    }

    #[test]
    fn a_narrow_terminal_shortens_names() {
        let name = "a_module_with_a_name.that_is.longer_than_most";
        let report = report(modules(&[(name, None, 2 * MB, None)]));
        let page = page(&report, Style { width: 60, ..STYLE });
        assert!(page.contains("a_module_with_a_name.that_is.l…\n"), "{page}");
    }
}
