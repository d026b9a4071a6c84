//! Requests for files, as the fuzz targets see them.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use super::codings::{self, Coding};
use super::conditions::{Conditions, Validators, Verdict};
use super::ranges::Ranges;
use super::target::Target;

/// The codings that an `accept-encoding` takes, the best first.
#[must_use]
pub fn accepted(field: &str) -> Vec<&'static str> {
    codings::accepted(field)
        .into_iter()
        .map(Coding::name)
        .collect()
}

/// The part that a `range` requests.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// The whole file.
    Whole,
    /// These parts of it.
    Parts(Vec<Range<u64>>),
    /// Nothing that it has.
    Nothing,
}

/// The part that a `range` requests of a file with `length` bytes.
#[must_use]
pub fn ranges(field: &str, length: u64) -> Asked {
    match Ranges::parse(field, length) {
        Ranges::Whole => Asked::Whole,
        Ranges::Parts(parts) => Asked::Parts(parts),
        Ranges::Unsatisfiable => Asked::Nothing,
    }
}

/// The path below a mount that a request's path stands for, if it stands for any.
#[must_use]
pub fn path(rest: &[u8]) -> Option<PathBuf> {
    Target::parse(rest).map(|target| target.path().to_owned())
}

/// Whether a client that sends `field` as `if-none-match`, `if-match` and `if-range` has the file, is
/// refused it, and may have a part of it.
#[must_use]
pub fn conditions(field: &str) -> (bool, bool, bool) {
    let now = Validators::new(10, Duration::from_secs(1_000_000), None);
    let with = |set: fn(&mut Conditions, String)| {
        let mut conditions = Conditions::default();
        set(&mut conditions, field.to_owned());
        conditions
    };
    let known = with(|it, text| it.if_none_match = Some(text)).verdict(&now);
    let changed = with(|it, text| it.if_match = Some(text)).verdict(&now);
    let part = with(|it, text| it.if_range = Some(text)).allow_range(&now);
    (
        known == Verdict::NotModified,
        changed == Verdict::Failed,
        part,
    )
}
