//! The open streams of a connection, and what is remembered of closed ones (RFC 9113 section 5.1).

use super::Role;
use super::frame::MAX_31;

/// So many of the streams that were reset are remembered. Frames that were on their way to one may
/// still come; those to a stream that ended otherwise break the protocol.
const REMEMBERED: usize = 64;

/// A stream that can still send or receive.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// The client has ended its side.
    pub(super) half_closed: bool,
    /// Bytes of DATA that the client takes; negative after it has made its windows smaller
    /// (section 6.9.2).
    pub(super) to_send: i64,
    pub(super) receiving: Window,
}

/// The flow-control window of a peer: the bytes that it may send, and those that can be granted again.
#[derive(Debug)]
pub(super) struct Window {
    size: u32,
    left: u32,
    /// Bytes that have been used up and not been granted again.
    used: u32,
}

impl Window {
    pub(super) fn new(size: u32) -> Self {
        Self {
            size,
            left: size,
            used: 0,
        }
    }

    /// So many bytes have come; `false` where the peer was not allowed to send them.
    #[must_use]
    pub(super) fn take(&mut self, count: usize) -> bool {
        let left = u32::try_from(count)
            .ok()
            .and_then(|n| self.left.checked_sub(n));
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// So many bytes have been used up. Gives the increment once it is worth a frame: half of the
    /// window, so that a peer with more to send need not wait.
    pub(super) fn release(&mut self, count: usize) -> Option<u32> {
        // Nothing can be used up that has not been taken.
        let used = u32::try_from(count).unwrap_or(u32::MAX);
        self.used = self.used.saturating_add(used).min(self.size - self.left);
        if self.used < self.size / 2 {
            return None;
        }
        self.left += self.used;
        Some(std::mem::take(&mut self.used))
    }
}

/// The state of a stream that is not open.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// It has not been opened yet.
    Idle,
    /// It was passed over: a later one was opened before it (section 5.1.1).
    Skipped,
    /// It has been reset, by us or by the client.
    Reset(Role),
    /// It ended, or is forgotten.
    Closed,
}

/// The streams of a connection, in the order in which they were opened.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: Vec<Stream>,
    /// The highest identifier that the client has used.
    pub(super) last: u32,
    /// The last identifiers that were passed over: behind the first, before the second.
    skipped: (u32, u32),
    /// The last that were reset, the oldest first, and how many there were in all.
    reset: Vec<(u32, Role)>,
    resets: usize,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn place(&self, id: u32) -> Option<usize> {
        self.open.binary_search_by_key(&id, |stream| stream.id).ok()
    }

    pub(super) fn get(&mut self, id: u32) -> Option<&mut Stream> {
        let place = self.place(id)?;
        self.open.get_mut(place)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.open.iter_mut()
    }

    /// The client has opened a stream, whether it is taken or not.
    pub(super) fn pass(&mut self, id: u32) {
        if id > self.last + 2 {
            self.skipped = (self.last, id);
        }
        self.last = id;
    }

    /// Takes the stream that has just been opened.
    pub(super) fn add(&mut self, stream: Stream) {
        self.open.push(stream);
    }

    /// The stream is closed; says whether it was open.
    pub(super) fn remove(&mut self, id: u32) -> bool {
        let place = self.place(id);
        if let Some(place) = place {
            self.open.remove(place);
        }
        place.is_some()
    }

    /// The stream has been reset.
    pub(super) fn note_reset(&mut self, id: u32, by: Role) {
        if self.reset.len() == REMEMBERED {
            self.reset.remove(0);
        }
        self.reset.push((id, by));
        self.resets += 1;
    }

    /// The state of a stream that is not open.
    pub(super) fn absent(&self, id: u32) -> Absent {
        if id > self.last || id.is_multiple_of(2) {
            return Absent::Idle;
        }
        if let Some((_, by)) = self.reset.iter().rev().find(|(reset, _)| *reset == id) {
            return Absent::Reset(*by);
        }
        match self.skipped {
            (behind, before) if behind < id && id < before => Absent::Skipped,
            // One that is forgotten may be the client's mistake or not: it is not held against it.
            _ if self.resets > REMEMBERED => Absent::Reset(Role::Client),
            _ => Absent::Closed,
        }
    }

    /// Gives back what nothing needs while no stream is open.
    pub(super) fn rest(&mut self) {
        if self.open.is_empty() {
            self.open = Vec::new();
        }
        self.reset.shrink_to_fit();
    }
}

/// Whether a stream may be opened: clients have the odd ones (section 5.1.1).
pub(super) fn is_clients(id: u32) -> bool {
    id % 2 == 1 && id <= MAX_31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_granted_again_by_halves() {
        let mut window = Window::new(100);
        assert!(window.take(60));
        assert!(!window.take(41));
        assert_eq!(window.release(49), None);
        assert_eq!(window.release(11), Some(60));
        assert!(window.take(100));
        assert!(!window.take(1));
        assert_eq!(window.release(1000), Some(100));
    }

    #[test]
    fn streams_that_are_not_open_are_told_apart() {
        let mut streams = Streams::default();
        for id in [1, 3, 9] {
            streams.pass(id);
        }
        streams.note_reset(3, Role::Server);
        assert_eq!(streams.absent(11), Absent::Idle);
        assert_eq!(streams.absent(2), Absent::Idle);
        assert_eq!(streams.absent(7), Absent::Skipped);
        assert_eq!(streams.absent(3), Absent::Reset(Role::Server));
        assert_eq!(streams.absent(1), Absent::Closed);
        for id in 10..100 {
            streams.note_reset(2 * id + 1, Role::Client);
        }
        assert_eq!(streams.absent(3), Absent::Reset(Role::Client));
    }
}
