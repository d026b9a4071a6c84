//! Resource limits.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are left to the application and to what the worker needs besides connections:
/// an eighth of all, at least so many.
const LEAST_RESERVE: u64 = 64;

/// How many connections this process may hold, so that the application can still open its files.
pub fn connections() -> usize {
    let Some(all) = getrlimit(Resource::Nofile).current else {
        return usize::MAX;
    };
    let left = all.saturating_sub(LEAST_RESERVE.max(all / 8)).max(1);
    usize::try_from(left).unwrap_or(usize::MAX)
}

/// Raises the limit on open descriptors to what the process may have at most: the usual soft limit,
/// 1,024, is there for programs that use select(2), and one descriptor is a connection here.
pub fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused, the old limit stays, and accepting stops there with an error in the log.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}
