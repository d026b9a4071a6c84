//! Which connection makes room for another when there are as many as there may be.
//!
//! A client that has sent nothing, or not enough for anything to be begun, loses nothing but time: it
//! may connect again. Without this, some hundred `connect()`s keep all other clients out for as long as
//! a head may take.

use std::time::{Duration, Instant};

use super::{Connections, Entry};

/// How long a client has to speak before it can be evicted. Those that mean to speak do so with the
/// packet that ends their handshake, or with the next.
const GRACE: Duration = Duration::from_millis(250);

/// The event that a connection without an open request waits for, in the order of eviction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::server) enum Waiting {
    /// The next request of a client of HTTP/2; those of HTTP/1.1 are parked, and go first.
    Idle,
    /// The first byte.
    Silent,
    /// The rest of a head, or of what comes before it.
    Begun,
}

impl Connections {
    /// Closes the connection that can best be spared, if there is one; it ends with its task's next
    /// turn. Says whether there was one.
    pub(in crate::server) fn evict(&self, now: Instant) -> bool {
        let slots = self.slots.borrow();
        let entries = slots.iter().flatten();
        let spare = entries.filter_map(|entry| Some((entry.spare(now)?, entry)));
        let Some((_, entry)) = spare.min_by_key(|(order, _)| *order) else {
            return false;
        };
        entry.evicted.set(true);
        entry.cut.set(true);
        self.leaving.set(self.leaving.get() + 1);
        entry.wake();
        true
    }

    /// Whether there is a connection to [`Self::evict`].
    pub(in crate::server) fn has_spare(&self, now: Instant) -> bool {
        let slots = self.slots.borrow();
        let mut entries = slots.iter().flatten();
        entries.any(|entry| entry.spare(now).is_some())
    }

    /// Connections that have been evicted, and have not ended yet.
    pub(in crate::server) fn leaving(&self) -> usize {
        self.leaving.get()
    }
}

impl Entry {
    /// From now on nothing is being done for the connection, which waits since then; or something is.
    pub(in crate::server) fn set_waiting(&self, waiting: Option<(Waiting, Instant)>) {
        self.waiting.set(waiting);
    }

    /// Whether it was closed to make room.
    pub(in crate::server) fn is_evicted(&self) -> bool {
        self.evicted.get()
    }

    /// Its place in the order of eviction, if it can be evicted.
    fn spare(&self, now: Instant) -> Option<(Waiting, Instant)> {
        let (waiting, since) = self.waiting.get()?;
        let had_its_time = now.saturating_duration_since(since) >= GRACE;
        (had_its_time && !self.cut.get()).then_some((waiting, since))
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::Guard;
    use super::*;

    fn waiting(connections: &Rc<Connections>, what: Waiting, since: Instant) -> Guard {
        let guard = connections.add();
        guard.entry.set_waiting(Some((what, since)));
        guard
    }

    #[test]
    fn the_oldest_of_the_least_busy_goes_first() {
        let connections = Rc::new(Connections::new(Duration::from_secs(5), None));
        let start = Instant::now();
        let later = start + GRACE;
        let busy = connections.add();
        let begun = waiting(&connections, Waiting::Begun, start);
        let young = waiting(&connections, Waiting::Silent, later);
        let old = waiting(&connections, Waiting::Silent, start);
        let idle = waiting(&connections, Waiting::Idle, later);
        let now = later + GRACE;
        for guard in [&idle, &old, &young, &begun] {
            assert!(!guard.entry.is_evicted());
            assert!(connections.evict(now));
            assert!(guard.entry.is_evicted() && guard.entry.is_cut());
        }
        assert!(!connections.evict(now) && !busy.entry.is_cut());
        assert_eq!(connections.leaving(), 4);
        drop((begun, young, old, idle));
        assert_eq!(connections.leaving(), 0);
    }

    #[test]
    fn a_client_has_time_to_speak() {
        let connections = Rc::new(Connections::new(Duration::from_secs(5), None));
        let start = Instant::now();
        let _silent = waiting(&connections, Waiting::Silent, start);
        assert!(!connections.has_spare(start) && !connections.evict(start));
        assert!(connections.has_spare(start + GRACE));
    }
}
