//! The loop's part in an application's sleep: the pool's actions, with the keeper.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use tracing::error;

use super::application::Application;
use super::pool::{Event, WorkerId};
use crate::control::{Drain, SleepOrder, ToWorker, socket_pair};

impl Application<'_> {
    /// Tells a worker to sleep, and keeps what it has. Without descriptors for that it goes on.
    pub(super) fn put_to_sleep(&mut self, id: WorkerId, drain: Drain) -> Option<Event> {
        self.begin_to_keep(id, drain).err().map(|reason| {
            error!("Cannot keep connections: {reason}");
            Event::Busy(id)
        })
    }

    fn begin_to_keep(&mut self, id: WorkerId, drain: Drain) -> io::Result<()> {
        self.keeper()?;
        let order = SleepOrder {
            drain,
            is_first: !std::mem::replace(&mut self.has_slept, true),
        };
        let (olds, news) = socket_pair()?;
        self.keeper()?.take_in(news)?;
        self.workforce
            .tell_with(id, &ToWorker::Sleep(order), &[olds.as_fd()]);
        Ok(())
    }

    /// Gives all that is kept to a worker.
    pub(super) fn deliver(&mut self, id: WorkerId) {
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        for end in keeper.deliver(self.workforce.listeners(), Instant::now()) {
            // A worker that is gone by now is followed by another.
            if let Err(end) = self.workforce.adopt(id, end)
                && let Err(reason) = keeper.take_in(end)
            {
                error!("Cannot keep connections: {reason}");
            }
        }
        self.forget_keeper();
    }

    pub(super) fn refuse(&mut self, after: Duration) {
        if let Some(keeper) = &mut self.keeper {
            keeper.refuse(after, Instant::now());
        }
    }

    /// Handles what has happened to what is kept.
    pub(super) fn hear_keeper(&mut self) {
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        let knock = keeper.turn(self.workforce.listeners(), Instant::now());
        self.forget_keeper();
        if let Some(cause) = knock.filter(|cause| !self.asks_the_budget(*cause)) {
            self.on(Event::Wake(cause));
        }
    }

    fn forget_keeper(&mut self) {
        if self.keeper.as_ref().is_some_and(|keeper| keeper.is_done()) {
            self.keeper = None;
            self.is_unsettled = true;
        }
    }
}
