//! A worker's answer, for people.

use std::fmt::{self, Write};
use std::fs;
use std::time::Duration;

use crate::figures::{Age, Bytes, Grouped, Megabytes};
use lowmem_base::growth::{Answer, Growth, Sample};

/// The heights of a curve.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The longest curve.
const CURVE: usize = 40;

/// How one answer is shown.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Lines of each table.
    pub top: usize,
    /// Whether names are bold.
    pub colors: bool,
}

impl Style {
    /// The escape sequences around bold text.
    fn bold(self) -> (&'static str, &'static str) {
        if self.colors {
            ("\x1b[1m", "\x1b[0m")
        } else {
            ("", "")
        }
    }
}

/// The answer as a page.
pub fn text(answer: &Answer, style: Style) -> String {
    let mut text = String::new();
    // Writing into memory does not fail.
    let _ = page(&mut text, answer, style);
    text
}

fn page(out: &mut String, answer: &Answer, style: Style) -> fmt::Result {
    let (bold, plain) = style.bold();
    let age = Age(Duration::from_secs_f64(answer.age.max(0.0)));
    writeln!(out, "{bold}worker {}{plain}, ready for {age}", answer.pid)?;
    if let (Some(first), Some(last)) = (answer.history.first(), answer.history.last()) {
        let curve = curve(&answer.history);
        let (before, now) = (Megabytes(first.resident), Megabytes(last.resident));
        let anonymous = Megabytes(last.anonymous);
        writeln!(
            out,
            "resident {curve} {before} -> {now} MB, {anonymous} of it its own"
        )?;
    }
    let since = Age(Duration::from_secs_f64(answer.since.max(0.0)));
    let gained = answer.gained;
    writeln!(
        out,
        "gained in the last {since}: {:+} of its own; objects {:+}, free heap {:+}, neither {:+}",
        Bytes(gained.own),
        Bytes(gained.python),
        Bytes(gained.free),
        Bytes(gained.rest())
    )?;
    let title = format!("grown in the last {since}, by type");
    table(out, &title, &answer.types, style, |out, growth| {
        writeln!(out, "{}", growth.name)
    })?;
    match &answer.lines {
        Some(lines) => table(out, "by line", lines, style, line)?,
        None => writeln!(out, "\nby line: start the server with --trace-memory")?,
    }
    let (took, pause) = (answer.took * 1e3, answer.longest_pause * 1e3);
    writeln!(
        out,
        "\nlooked for {took:.0} ms, no request waited longer than {pause:.0} ms for it"
    )
}

fn table(
    out: &mut String,
    title: &str,
    grown: &[Growth],
    style: Style,
    name: impl Fn(&mut String, &Growth) -> fmt::Result,
) -> fmt::Result {
    let (bold, plain) = style.bold();
    writeln!(
        out,
        "\n{:>12} {:>10} {:>12}  {bold}{title}{plain}",
        "size", "objects", "of"
    )?;
    if grown.is_empty() {
        return writeln!(out, "{:>12} {:>10} {:>12}  nothing", "", "", "");
    }
    for growth in grown.iter().take(style.top) {
        let size = format!("{:+}", Bytes(growth.bytes_grown));
        let sign = if growth.objects_grown < 0 { '-' } else { '+' };
        let objects = format!("{sign}{}", Grouped(growth.objects_grown.unsigned_abs()));
        let of = Bytes(growth.bytes).to_string();
        write!(out, "{size:>12} {objects:>10} {of:>12}  ")?;
        name(out, growth)?;
    }
    match grown.len().saturating_sub(style.top) {
        0 => Ok(()),
        more => writeln!(out, "{:38}and {} more", "", Grouped(more as u64)),
    }
}

/// `file:line` with the source beside it, and below it the lines that called it.
fn line(out: &mut String, growth: &Growth) -> fmt::Result {
    for (at, place) in growth.name.lines().enumerate() {
        if at > 0 {
            write!(out, "{:42}", "")?;
        }
        match source(place) {
            Some(source) => writeln!(out, "{place}: {source}")?,
            None => writeln!(out, "{place}")?,
        }
    }
    Ok(())
}

fn source(place: &str) -> Option<String> {
    let (file, number) = place.rsplit_once(':')?;
    let number: usize = number.parse().ok()?;
    let text = fs::read_to_string(file).ok()?;
    Some(text.lines().nth(number.checked_sub(1)?)?.trim().to_owned())
}

/// The resident set over time, from the least to the most of it.
fn curve(history: &[Sample]) -> String {
    let step = history.len().div_ceil(CURVE).max(1);
    let sizes: Vec<u64> = history
        .iter()
        .rev()
        .step_by(step)
        .map(|s| s.resident)
        .collect();
    let least = sizes.iter().min().copied().unwrap_or(0);
    let range = sizes.iter().max().copied().unwrap_or(0) - least;
    let height = |size: &u64| {
        let top = BARS.len() as u64 - 1;
        let bar = ((size - least) * top).checked_div(range).unwrap_or(0);
        usize::try_from(bar).unwrap_or(0)
    };
    sizes.iter().rev().map(|size| BARS[height(size)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(resident: u64) -> Sample {
        Sample {
            at: 0.0,
            resident: resident << 20,
            anonymous: 0,
        }
    }

    #[test]
    fn a_curve_goes_from_the_least_to_the_most() {
        let rising: Vec<Sample> = (10..18).map(sample).collect();
        assert_eq!(curve(&rising), "▁▂▃▄▅▆▇█");
        assert_eq!(curve(&[sample(5), sample(5)]), "▁▁");
        let long: Vec<Sample> = (0..128).map(sample).collect();
        assert!(curve(&long).chars().count() <= CURVE && curve(&long).ends_with('█'));
    }

    #[test]
    fn a_line_is_shown_with_its_source() {
        let here = format!("{}/{}:1", env!("CARGO_MANIFEST_DIR"), file!());
        assert_eq!(
            source(&here).as_deref(),
            Some("//! A worker's answer, for people.")
        );
        assert_eq!(source("<string>:1"), None);
    }
}
