//! The exit codes of lowmem-serve, documented in this one place.

use std::process::ExitCode;

/// Why lowmem-serve ended. The discriminant is the exit code; the codes are Uvicorn's where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Stopped as requested (SIGTERM, SIGINT, SIGQUIT), gracefully or not.
    Stopped = 0,
    /// Importing the application raised; the traceback is on stderr.
    ImportRaised = 1,
    /// The command line, the environment or the settings file is invalid.
    Usage = 2,
    /// It could not start: no Python, address in use, application not found, lifespan startup
    /// failed, a worker that dies before it is ready. Once a worker has served, failed starts are retried.
    CouldNotStart = 3,
    /// `weigh`: the application weighs more than its budget, or than its record allows.
    TooHeavy = 4,
    /// `jobs run --wait`: the run failed.
    RunFailed = 5,
}

/// The same for `--help`.
pub const HELP: &str = "\
Exit codes:
  0  stopped as requested
  1  importing the application raised
  2  wrong usage
  3  could not start (environment, address, application, lifespan)
  4  heavier than allowed (weigh)
  5  the run failed (jobs run --wait)";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
