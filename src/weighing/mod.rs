//! The memory of an application when it is served: started on trial, requested, weighed.
//!
//! Every figure is that of the whole process tree. Of several starts the lightest counts: disturbances
//! (an interpreter that compiles the modules it imports, the order of addresses) only ever add to it.

pub mod report;
mod tree;
pub mod verdict;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::sys::weight::{self, Weight};
use crate::trial::{Answers, Failed, Peer, PeerMissing, Served, Trial, Warmth};

pub use self::tree::{Process, Tree};

/// Between two weighings of a server that comes to rest.
const INTERVAL: Duration = Duration::from_millis(300);

/// A server whose weight moves by less between two weighings is at rest.
const STILL: u64 = 64 << 10;

/// The longest wait for that. A server that never rests is weighed as it is.
const REST: Duration = Duration::from_secs(5);

/// The plan of a weighing.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The application.
    pub served: Served,
    /// The requests before it is weighed.
    pub warmth: Warmth,
    /// How often it is started.
    pub starts: u32,
    /// The figure by which the lightest start is chosen.
    pub figure: Figure,
    /// Under which other servers it is weighed, too.
    pub peers: Vec<Peer>,
}

/// The figure that is compared: the memory that the tree has written to, swapped or not, which does not
/// depend on other processes; or that, and its share of the files that it has mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs)]
pub enum Figure {
    Private,
    Pss,
}

/// The result of a weighing; a record is the same as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighing {
    /// `module:attribute`.
    pub app: String,
    /// The version of CPython it ran in.
    pub python: String,
    /// The version of this server.
    pub lowmem_serve: String,
    /// The requests, and the answers.
    pub answers: Vec<Answers>,
    /// When it was ready.
    pub started: Tree,
    /// After it had answered.
    pub warm: Tree,
    /// The same of each start, the one above among them.
    pub starts: Vec<Weight>,
    /// Under other servers.
    pub beside: Vec<Beside>,
}

/// The same application under another server, after it had answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// Its name.
    pub server: String,
    /// Its version.
    pub version: String,
    /// Its weight.
    pub warm: Tree,
}

/// Why nothing was weighed.
#[derive(Debug)]
pub enum Error {
    /// A server did not start or answer.
    Trial(String, Failed),
    /// A peer is not installed.
    Missing(PeerMissing),
    /// It answered, but the application failed.
    Application(Answers),
    /// A process ended while it was weighed.
    Vanished(String),
    /// The record to compare with cannot be used.
    Record(PathBuf, String),
}

impl Figure {
    /// The figure of a weight, in bytes.
    pub fn of(self, weight: &Weight) -> u64 {
        match self {
            Self::Private => weight.private,
            Self::Pss => weight.pss,
        }
    }
}

/// Weighs the application under this server, then under the others.
///
/// # Errors
/// A server did not start, or the application did not answer as it should.
pub fn weigh(plan: &Plan) -> Result<Weighing, Error> {
    let mut versions = Vec::new();
    for peer in &plan.peers {
        let version = peer.version(&plan.served.environment);
        versions.push((*peer, version.map_err(Error::Missing)?));
    }
    weight::settle_files();
    let mut weighings = Vec::new();
    for _ in 0..plan.starts {
        weighings.push(weigh_once(plan)?);
    }
    let starts = weighings.iter().map(|(_, warm, _)| warm.total).collect();
    let figure = |warm: &Tree| plan.figure.of(&warm.total);
    let lightest = weighings
        .into_iter()
        .min_by_key(|(_, warm, _)| figure(warm));
    // There is at least one start; without any there is nothing to be told.
    let (started, warm, answers) = lightest.unwrap_or_default();
    let mut beside = Vec::new();
    for (peer, version) in versions {
        beside.push(Beside {
            server: peer.to_string(),
            version,
            warm: weigh_peer(plan, peer)?,
        });
    }
    Ok(Weighing {
        app: plan.served.app.clone(),
        python: plan.served.environment.full_version(),
        lowmem_serve: env!("CARGO_PKG_VERSION").to_owned(),
        answers,
        started,
        warm,
        starts,
        beside,
    })
}

/// One start: its weight when ready, after the requests, and the answers to them.
fn weigh_once(plan: &Plan) -> Result<(Tree, Tree, Vec<Answers>), Error> {
    const NAME: &str = "lowmem-serve";
    let of_trial = |failed| Error::Trial(NAME.to_owned(), failed);
    let trial = Trial::start(&plan.served).map_err(of_trial)?;
    let mut started = at_rest(&trial, NAME)?;
    started.name_ours();
    let answers = warm(&trial, &plan.warmth, NAME)?;
    let mut warm = at_rest(&trial, NAME)?;
    warm.name_ours();
    // Whatever it says at its end, it has been weighed.
    let _ = trial.stop();
    Ok((started, warm, answers))
}

/// The lightest of as many starts of another server.
fn weigh_peer(plan: &Plan, peer: Peer) -> Result<Tree, Error> {
    let name = peer.to_string();
    let mut lightest: Option<Tree> = None;
    for _ in 0..plan.starts {
        let started = Trial::start_peer(&plan.served, peer);
        let trial = started.map_err(|failed| Error::Trial(name.clone(), failed))?;
        warm(&trial, &plan.warmth, &name)?;
        let tree = at_rest(&trial, &name)?;
        let _ = trial.stop();
        let figure = |tree: &Tree| plan.figure.of(&tree.total);
        if lightest
            .as_ref()
            .is_none_or(|best| figure(&tree) < figure(best))
        {
            lightest = Some(tree);
        }
    }
    Ok(lightest.unwrap_or_default())
}

/// Asks for everything.
///
/// # Errors
/// There is no answer; or the application failed, and would be measured without its work.
pub fn warm(trial: &Trial, warmth: &Warmth, name: &str) -> Result<Vec<Answers>, Error> {
    let mut all = Vec::new();
    for request in &warmth.requests {
        let answers = trial
            .ask(request, warmth.count)
            .map_err(|failed| Error::Trial(name.to_owned(), failed))?;
        if answers.failed() {
            return Err(Error::Application(answers));
        }
        all.push(answers);
    }
    Ok(all)
}

/// The weight of a server that has stopped moving: connections parked, pages given back.
fn at_rest(trial: &Trial, name: &str) -> Result<Tree, Error> {
    let vanished = || Error::Vanished(name.to_owned());
    let deadline = Instant::now() + REST;
    let mut before = Tree::weigh(trial.pid()).ok_or_else(vanished)?;
    loop {
        if !trial.rest(INTERVAL) {
            return Err(vanished());
        }
        let now = Tree::weigh(trial.pid()).ok_or_else(vanished)?;
        let moved = now.total.private.abs_diff(before.total.private);
        if moved <= STILL || Instant::now() >= deadline {
            return Ok(now);
        }
        before = now;
    }
}

/// Reads what `--record` has written.
///
/// # Errors
/// There is no such file, or it is something else.
pub fn read_record(file: &Path) -> Result<Weighing, Error> {
    let failed = |why: String| Error::Record(file.to_owned(), why);
    let text = fs::read(file).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&text)
        .map_err(|error| failed(format!("it was not written by --record ({error})")))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trial(name, failed) => write!(f, "{name}: {failed}"),
            Self::Missing(missing) => missing.fmt(f),
            Self::Application(answers) => write!(
                f,
                "the application failed: {answers}; name pages that work with --request"
            ),
            Self::Vanished(name) => write!(f, "{name} ended while it was weighed"),
            Self::Record(file, why) => {
                let file = file.display();
                write!(
                    f,
                    "cannot compare with {file}: {why}; write one with --record {file}"
                )
            }
        }
    }
}

impl std::error::Error for Error {}
