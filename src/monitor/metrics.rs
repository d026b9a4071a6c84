//! `/metrics`: which figures there are, and what they are called.
//!
//! Names are those of OpenTelemetry's semantic conventions as Prometheus spells them, and of
//! Prometheus' own client libraries for processes; ours begin with `lowmem_`. No label comes from a
//! client but the method, of which ten are counted apart. A part of the server that has figures of its own
//! adds a function to [`FAMILIES`].

mod apart;

use super::board::{Counted, Published, Tally};
use super::exposition::{Exposition, Format, Kind};
use super::processes::{Clock, Process};
use super::report::Samples;
use crate::counters::{Counts, Gauges};
use crate::operator::{ApplicationStatus, Serving, Stage, Status};

/// The state that the metrics are made from, at this scrape.
pub struct Scrape<'a> {
    /// How everything is.
    pub status: &'a Status,
    /// The applications.
    pub applications: Vec<Seen<'a>>,
    /// The samples.
    pub samples: &'a Samples,
    published: &'a Published,
}

/// An application at this scrape. Each page of counters is read once.
pub struct Seen<'a> {
    /// The label `app`, where there are several, or may be: it does not come and go with them.
    pub label: &'a str,
    /// How it is.
    pub status: &'a ApplicationStatus,
    /// The supervisor's counts.
    pub counted: Counted,
    /// The counts of its workers.
    pub counts: Counts,
    /// The places of its workers, and their figures of this moment.
    pub gauges: Vec<(usize, Gauges)>,
}

/// Everything that is written.
const FAMILIES: [fn(&mut Exposition, &Scrape<'_>); 14] = [
    requests,
    connections,
    workers,
    memory,
    budget,
    recycling,
    sleeping,
    crashes,
    threads,
    accept_queues,
    apart::jobs,
    apart::queues,
    apart::caches,
    processes,
];

/// All metrics as text.
pub fn text(published: &Published, samples: &Samples, format: Format) -> String {
    let status = &published.status;
    let applications = status.applications.iter().zip(&published.tallies);
    let scrape = Scrape {
        status,
        applications: applications
            .map(|(application, tally)| Seen::now(application, tally, status.is_fleet))
            .collect(),
        samples,
        published,
    };
    let mut text = Exposition::new(format);
    for family in FAMILIES {
        family(&mut text, &scrape);
    }
    text.finish()
}

impl<'a> Seen<'a> {
    fn now(status: &'a ApplicationStatus, tally: &Tally, is_fleet: bool) -> Self {
        let counted = tally.counted();
        let gauges = counted.gauges().map(|(live, now)| (live.slot, now));
        Self {
            label: if is_fleet { &status.name } else { "" },
            status,
            counts: counted.counts(),
            gauges: gauges.collect(),
            counted,
        }
    }

    /// The sum of `of` over the figures of all its workers.
    fn sum(&self, of: impl Fn(&Gauges) -> u64) -> u64 {
        self.gauges.iter().map(|(_, now)| of(now)).sum()
    }
}

fn requests(text: &mut Exposition, scrape: &Scrape<'_>) {
    let name = "http_server_request_duration_seconds";
    text.family(name, Kind::Histogram, "Duration of HTTP server requests.");
    for own in &scrape.applications {
        for (key, histogram) in &own.counts.requests {
            let status = key.status().map(|status| status.to_string());
            let labels = [
                ("app", own.label),
                ("http_request_method", key.method()),
                ("http_response_status_code", status.as_deref().unwrap_or("")),
                ("network_protocol_version", key.version()),
                ("url_scheme", key.scheme()),
            ];
            text.histogram(&labels, histogram);
        }
    }
    let name = "http_server_active_requests";
    text.family(name, Kind::Gauge, "Requests that are being answered.");
    for own in &scrape.applications {
        let active = own.sum(|now| now.active_requests);
        text.sample(&[("app", own.label)], active);
    }
}

fn connections(text: &mut Exposition, scrape: &Scrape<'_>) {
    text.family("lowmem_connections", Kind::Gauge, "Open connections.");
    for own in &scrape.applications {
        let app = ("app", own.label);
        let active = own.sum(|now| now.active.saturating_sub(now.websockets));
        let parked = own.sum(|now| now.parked);
        let websockets = own.sum(|now| now.websockets);
        for (state, count) in [
            ("active", active),
            ("parked", parked),
            ("websocket", websockets),
        ] {
            text.sample(&[app, ("state", state)], count);
        }
    }
    let help = "Connections that have moved to a worker's successor.";
    text.family("lowmem_handed_over_total", Kind::Counter, help);
    for own in &scrape.applications {
        let app = ("app", own.label);
        text.sample(&[app], own.counts.handed_over);
    }
}

fn workers(text: &mut Exposition, scrape: &Scrape<'_>) {
    text.family("lowmem_workers", Kind::Gauge, "Workers by their stage.");
    for own in &scrape.applications {
        for stage in Stage::ALL {
            let workers = own.status.workers.iter();
            let count = workers.filter(|worker| worker.stage == stage).count();
            let app = ("app", own.label);
            text.sample(&[app, ("stage", stage.word())], count);
        }
    }
    let help = "Workers that there should be.";
    text.family("lowmem_workers_wanted", Kind::Gauge, help);
    for own in &scrape.applications {
        let app = ("app", own.label);
        text.sample(&[app], own.status.workers_wanted);
    }
    let help = "How late the event loop was when a timer was last due.";
    text.family("lowmem_loop_lag_seconds", Kind::Gauge, help);
    for own in &scrape.applications {
        for (slot, now) in &own.gauges {
            let labels = [("app", own.label), ("worker", &slot.to_string())];
            text.sample(&labels, now.lag.as_secs_f64());
        }
    }
}

fn memory(text: &mut Exposition, scrape: &Scrape<'_>) {
    let help = "Memory of a worker: pss is its share of all its pages, private the pages that it has written to and shares with no other process, limit is --max-rss.";
    text.family("lowmem_worker_memory_bytes", Kind::Gauge, help);
    for own in &scrape.applications {
        for worker in &own.status.workers {
            let Some(weight) = worker.pid.and_then(|pid| scrape.samples.weight(pid)) else {
                continue;
            };
            let (app, slot) = (own.label, worker.slot.unwrap_or_default().to_string());
            let kinds = [
                ("pss", Some(weight.pss)),
                ("private", Some(weight.private)),
                ("limit", own.status.memory_limit),
            ];
            for (kind, bytes) in kinds {
                if let Some(bytes) = bytes {
                    text.sample(&[("app", app), ("worker", &slot), ("kind", kind)], bytes);
                }
            }
        }
    }
}

fn budget(text: &mut Exposition, scrape: &Scrape<'_>) {
    let Some(budget) = scrape.status.budget else {
        return;
    };
    let name = "lowmem_memory_budget_bytes";
    text.family(
        name,
        Kind::Gauge,
        "What all processes together may take, and take.",
    );
    text.sample(&[("kind", "limit")], budget.limit);
    text.sample(&[("kind", "used")], budget.used);
}

fn recycling(text: &mut Exposition, scrape: &Scrape<'_>) {
    let help = "Healthy workers that were replaced, by reason.";
    text.family("lowmem_recycles_total", Kind::Counter, help);
    for own in &scrape.applications {
        for (reason, count) in &own.counted.recycles {
            let app = ("app", own.label);
            text.sample(&[app, ("reason", reason)], count);
        }
    }
    let help = "How long replacing a worker took.";
    text.family("lowmem_recycle_duration_seconds", Kind::Histogram, help);
    for own in &scrape.applications {
        let app = ("app", own.label);
        text.histogram(&[app], &own.counted.recycle_times);
    }
}

fn sleeping(text: &mut Exposition, scrape: &Scrape<'_>) {
    let help = "Whether the application has no worker because it was not used.";
    text.family("lowmem_asleep", Kind::Gauge, help);
    for own in &scrape.applications {
        let is_asleep = u8::from(own.status.state == Serving::Asleep);
        text.sample(&[("app", own.label)], is_asleep);
    }
    let help = "How often the application was woken.";
    text.family("lowmem_wakes_total", Kind::Counter, help);
    for own in &scrape.applications {
        let app = ("app", own.label);
        text.sample(&[app], own.counted.wake_times.count());
    }
    let help = "How long it took until a worker was ready.";
    text.family("lowmem_wake_duration_seconds", Kind::Histogram, help);
    for own in &scrape.applications {
        let app = ("app", own.label);
        text.histogram(&[app], &own.counted.wake_times);
    }
}

fn crashes(text: &mut Exposition, scrape: &Scrape<'_>) {
    let help = "Workers that ended and should not have, by signal, or by exit code.";
    text.family("lowmem_worker_crashes_total", Kind::Counter, help);
    for own in &scrape.applications {
        for (signal, count) in &own.counted.crashes {
            let app = ("app", own.label);
            text.sample(&[app, ("signal", signal)], count);
        }
    }
    let help = "Workers whose event loop or threads made no turn in time (--timeout-worker-stall).";
    text.family("lowmem_worker_stalls_total", Kind::Counter, help);
    for own in &scrape.applications {
        text.sample(&[("app", own.label)], own.counted.stalls);
    }
}

fn threads(text: &mut Exposition, scrape: &Scrape<'_>) {
    text.family(
        "lowmem_wsgi_threads",
        Kind::Gauge,
        "Threads of WSGI applications.",
    );
    for own in &scrape.applications {
        if own.sum(|now| now.wsgi_most) == 0 {
            continue;
        }
        let busy = own.sum(|now| now.wsgi_busy);
        let all = own.sum(|now| now.wsgi_threads);
        let app = ("app", own.label);
        text.sample(&[app, ("state", "busy")], busy);
        text.sample(&[app, ("state", "idle")], all.saturating_sub(busy));
    }
}

fn accept_queues(text: &mut Exposition, scrape: &Scrape<'_>) {
    let listeners = scrape.published.listeners.iter();
    let queues: Vec<_> = listeners
        .filter_map(|listener| Some((listener, listener.queue()?)))
        .collect();
    let families: [(&'static str, &str); 2] = [
        (
            "lowmem_accept_queue",
            "Connections that wait to be accepted.",
        ),
        (
            "lowmem_accept_queue_max",
            "The most connections that may wait.",
        ),
    ];
    for (at, (name, help)) in families.into_iter().enumerate() {
        text.family(name, Kind::Gauge, help);
        for (listener, (waiting, most)) in &queues {
            let app = if scrape.status.is_fleet {
                &listener.app
            } else {
                ""
            };
            let labels = [("app", app), ("listener", listener.place.as_str())];
            text.sample(&labels, [waiting, most][at]);
        }
    }
}

/// The figure of a process that a family shows.
type Figure = fn(&Process) -> Option<f64>;

/// `process_…`, which the workers have and the supervisor.
const PROCESS: [(&str, Kind, &str, Figure); 7] = [
    (
        "process_cpu_seconds_total",
        Kind::Counter,
        "Processor time.",
        |own| Some(own.cpu),
    ),
    (
        "process_open_fds",
        Kind::Gauge,
        "Open descriptors.",
        |own| own.descriptors.map(|count| count as f64),
    ),
    (
        "process_max_fds",
        Kind::Gauge,
        "The most open descriptors.",
        |own| own.most_descriptors.map(|count| count as f64),
    ),
    (
        "process_virtual_memory_bytes",
        Kind::Gauge,
        "Address space.",
        |own| Some(own.virtual_memory as f64),
    ),
    (
        "process_resident_memory_bytes",
        Kind::Gauge,
        "Memory, shared pages among it.",
        |own| Some(own.resident as f64),
    ),
    (
        "process_start_time_seconds",
        Kind::Gauge,
        "Start, in seconds since 1970.",
        |own| Some(own.began),
    ),
    ("process_threads", Kind::Gauge, "Threads.", |own| {
        Some(own.threads as f64)
    }),
];

fn processes(text: &mut Exposition, scrape: &Scrape<'_>) {
    let clock = Clock::read();
    let supervisor = Process::read(scrape.status.pid.cast_signed(), clock);
    let supervisor = supervisor.map(|process| ("", "supervisor".to_owned(), process));
    let mut found: Vec<_> = supervisor.into_iter().collect();
    for own in &scrape.applications {
        let workers = own.status.workers.iter();
        found.extend(workers.filter_map(|worker| {
            let slot = worker.slot.unwrap_or_default().to_string();
            Some((own.label, slot, Process::read(worker.pid?, clock)?))
        }));
    }
    for (name, kind, help, figure) in PROCESS {
        text.family(name, kind, help);
        for (app, worker, own) in &found {
            if let Some(value) = figure(own) {
                text.sample(&[("app", app), ("worker", worker)], value);
            }
        }
    }
}
