//! Connections that workers hand over before they end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::epoll;
use tracing::error;

use super::{Keeper, LANE};
use crate::control::{LaneEnd, Moved, Received, Stage};
use crate::held::{self, Kept, TURN};
use crate::net::Listeners;
use crate::supervisor::pool::Cause;

impl Keeper {
    pub(super) fn hear_handover(&mut self, number: usize) -> Option<Cause> {
        let Some(Some(end)) = self.handovers.get(number) else {
            return None;
        };
        for _ in 0..TURN {
            match end.receive() {
                Ok(Received::Message(_, ends)) => {
                    for lane in ends {
                        let free = free_place(&mut self.lanes);
                        let (data, lane_end) = (LANE | free as u64, lane.as_fd());
                        match held::watch(&self.ready, lane_end, data, epoll::EventFlags::IN) {
                            Ok(()) => self.lanes[free] = Some(LaneEnd::over(lane)),
                            Err(reason) => error!("Cannot keep connections: {reason}"),
                        }
                    }
                }
                Ok(Received::Nothing) => return None,
                ended => {
                    warn_of_loss(ended.err());
                    self.handovers[number] = None;
                    return None;
                }
            }
        }
        None
    }

    pub(super) fn hear_lane(
        &mut self,
        listeners: &Listeners,
        number: usize,
        now: Instant,
    ) -> Option<Cause> {
        let mut knock = None;
        for _ in 0..TURN {
            let Some(Some(lane)) = self.lanes.get(number) else {
                break;
            };
            match lane.receive() {
                Ok(Received::Message(moved, sockets)) => {
                    for (moved, socket) in moved.into_iter().zip(sockets) {
                        let goes_back = moved.peers.routed && !moved.decided;
                        if !goes_back || listeners.give_back(&moved, socket.as_fd()).is_err() {
                            knock = knock.or(self.keep_moved(moved, socket, now));
                        }
                    }
                }
                Ok(Received::Nothing) => break,
                ended => {
                    warn_of_loss(ended.err());
                    self.lanes[number] = None;
                }
            }
        }
        knock
    }

    /// Keeps a connection that a worker had.
    pub(super) fn keep_moved(
        &mut self,
        moved: Moved,
        socket: OwnedFd,
        now: Instant,
    ) -> Option<Cause> {
        let Moved {
            peers,
            stage,
            input,
            left,
            decided,
        } = moved;
        let most = match stage {
            Stage::Idle => self.terms.keep_alive,
            Stage::Accepted | Stage::Fresh => self.terms.header_read,
        };
        let mut kept = Kept::new(peers, stage, now + left.unwrap_or(most).min(most));
        kept.decided = decided;
        let has_begun = !input.is_empty();
        if has_begun {
            // Its worker has read the beginning of a head: that is as good as a byte.
            kept.knock(input.into_boxed_slice());
        }
        self.keep(socket, kept);
        has_begun.then_some(Cause::KeptConnection)
    }
}

impl Keeper {
    /// Takes what the router sends: connections whose next request is this application's.
    pub(super) fn take_routed(&mut self, listeners: &Listeners, now: Instant) -> Option<Cause> {
        let mut knock = None;
        for _ in 0..TURN {
            match listeners.take_routed() {
                Ok(Some((moved, socket))) => {
                    knock = knock.or(self.keep_moved(moved, socket, now));
                }
                Ok(None) => break,
                Err(reason) => {
                    error!("Cannot keep connections: {reason}");
                    break;
                }
            }
        }
        knock
    }

    /// Gives a connection back to the router, whose next request may be any application's. Without room
    /// for that it knocks here, and a worker finds out.
    pub(super) fn give_back(&mut self, listeners: &Listeners, number: usize, now: Instant) -> bool {
        let Some((socket, kept)) = self.places.get(number) else {
            return false;
        };
        let is_sent = listeners.give_back(&kept.moved(now), socket).is_ok();
        if is_sent && let Some((socket, _)) = self.places.take(number) {
            let _ = epoll::delete(&self.ready, &socket);
        }
        is_sent
    }
}

pub(super) fn free_place<T>(places: &mut Vec<Option<T>>) -> usize {
    let free = places.iter().position(Option::is_none);
    free.unwrap_or_else(|| {
        places.push(None);
        places.len() - 1
    })
}

fn warn_of_loss(error: Option<io::Error>) {
    if let Some(error) = error {
        error!("Cannot keep connections: {error}");
    }
}
