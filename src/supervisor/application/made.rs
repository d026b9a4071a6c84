//! An application's settings made into what serves it.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::{Config, Reload, TellsImports, WorkerConfig};
use crate::launch::Launch;
use crate::net::{Listen, Listeners};
use crate::supervisor::Member;
use crate::supervisor::changes::Changes;
use crate::supervisor::follower::{Follower, Reread};
use crate::supervisor::hours::Clock;
use crate::supervisor::notice::{self, Banner};
use crate::supervisor::pool::Settings;
use crate::supervisor::warm::Warm;
use crate::supervisor::watching::Watching;
use crate::supervisor::worker_config::worker_config;
use crate::supervisor::workforce::Source;

/// Each pool has numbers of its own for its workers.
static POOLS: AtomicU32 = AtomicU32::new(0);

/// The parts that are made anew when its settings change.
pub(in crate::supervisor) struct Parts<'a> {
    /// Where there are several.
    pub(super) name: Option<Arc<str>>,
    pub(super) listens: Listening,
    pub(super) settings: Settings,
    pub(super) banner: Banner,
    /// The follower of changes, with `--reload`.
    pub(super) follower: Option<Box<Follower<'a>>>,
    /// When it should be awake, with `--awake`.
    pub(super) clock: Option<Clock>,
    /// It should always be awake.
    pub(super) keeps_awake: bool,
    /// The watch for stalled workers, if there should be one.
    pub(in crate::supervisor) watching: Option<Watching>,
}

/// Those, and what its workers are started with.
pub(super) struct Made<'a> {
    pub parts: Parts<'a>,
    pub launch: Launch,
    pub listeners: Rc<Listeners>,
    pub worker: WorkerConfig,
    pub source: Source,
}

impl<'a> Made<'a> {
    /// # Errors
    /// Changes cannot be followed.
    pub(super) fn of(member: Member, reread: &'a Reread<'a>) -> io::Result<Self> {
        let Member {
            name,
            shares,
            config,
            launch,
            listeners,
            ..
        } = member;
        let worker = worker_config(&config, &launch, &listeners, shares);
        let source = source(&config, &worker);
        let changes = config.reload.as_ref().map(Changes::of).transpose()?;
        if let Some(changes) = &changes {
            notice::watching(&changes.directories());
        }
        let parts = Parts {
            name: name.map(Into::into),
            listens: Listening::of(&config),
            settings: settings(&config),
            banner: Banner::of(&config, &launch, &listeners),
            clock: config.sleep.awake.clone().map(Clock::new),
            keeps_awake: config.sleep.keeps_awake,
            watching: config.stall.map(Watching::new),
            follower: changes.map(|changes| Box::new(Follower::new(changes, config, reread))),
        };
        Ok(Self {
            parts,
            launch,
            listeners,
            worker,
            source,
        })
    }
}

/// Where its workers come from.
fn source(config: &Config, worker: &WorkerConfig) -> Source {
    match &config.reload {
        _ if config.preload => Source::Preload,
        Some(reload) if worker.start.tells_imports == TellsImports::WhenReady => {
            Source::Learned(Box::new(Warm::of(reload, worker)))
        }
        None if worker.start.tells_imports == TellsImports::BeforeSleep => {
            let own = Reload::of_application(&worker.application.directory);
            Source::Learned(Box::new(Warm::of(&own, worker)))
        }
        _ => Source::Start,
    }
}

/// The places that its sockets were opened for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listening {
    places: Vec<Listen>,
    mode: Option<u32>,
    backlog: i32,
}

impl Listening {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            places: config.listen.iter().map(unnamed).collect(),
            mode: config.uds_mode,
            backlog: config.backlog,
        }
    }
}

/// A place by what has to be opened for it: hosts and paths are the router's.
fn unnamed(place: &Listen) -> Listen {
    match place {
        Listen::Routed(_) => Listen::Routed(Vec::new()),
        other => other.clone(),
    }
}

pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        workers: config.workers.get(),
        startup: config.worker_startup,
        grace: config.worker.stop.grace,
        drain_delay: config.worker.stop.delay,
        recycle: config.recycle,
        follows_changes: config.reload.is_some(),
        wake_timeout: config.sleep.wake_timeout,
        begins_asleep: config.sleep.begins_asleep,
        keep_template: (config.preload || config.sleep.makes_template)
            .then_some(config.sleep.keep_template),
        serial: next_serial(),
        // Another number in each process: what keeps hash maps unpredictable.
        seed: RandomState::new().hash_one(()),
    }
}

pub(super) fn next_serial() -> u32 {
    POOLS.fetch_add(1, Ordering::Relaxed)
}
