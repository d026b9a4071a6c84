//! The wakers of tasks that wait for the other half.

use std::task::Waker;

use crate::server::exchange::wake;

/// The wakers of tasks that wait for a message: usually one, and then nothing is allocated for it.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    last: Option<Waker>,
    others: Vec<Waker>,
}

/// An application that gives up on `receive()` again and again leaves wakers behind: beyond this
/// many all are woken, and those that still wait come back.
const MAX_RECEIVERS: usize = 16;

impl Receivers {
    /// Adds one; gives back those to be woken because there are too many.
    pub(super) fn add(&mut self, waker: &Waker) -> Vec<Waker> {
        let given_up = if self.others.len() >= MAX_RECEIVERS {
            std::mem::take(&mut self.others)
        } else {
            Vec::new()
        };
        self.others.extend(self.last.replace(waker.clone()));
        given_up
    }
}

impl IntoIterator for Receivers {
    type Item = Waker;
    type IntoIter = std::iter::Chain<std::vec::IntoIter<Waker>, std::option::IntoIter<Waker>>;

    fn into_iter(self) -> Self::IntoIter {
        self.others.into_iter().chain(self.last)
    }
}

/// The wakers that must be woken once the state is unlocked.
#[must_use]
pub(super) struct Wakers {
    pub(super) receivers: Receivers,
    pub(super) senders: Vec<Waker>,
    pub(super) connection: Option<Waker>,
}

impl Wakers {
    pub(super) fn wake(self) {
        wake(self.connection);
        self.receivers.into_iter().for_each(Waker::wake);
        self.senders.into_iter().for_each(Waker::wake);
    }
}
