//! Metrics of jobs, the queue and caches.

use super::Scrape;
use crate::counters::Cached;
use crate::monitor::exposition::{Exposition, Kind};
use crate::operator::JobStatus;

/// The figure of a job that a family shows.
type Figure = fn(&JobStatus) -> Option<f64>;

const JOBS: [(&str, &str, Figure); 5] = [
    ("lowmem_job_running", "Whether the job runs.", |job| {
        Some(f64::from(u8::from(job.running_since.is_some())))
    }),
    (
        "lowmem_job_peak_memory_bytes",
        "The most private memory of the job's last run, as far as it was seen.",
        |job| job.last.as_ref().map(|last| last.peak as f64),
    ),
    (
        "lowmem_job_last_run_duration_seconds",
        "How long the job's last run took.",
        |job| job.last.as_ref().map(|last| last.took),
    ),
    (
        "lowmem_job_last_success_timestamp_seconds",
        "When a run of the job was last done without a failure, in seconds since 1970.",
        |job| job.last_success,
    ),
    (
        "lowmem_job_next_run_timestamp_seconds",
        "When the job is due next, in seconds since 1970.",
        |job| job.next,
    ),
];

/// Results that are there before a run has ended so: Prometheus does not see the first of what begins
/// with one.
const FROM_THE_START: [&str; 5] = ["done", "failed", "killed", "timeout", "memory"];

pub(super) fn jobs(text: &mut Exposition, scrape: &Scrape<'_>) {
    let jobs = &scrape.status.jobs;
    if jobs.is_empty() {
        return;
    }
    let help = "Runs of jobs that have ended, by their result.";
    text.family("lowmem_job_runs_total", Kind::Counter, help);
    for job in jobs {
        let mut runs = job.runs.clone();
        for result in FROM_THE_START {
            runs.entry(result.to_owned()).or_default();
        }
        for (result, count) in &runs {
            let [app, name] = labels(job);
            text.sample(&[app, name, ("result", result)], count);
        }
    }
    for (name, help, figure) in JOBS {
        text.family(name, Kind::Gauge, help);
        for job in jobs {
            if let Some(value) = figure(job) {
                text.sample(&labels(job), value);
            }
        }
    }
}

/// The application of several, and the name within it.
fn labels(job: &JobStatus) -> [(&str, &str); 2] {
    [
        ("app", job.app.as_deref().unwrap_or_default()),
        ("job", job.own_name()),
    ]
}

pub(super) fn queues(text: &mut Exposition, scrape: &Scrape<'_>) {
    let queues = &scrape.published.queues;
    if queues.is_empty() {
        return;
    }
    let help = "Runs of the queue's tasks that have ended, by their result.";
    text.family("lowmem_queue_runs_total", Kind::Counter, help);
    for queue in queues {
        for (result, count) in &queue.status.runs {
            let app = ("app", queue.app.as_deref().unwrap_or_default());
            text.sample(&[app, ("result", result)], count);
        }
    }
    let help = "Tasks of the queue: those that wait, run, and were given up.";
    text.family("lowmem_queue_tasks", Kind::Gauge, help);
    for queue in queues {
        let files = scrape.samples.queue(&queue.directory);
        let running = queue.status.running;
        let states = [
            ("waiting", files.map(|files| files.waiting(running))),
            ("running", Some(running)),
            ("dead", files.map(|files| files.dead)),
        ];
        for (state, count) in states {
            if let Some(count) = count {
                let app = ("app", queue.app.as_deref().unwrap_or_default());
                text.sample(&[app, ("state", state)], count);
            }
        }
    }
}

/// The figure of a cache that a family counts.
type Count = fn(&Cached) -> u64;

const CACHES: [(&str, &str, Count); 3] = [
    (
        "lowmem_cache_hits_total",
        "Reads of a cache on disk that have found a value.",
        |cache| cache.hits,
    ),
    (
        "lowmem_cache_misses_total",
        "Reads of a cache on disk that have found none.",
        |cache| cache.misses,
    ),
    (
        "lowmem_cache_sets_total",
        "Values that were stored in a cache on disk.",
        |cache| cache.sets,
    ),
];

pub(super) fn caches(text: &mut Exposition, scrape: &Scrape<'_>) {
    let mut all = Vec::new();
    for own in &scrape.applications {
        let caches = own.counts.caches.iter();
        all.extend(caches.map(|(name, cache)| (own.label, name, cache)));
    }
    if all.is_empty() {
        return;
    }
    for (family, help, count) in CACHES {
        text.family(family, Kind::Counter, help);
        for (app, name, cache) in &all {
            text.sample(&[("app", app), ("cache", name)], count(cache));
        }
    }
    let sizes = all.iter().filter_map(|(app, name, cache)| {
        let size = scrape.samples.cache(&cache.directory)?;
        Some(([("app", *app), ("cache", name.as_str())], size))
    });
    let sizes: Vec<_> = sizes.collect();
    let families: [(&'static str, &str); 2] = [
        (
            "lowmem_cache_bytes",
            "What a cache's files take of the disk.",
        ),
        (
            "lowmem_cache_bytes_max",
            "What a cache's files may take of the disk.",
        ),
    ];
    for (at, (name, help)) in families.into_iter().enumerate() {
        text.family(name, Kind::Gauge, help);
        for (labels, (disk, most)) in &sizes {
            text.sample(labels, [disk, most][at]);
        }
    }
}
