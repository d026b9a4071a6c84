//! Changes that follow each other closely are one: an editor writes, renames and removes for a
//! single save, and a checkout touches hundreds of files.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Nothing for this part of the delay is the end of a burst. The whole of it would be waited for
/// after every save, and is only for those that go on and on: a save is seen after 25 ms.
const QUIET: u32 = 10;

/// The changes that have not been told yet.
#[derive(Debug)]
pub(super) struct Burst {
    delay: Duration,
    files: BTreeSet<PathBuf>,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Burst {
    pub(super) fn new(delay: Duration) -> Self {
        Self {
            delay,
            files: BTreeSet::new(),
            first: None,
            last: None,
        }
    }

    pub(super) fn add(&mut self, file: PathBuf, now: Instant) {
        self.files.insert(file);
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// When the burst is over if nothing is added.
    pub(super) fn due(&self) -> Option<Instant> {
        let quiet = self.last?.checked_add(self.delay / QUIET)?;
        let longest = self.first?.checked_add(self.delay)?;
        Some(quiet.min(longest))
    }

    /// The files of a burst that is over.
    pub(super) fn take(&mut self, now: Instant) -> Option<BTreeSet<PathBuf>> {
        if self.due()? > now {
            return None;
        }
        (self.first, self.last) = (None, None);
        Some(std::mem::take(&mut self.files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(250);

    #[test]
    fn a_save_is_told_a_tenth_of_the_delay_later() {
        let (mut burst, now) = (Burst::new(DELAY), Instant::now());
        assert_eq!(burst.due(), None);
        burst.add("a.py".into(), now);
        burst.add("a.py".into(), now);
        assert_eq!(burst.due(), Some(now + DELAY / 10));
        assert_eq!(burst.take(now), None);
        assert_eq!(burst.take(now + DELAY / 10).unwrap().len(), 1);
        assert_eq!(burst.due(), None);
    }

    #[test]
    fn changes_without_a_pause_are_told_after_the_delay() {
        let (mut burst, begin) = (Burst::new(DELAY), Instant::now());
        let mut now = begin;
        let told = loop {
            burst.add(format!("{:?}", now - begin).into(), now);
            if let Some(files) = burst.take(now) {
                break files;
            }
            now += Duration::from_millis(10);
        };
        assert_eq!((now - begin, told.len()), (DELAY, 26));
    }
}
