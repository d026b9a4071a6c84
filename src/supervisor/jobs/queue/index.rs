//! The names of the tasks that are due next. A value: files are another matter.

use std::collections::BTreeSet;
use std::fmt;

/// Names that are held; when they are used up, the directory is read again.
const MOST: usize = 1_000;

/// A task's name in the queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// Milliseconds since 1970.
    pub due: i64,
    pub id: String,
    /// The number of attempts that have begun.
    pub attempts: u32,
}

/// The first names, in the order in which they are due.
#[derive(Debug, Default)]
pub(super) struct Index {
    names: BTreeSet<Name>,
    /// There are further ones, all later than these.
    has_more: bool,
}

impl Name {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_suffix(".json")?.split('-');
        let (due, id, attempts) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            due: due.parse().ok()?,
            id: Some(id.to_owned()).filter(|id| is_id(id))?,
            attempts: attempts.parse().ok()?,
        })
        .filter(|_| parts.next().is_none())
    }
}

/// An id is one name, and no path.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:014}-{}-{}.json",
            self.due.max(0),
            self.id,
            self.attempts
        )
    }
}

impl Index {
    pub(super) fn of(names: impl Iterator<Item = Name>) -> Self {
        let mut index = Self::default();
        names.for_each(|name| index.add(name));
        index
    }

    pub(super) fn add(&mut self, name: Name) {
        if self.has_more && self.names.last().is_none_or(|last| *last < name) {
            return;
        }
        self.names.insert(name);
        if self.names.len() > MOST {
            self.names.pop_last();
            self.has_more = true;
        }
    }

    pub(super) fn wants_more(&self) -> bool {
        self.names.is_empty() && self.has_more
    }

    pub(super) fn take_due(&mut self, now: i64) -> Option<Name> {
        let is_due = self.names.first()?.due <= now;
        is_due.then(|| self.names.pop_first()).flatten()
    }

    pub(super) fn due(&self) -> Option<i64> {
        // With nothing but further ones, these have to be looked for.
        let first = self.names.first().map(|name| name.due);
        first.or(self.has_more.then_some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(due: i64) -> Name {
        Name {
            due,
            id: format!("t{due}"),
            attempts: 0,
        }
    }

    #[test]
    fn a_name_says_when_which_and_how_often() {
        let name = Name {
            due: 1_700_000_000_123,
            id: "ab12".to_owned(),
            attempts: 2,
        };
        let text = name.to_string();
        assert_eq!(text, "01700000000123-ab12-2.json");
        assert_eq!(Name::parse(&text), Some(name));
        for other in [
            "x",
            "1-2.json",
            "1-a-2-3.json",
            "a-b-1.json",
            "1--1.json",
            ".json",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    #[test]
    fn tasks_come_in_the_order_in_which_they_are_due_however_many_there_are() {
        let all = 3 * MOST as i64;
        let mut files: BTreeSet<Name> = (0..all).rev().map(name).collect();
        let mut index = Index::of(files.iter().cloned());
        let mut taken = Vec::new();
        loop {
            if index.wants_more() {
                index = Index::of(files.iter().cloned());
            }
            let Some(next) = index.take_due(all - 11) else {
                break;
            };
            files.remove(&next);
            taken.push(next.due);
        }
        assert_eq!(taken, (0..all - 10).collect::<Vec<_>>());
        assert_eq!(index.due(), Some(all - 10));
    }

    #[test]
    fn one_that_comes_early_is_before_the_others() {
        let mut index = Index::of((100..5_000).map(name));
        index.add(name(7));
        assert_eq!(index.take_due(i64::MAX), Some(name(7)));
        index.add(name(9_999));
        assert_eq!(index.take_due(i64::MAX), Some(name(100)));
    }
}
