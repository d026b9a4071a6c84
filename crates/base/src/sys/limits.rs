//! Resource limits.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are left to the application and to what the worker needs besides connections:
/// an eighth of all, at least so many, but half of few.
const LEAST_RESERVE: u64 = 64;

/// How many connections this process may hold, so that the application can still open its files.
pub fn connections() -> usize {
    let Some(all) = getrlimit(Resource::Nofile).current else {
        return usize::MAX;
    };
    usize::try_from(beside_reserve(all)).unwrap_or(usize::MAX)
}

fn beside_reserve(all: u64) -> u64 {
    let reserve = LEAST_RESERVE.min(all / 2).max(all / 8);
    (all - reserve).max(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_are_connections_by_half() {
        let left = |all| (all, beside_reserve(all));
        let expected = [
            (0, 1),
            (1, 1),
            (40, 20),
            (64, 32),
            (128, 64),
            (256, 192),
            (1_024, 896),
        ];
        assert_eq!(expected.map(|(all, _)| left(all)), expected);
    }
}
