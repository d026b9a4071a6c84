//! The last 24 hours, in at most 200 KB: a sample every ten seconds for an hour, and one every two
//! minutes for the rest.

use std::collections::VecDeque;

use serde::Serialize;

/// Between two samples, in seconds.
pub const FINE: u64 = 10;

/// Between two samples of the last 24 hours.
const COARSE: u64 = 120;

/// Samples of an hour.
const MOST_FINE: usize = 360;

/// Samples of a day.
const MOST_COARSE: usize = 720;

/// Lines that are followed: the server's own four, and the memory of so many workers. Each takes
/// 4.3 KB at most, all of them 190.
pub const MOST_LINES: usize = 44;

/// Where there was nothing to sample.
const NOTHING: u32 = u32::MAX;

/// All lines.
#[derive(Debug, Default)]
pub struct History {
    lines: Vec<Line>,
    samples: u64,
}

/// One figure over time, in whole numbers of its unit.
#[derive(Debug, Default)]
struct Line {
    name: String,
    fine: VecDeque<u32>,
    coarse: VecDeque<u32>,
}

/// A line as the page draws it, the newest sample last; `null` where there was nothing.
#[derive(Debug, PartialEq, Serialize)]
pub struct Shown {
    name: String,
    fine: Vec<Option<u32>>,
    coarse: Vec<Option<u32>>,
}

impl History {
    /// Adds a sample of every line, by name. A line that was not there before begins with this one,
    /// unless there are too many.
    pub fn add(&mut self, sample: &[(String, u32)]) {
        for (name, _) in sample {
            let is_new = !self.lines.iter().any(|line| line.name == *name);
            if is_new && self.lines.len() < MOST_LINES {
                let name = name.clone();
                self.lines.push(Line {
                    name,
                    ..Line::default()
                });
            }
        }
        let is_coarse = self.samples.is_multiple_of(COARSE / FINE);
        self.samples += 1;
        for line in &mut self.lines {
            let found = sample.iter().find(|(name, _)| *name == line.name);
            let value = found.map_or(NOTHING, |(_, value)| *value);
            push(&mut line.fine, value, MOST_FINE);
            if is_coarse {
                push(&mut line.coarse, value, MOST_COARSE);
            }
        }
        // A worker's place that has not been taken for a day.
        self.lines.retain(|line| {
            let all = line.fine.iter().chain(&line.coarse);
            all.into_iter().any(|value| *value != NOTHING)
        });
    }

    /// The kept history.
    pub fn shown(&self) -> Vec<Shown> {
        let values = |ring: &VecDeque<u32>| {
            let values = ring.iter().copied();
            values
                .map(|value| Some(value).filter(|value| *value != NOTHING))
                .collect()
        };
        let lines = self.lines.iter();
        lines
            .map(|line| Shown {
                name: line.name.clone(),
                fine: values(&line.fine),
                coarse: values(&line.coarse),
            })
            .collect()
    }
}

fn push(ring: &mut VecDeque<u32>, value: u32, most: usize) {
    if ring.len() == most {
        ring.pop_front();
    }
    // Grown by doubling, a ring could take twice as much as it holds.
    if ring.len() == ring.capacity() {
        ring.reserve_exact((most - ring.len()).min(64));
    }
    ring.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_many_workers_is_within_200_kilobytes() {
        let mut history = History::default();
        let sample: Vec<_> = (0..100).map(|n| (format!("worker {n}"), n)).collect();
        for _ in 0..24 * 3600 / FINE {
            history.add(&sample);
        }
        assert_eq!(history.lines.len(), MOST_LINES);
        let bytes: usize = history
            .lines
            .iter()
            .map(|line| (line.fine.capacity() + line.coarse.capacity()) * 4 + size_of::<Line>())
            .sum();
        assert!(bytes <= 200_000, "{bytes}");
        let shown = history.shown();
        assert_eq!((shown[0].fine.len(), shown[0].coarse.len()), (360, 720));
    }

    #[test]
    fn a_line_has_gaps_and_is_forgotten_a_day_after_its_last_sample() {
        let mut history = History::default();
        history.add(&[("a".to_owned(), 1)]);
        history.add(&[("b".to_owned(), 2)]);
        let shown = history.shown();
        assert_eq!(shown[0].fine, [Some(1), None]);
        assert_eq!(shown[1].fine, [Some(2)]);
        for _ in 0..=24 * 3600 / FINE {
            history.add(&[("b".to_owned(), 2)]);
        }
        let names: Vec<_> = history.shown().into_iter().map(|line| line.name).collect();
        assert_eq!(names, ["b"]);
    }
}
