//! Giving everything that is kept to a worker.
//!
//! It goes the way that connections go between workers: the worker gets one end of a socket pair, out of
//! which lanes come, and the connections are in those. Nothing here waits: a lane that is full is
//! followed by another, and what the kernel does not take now is kept and tried again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use tracing::debug;

use super::{Accepting, Keeper};
use crate::control::{BATCH, HandOver, Lane, LaneEnd, socket_pair};
use crate::held::Held;
use crate::net::Listeners;

/// How long what could not be delivered waits. The kernel bounds the descriptors that are on their way,
/// and takes more once the worker has read some.
const AGAIN: Duration = Duration::from_millis(50);

impl Keeper {
    /// Stops accepting, and gives up all that is held, but for connections that have had their last
    /// answer. The worker should get each of these ends.
    pub(in crate::supervisor) fn deliver(
        &mut self,
        listeners: &Listeners,
        now: Instant,
    ) -> Vec<OwnedFd> {
        self.stop_accepting(listeners, Accepting::No);
        // Whatever still drains delivers there by itself.
        let mut ends = Vec::new();
        for end in std::mem::take(&mut self.handovers).into_iter().flatten() {
            let _ = epoll::delete(&self.ready, end.as_fd());
            ends.push(end.into());
        }
        self.deliver_at = None;
        match self.deliver_held(now) {
            Ok(end) => ends.extend(end),
            Err(reason) => {
                debug!("Cannot deliver all connections yet: {reason}");
                self.deliver_at = Some(now + AGAIN);
            }
        }
        ends
    }

    /// The end out of which lanes and connections come, if there are any.
    fn deliver_held(&mut self, now: Instant) -> io::Result<Option<OwnedFd>> {
        let held = self.places.all(|kept| kept.held != Held::Lingering);
        let lanes = self.lanes.iter().flatten().count();
        if held.is_empty() && lanes == 0 {
            return Ok(None);
        }
        let (ours, theirs) = socket_pair()?;
        let outer = HandOver::over(ours);
        for lane in std::mem::take(&mut self.lanes).into_iter().flatten() {
            let _ = epoll::delete(&self.ready, lane.as_fd());
            outer.send(&Lane, &[lane.as_fd()])?;
        }
        let mut current = None;
        for batch in held.chunks(BATCH) {
            if let Err(reason) = self.send(batch, &outer, &mut current, now) {
                debug!("Cannot deliver all connections yet: {reason}");
                self.deliver_at = Some(now + AGAIN);
                break;
            }
        }
        Ok(Some(theirs))
    }

    /// Sends these connections, through another lane where one is full.
    fn send(
        &mut self,
        batch: &[usize],
        outer: &HandOver,
        current: &mut Option<LaneEnd>,
        now: Instant,
    ) -> io::Result<()> {
        let held = || batch.iter().filter_map(|number| self.places.get(*number));
        let moved: Vec<_> = held().map(|(_, kept)| kept.moved(now)).collect();
        let sockets: Vec<_> = held().map(|(socket, _)| socket).collect();
        loop {
            let lane = match current.take() {
                Some(lane) => lane,
                None => {
                    let (ours, theirs) = socket_pair()?;
                    outer.send(&Lane, &[theirs.as_fd()])?;
                    LaneEnd::over(ours)
                }
            };
            match lane.send(&moved, &sockets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    *current = Some(lane);
                    break;
                }
            }
        }
        for number in batch {
            if let Some((socket, _)) = self.places.take(*number) {
                // It lives on in the worker, and would go on being reported here.
                let _ = epoll::delete(&self.ready, &socket);
            }
        }
        Ok(())
    }
}
