//! A worker's memory over time, in a bounded list.

use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Between the first samples. It doubles each time the list is full.
const FIRST_INTERVAL: Duration = Duration::from_secs(10);

/// Samples that are kept: enough for a curve as wide as a terminal.
const KEPT: usize = 128;

/// The memory of a process at one time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since it was ready.
    pub at: f64,
    /// Its resident set in bytes.
    pub resident: u64,
    /// The part of it that is not from files: the heap, and other pages that were written to.
    pub anonymous: u64,
}

/// Its life so far: the older it is, the further apart are the samples.
#[derive(Debug, Clone)]
pub struct History {
    samples: Vec<Sample>,
    interval: Duration,
}

impl History {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            samples: Vec::new(),
            interval: FIRST_INTERVAL,
        }
    }

    /// How long to wait before the next sample.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Adds a sample; when there are too many, every second one goes.
    pub fn add(&mut self, sample: Sample) {
        if self.samples.len() == KEPT {
            let mut at = 0..;
            self.samples
                .retain(|_| at.next().is_some_and(|at: usize| at.is_multiple_of(2)));
            self.interval = self.interval.saturating_mul(2);
        }
        self.samples.push(sample);
    }

    /// From the oldest to the newest.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl Sample {
    /// This process's, now.
    pub fn take(at: Duration) -> Option<Self> {
        let statm = fs::read_to_string("/proc/self/statm").ok()?;
        Self::parse(at, &statm, rustix::param::page_size() as u64)
    }

    /// From /proc/PID/statm, whose numbers are pages.
    fn parse(at: Duration, statm: &str, page: u64) -> Option<Self> {
        let mut fields = statm.split_ascii_whitespace().skip(1);
        let resident: u64 = fields.next()?.parse().ok()?;
        let from_files: u64 = fields.next()?.parse().ok()?;
        Some(Self {
            at: at.as_secs_f64(),
            resident: resident * page,
            anonymous: resident.saturating_sub(from_files) * page,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64) -> Sample {
        Sample::parse(Duration::from_secs(at), "9 5 2 0 0 0 0\n", 4096).unwrap()
    }

    #[test]
    fn pages_become_bytes() {
        let sample = sample(1);
        assert_eq!((sample.resident, sample.anonymous), (20_480, 12_288));
        assert_eq!(Sample::parse(Duration::ZERO, "", 4096), None);
    }

    #[test]
    fn a_long_life_has_no_more_samples_than_a_short_one() {
        let mut history = History::new();
        for at in 0..10_000 {
            history.add(sample(at));
        }
        let samples = history.samples();
        assert!(samples.len() <= KEPT && samples.len() > KEPT / 2);
        assert_eq!(
            (samples[0].at, samples[samples.len() - 1].at),
            (0.0, 9_999.0)
        );
        assert!(history.interval() > FIRST_INTERVAL);
    }
}
