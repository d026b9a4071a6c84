//! The report of `lowmem-serve jobs`. Its form has a version, like that of `status`.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Record;
use crate::figures::{Grouped, Megabytes};

/// The version of this form.
pub const VERSION: u32 = 1;

/// All jobs of a server, and its queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// The version of this form, 1.
    pub version: u32,
    /// The jobs, in the order of their settings.
    pub jobs: Vec<JobView>,
    /// The queue of a server that serves one application, or none, if it has one.
    pub queue: Option<QueueView>,
    /// All queues: that one, or those of several applications.
    #[serde(default)]
    pub queues: Vec<QueueView>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// The application that it is of, where there are several.
    #[serde(default)]
    pub app: Option<String>,
    /// Its name.
    pub name: String,
    /// The function or command that is run.
    pub run: String,
    /// When.
    pub schedule: String,
    /// When it is due next: by its schedule, or to be tried again.
    pub next: Option<Timestamp>,
    /// The run that is going on.
    pub running: Option<Running>,
    /// The last run that has ended.
    pub last: Option<Record>,
}

/// A run that is going on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Its number, or the task's id.
    pub run: String,
    /// The function or command that is run.
    pub target: String,
    /// Its process, once there is one.
    pub pid: Option<i32>,
    /// When it was started.
    pub started: Timestamp,
    /// The most private memory that it was seen to have, in bytes.
    pub peak: u64,
}

/// The queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueView {
    /// The application that it is of, where there are several.
    #[serde(default)]
    pub app: Option<String>,
    /// Tasks that wait, including those that wait for a time or for another attempt.
    pub waiting: usize,
    /// Tasks that run.
    pub running: Vec<Running>,
    /// Tasks that were given up.
    pub dead: Vec<Dead>,
}

/// A task that was given up: the dead letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dead {
    /// Its id.
    pub id: String,
    /// The function or command that was run.
    pub run: String,
    /// Why, at the last attempt.
    pub why: String,
}

/// The overview for people.
#[must_use]
pub fn overview(overview: &Overview, now: Timestamp) -> String {
    let mut rows = vec![
        [
            "JOB", "SCHEDULE", "LAST", "TOOK", "PEAK MB", "RESULT", "NEXT",
        ]
        .map(str::to_owned),
    ];
    rows.extend(overview.jobs.iter().map(|job| row(job, now)));
    let mut text = if overview.jobs.is_empty() {
        String::new()
    } else {
        table(&rows)
    };
    for queue in &overview.queues {
        let whose = match &queue.app {
            Some(app) => format!("queue of {app}"),
            None => "queue".to_owned(),
        };
        let (waiting, running) = (Grouped(queue.waiting as u64), queue.running.len());
        let dead = queue.dead.len();
        // Writing into memory does not fail.
        let _ = writeln!(
            text,
            "{whose}: {waiting} waiting, {running} running, {dead} dead"
        );
        for task in &queue.running {
            let (run, target) = (&task.run, &task.target);
            let _ = writeln!(
                text,
                "  {run}  {target}  running for {}",
                ago(task.started, now)
            );
        }
        for dead in &queue.dead {
            let _ = writeln!(text, "  {}  {}  dead: {}", dead.id, dead.run, dead.why);
        }
    }
    if text.is_empty() {
        text.push_str("The server has no jobs and no queue.\n");
    }
    text
}

fn row(job: &JobView, now: Timestamp) -> [String; 7] {
    let dash = || "-".to_owned();
    let last = job.last.as_ref();
    let result = match (&job.running, last) {
        (Some(running), _) => format!(
            "running ({}, run {})",
            ago(running.started, now),
            running.run
        ),
        (None, Some(last)) => last.outcome.to_string(),
        (None, None) => dash(),
    };
    [
        match &job.app {
            Some(app) => format!("{app}/{}", job.name),
            None => job.name.clone(),
        },
        job.schedule.clone(),
        last.map_or_else(dash, |last| format!("{} ago", ago(last.started, now))),
        last.map_or_else(dash, |last| seconds(last.took)),
        last.map_or_else(dash, |last| Megabytes(last.peak).to_string()),
        result,
        job.next.map_or_else(dash, |next| {
            if next <= now {
                "now".to_owned()
            } else {
                format!("in {}", ago(now, next))
            }
        }),
    ]
}

/// The runs of a job for people, the latest first.
#[must_use]
pub fn history(records: &[Record]) -> String {
    if records.is_empty() {
        return "It has not run yet.\n".to_owned();
    }
    let mut rows =
        vec![["RUN", "STARTED", "TOOK", "PEAK MB", "ATTEMPT", "RESULT"].map(str::to_owned)];
    rows.extend(records.iter().rev().map(|record| {
        [
            record.run.clone(),
            format!("{:.0}", record.started),
            seconds(record.took),
            Megabytes(record.peak).to_string(),
            record.attempt.to_string(),
            record.outcome.to_string(),
        ]
    }));
    table(&rows)
}

fn seconds(took: f64) -> String {
    format!("{took:.1}s")
}

fn ago(earlier: Timestamp, later: Timestamp) -> String {
    let passed = later.duration_since(earlier).unsigned_abs();
    crate::figures::Age(passed).to_string()
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|at| {
        rows.iter()
            .map(|row| row[at].chars().count())
            .max()
            .unwrap_or(0)
    });
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths);
        let line: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Outcome;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_table_has_a_line_for_each_job_and_the_queue_one() {
        let last = Record {
            run: "7".to_owned(),
            due: None,
            started: at("2026-01-01T00:00:00Z"),
            took: 31.25,
            peak: 700 << 20,
            attempt: 1,
            outcome: Outcome::Done,
        };
        let job = JobView {
            app: None,
            name: "reindex".to_owned(),
            run: "a:b".to_owned(),
            schedule: "every 6h0m".to_owned(),
            next: Some(at("2026-01-01T06:00:00Z")),
            running: None,
            last: Some(last),
        };
        let theirs = JobView {
            app: Some("shop".to_owned()),
            name: "tidy".to_owned(),
            last: None,
            ..job.clone()
        };
        let queue = |app: Option<&str>| QueueView {
            app: app.map(str::to_owned),
            waiting: 1_200,
            running: Vec::new(),
            dead: Vec::new(),
        };
        let shown = Overview {
            version: VERSION,
            jobs: vec![job, theirs],
            queue: Some(queue(None)),
            queues: vec![queue(None), queue(Some("shop"))],
        };
        let text = overview(&shown, at("2026-01-01T02:00:00Z"));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "JOB        SCHEDULE    LAST      TOOK   PEAK MB  RESULT  NEXT"
        );
        assert_eq!(
            lines[1],
            "reindex    every 6h0m  2h0m ago  31.2s  700.0    done    in 4h0m"
        );
        assert!(lines[2].starts_with("shop/tidy  every 6h0m  -"));
        assert_eq!(lines[3], "queue: 1,200 waiting, 0 running, 0 dead");
        assert!(lines[4].starts_with("queue of shop: 1,200 waiting"));
    }
}
