//! `--job`, `--queue…`, `--state-dir`, and `lowmem-serve jobs`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand, ValueEnum};

use super::operation::Named;
use super::{job, values};
use crate::jobs::Job;

/// Options about work apart from requests.
#[derive(Debug, Args)]
#[command(next_help_heading = "Jobs")]
pub struct Jobs {
    /// Run a function or a command on a schedule or on demand, each run in a process that ends:
    /// 'reindex=myapp.search:reindex every 6h' (docs/jobs.md has all settings)
    #[arg(long = "job", value_name = "NAME=RUN …", value_parser = job::parse, env = "LOWMEM_JOB")]
    #[arg(value_delimiter = '\n')]
    pub jobs: Vec<Job>,
    /// Serve no application, only run jobs and the queue
    #[arg(long, env = "LOWMEM_JOBS_ONLY", value_parser = BoolishValueParser::new())]
    pub jobs_only: bool,
    /// Where jobs keep their times and results, and the queue its tasks [default:
    /// $STATE_DIRECTORY, else lowmem-serve in $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "DIRECTORY", env = "LOWMEM_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Run the tasks that lowmem_serve.jobs.enqueue() puts into the queue
    #[arg(long, env = "LOWMEM_QUEUE", value_parser = BoolishValueParser::new())]
    pub queue: bool,
    /// Tasks that run at once
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = values::at_least(1usize))]
    #[arg(env = "LOWMEM_QUEUE_CONCURRENT")]
    pub queue_concurrent: usize,
    /// Further attempts after a task that failed
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = values::number(0..=100u32))]
    #[arg(env = "LOWMEM_QUEUE_RETRIES")]
    pub queue_retries: u32,
    /// End a task after this time
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = values::lifetime)]
    #[arg(env = "LOWMEM_QUEUE_TIMEOUT")]
    pub queue_timeout: Duration,
    /// Kill a task whose own memory exceeds 300M, 1G [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = values::size, env = "LOWMEM_QUEUE_MAX_MEMORY")]
    pub queue_max_memory: Option<u64>,
    /// Start a task in a fresh interpreter, or as a fork of the template of --preload, --reload or
    /// --keep-template, where there is one
    #[arg(
        long,
        value_name = "WORD",
        default_value = "fresh",
        env = "LOWMEM_QUEUE_START"
    )]
    pub queue_start: StartWord,
    /// Isolated calls of a worker (lowmem_serve.isolated) that run at once; others wait [default: one
    /// less than there are processors, and one at least]
    #[arg(long, value_name = "N", value_parser = values::at_least(1usize))]
    #[arg(env = "LOWMEM_ISOLATED_CONCURRENT")]
    pub isolated_concurrent: Option<usize>,
    /// Added to the niceness of isolated calls, so that requests go before them [default: 5]
    #[arg(long, value_name = "N", value_parser = values::number(0..=19u32))]
    #[arg(env = "LOWMEM_ISOLATED_NICE")]
    pub isolated_nice: Option<u32>,
    /// Fork isolated calls from a process that has imported these modules and nothing else; it is started by
    /// the first call: pandas,myapp.reports (docs/isolated.md)
    #[arg(long, value_name = "MODULE,…", value_delimiter = ',')]
    #[arg(env = "LOWMEM_ISOLATED_TEMPLATE")]
    pub isolated_template: Vec<String>,
}

/// The way a process starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs)]
pub enum StartWord {
    Fresh,
    Template,
}

/// Which job, and of which server.
#[derive(Debug, Args)]
pub struct OneJob {
    /// Its name; APP/NAME is that of one application of several
    pub name: String,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub whose: Whose,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub named: Named,
}

/// Which application of several.
#[derive(Debug, Args)]
pub struct Whose {
    /// The application, where the server has several
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,
}

impl OneJob {
    /// The name as the server knows it.
    #[must_use]
    pub fn full_name(&self) -> String {
        match &self.whose.app {
            Some(app) => format!("{app}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// The arguments of `lowmem-serve jobs`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct JobsCommand {
    #[command(subcommand)]
    #[expect(missing_docs)]
    pub action: Option<JobsAction>,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub whose: Whose,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub named: Named,
    /// Write JSON (docs/jobs.md)
    #[arg(long)]
    pub json: bool,
}

/// The action on a job. Without one, all are listed.
#[derive(Debug, Subcommand)]
pub enum JobsAction {
    /// Run a job now
    Run {
        #[command(flatten)]
        #[expect(missing_docs)]
        job: OneJob,
        /// Wait for its end; the exit code is 5 if the run failed
        #[arg(long)]
        wait: bool,
    },
    /// Show the last runs of a job
    History {
        #[command(flatten)]
        #[expect(missing_docs)]
        job: OneJob,
        /// Write JSON (docs/jobs.md)
        #[arg(long)]
        json: bool,
    },
    /// End the run of a job, or a task by its id
    Stop {
        #[command(flatten)]
        #[expect(missing_docs)]
        job: OneJob,
    },
    /// Put a task that was given up into the queue again
    Retry {
        /// Its id
        id: String,
        #[command(flatten)]
        #[expect(missing_docs)]
        named: Named,
    },
}
