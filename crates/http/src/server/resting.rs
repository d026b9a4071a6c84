//! Where connections go that have nothing to do: into the lot, back to a task, to a successor.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::between_requests::Resting;
use super::handover::{self, Outbox};
use super::parking::Parked;
use super::socket::Socket;
use super::state::Server;
use super::stream::Stream;
use crate::server::application::Application;
use crate::tasks;
use lowmem_base::control::{HandOver, Moved, Stage};

/// How long a connection waits for room on its way back. The router never waits for anything.
const PATIENCE: Duration = Duration::from_secs(5);

impl<A: Application> Server<A> {
    /// Serves parked connections whose clients have something to say.
    pub(super) async fn unpark(self: Rc<Self>) {
        loop {
            let woken = match self.lot.woken().await {
                Ok(woken) => woken,
                Err(error) => {
                    tracing::error!("Cannot wait for idle connections: {error}");
                    return;
                }
            };
            woken.into_iter().for_each(|parked| self.wake(parked));
            // Thousands may leave at once: a batch's tasks have ended before the next has any.
            tokio::task::yield_now().await;
        }
    }

    /// Serves a parked connection again.
    fn wake(self: &Rc<Self>, parked: Parked) {
        let Parked {
            socket,
            peers,
            session,
            ..
        } = parked;
        // A socket that can't be adopted has been reset.
        if let Ok(stream) = Stream::adopt(socket, &peers.server, session) {
            self.begin(Resting {
                fresh: false,
                ..Resting::new(stream, peers)
            });
        }
    }

    /// Serves a connection from its descriptor.
    pub(super) fn resume(self: &Rc<Self>, moved: Moved, socket: OwnedFd) {
        let Moved {
            peers,
            stage,
            input,
            decided,
            ..
        } = moved;
        // A socket that can't be adopted has been reset.
        let Ok(socket) = Socket::adopt(socket, &peers.server) else {
            return;
        };
        match stage {
            Stage::Accepted if !peers.routed => self.welcome(socket, peers),
            Stage::Accepted | Stage::Fresh | Stage::Idle => self.begin(Resting {
                input,
                fresh: stage != Stage::Idle,
                decided,
                ..Resting::new(Stream::Plain(socket), peers)
            }),
        }
    }

    /// Sends a connection back to the router, with what has been read of its next request.
    pub(super) async fn send_elsewhere(self: &Rc<Self>, resting: Resting) {
        let Resting {
            stream,
            peers,
            input,
            ..
        } = resting;
        let client = peers.client_name();
        let router = self.router.borrow().clone();
        let Some(router) = router else { return };
        // A stream that tokio can't let go of has failed, and is closed.
        let Ok((socket, _)) = stream.release() else {
            return;
        };
        let moved = Moved {
            peers,
            stage: Stage::Idle,
            input,
            left: None,
            decided: false,
        };
        // It counts while it waits.
        let _guard = self.shared.connections.add();
        let sent = tokio::time::timeout(PATIENCE, router.send(&moved, &socket)).await;
        if let Err(error) = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            tracing::warn!("{client}: the connection cannot go to another application: {error}");
        }
    }

    /// Takes over the connections of the worker that this one succeeds.
    pub fn adopt(self: &Rc<Self>, end: HandOver) {
        let server = Rc::clone(self);
        tasks::spawn(async move {
            let lanes = handover::lanes(end, |lane| server.adopt_lane(lane));
            warn_of_loss(lanes.await);
        });
    }

    fn adopt_lane(self: &Rc<Self>, lane: OwnedFd) {
        let server = Rc::clone(self);
        tasks::spawn(async move {
            let adopt = |moved, socket| server.take_over(moved, socket);
            warn_of_loss(handover::connections(lane, adopt).await);
        });
    }

    /// Parks an idle connection at once: thousands may come, and a task for each would be memory
    /// that the predecessor had saved.
    fn take_over(self: &Rc<Self>, moved: Moved, socket: OwnedFd) {
        let is_idle = moved.stage == Stage::Idle && moved.input.is_empty();
        if !is_idle || self.shared.is_draining() {
            return self.resume(moved, socket);
        }
        let left = moved.left.unwrap_or(self.shared.limits.keep_alive);
        self.lot.park(Parked {
            socket,
            peers: moved.peers,
            deadline: Instant::now() + left,
            session: None,
        });
        self.shared.connections.wake_sweep();
    }

    /// Stops accepting and lets requests finish. Connections with nothing to do go to the successor
    /// through `end`; without one, they are closed, and the others after their response.
    pub fn drain(self: &Rc<Self>, end: Option<HandOver>) {
        let outbox = end.map(Outbox::new).transpose().unwrap_or_else(|error| {
            tracing::warn!("Cannot hand connections over: {error}");
            None
        });
        self.shared.set_draining();
        let parked = self.lot.clear();
        match outbox {
            Some(outbox) => self.hand_over(Rc::new(outbox), parked),
            None => {
                parked.into_iter().for_each(|parked| self.let_go(parked));
                self.shared.close_after_responses();
            }
        }
        self.shared.connections.drain();
    }

    /// Ends an idle connection that has no successor to go to: on a shared place the router has it again,
    /// as its next request may be another application's.
    pub(super) fn let_go(&self, parked: Parked) {
        let router = self.router.borrow().clone();
        let router = router.filter(|_| parked.peers.routed && parked.session.is_none());
        let Some(router) = router else {
            return parked.close();
        };
        let moved = Moved {
            peers: parked.peers,
            stage: Stage::Idle,
            input: Vec::new(),
            left: Some(parked.deadline.saturating_duration_since(Instant::now())),
            decided: false,
        };
        // Without room for it, it is closed as it would be elsewhere.
        let _ = router.try_send(&moved, &parked.socket);
    }

    fn hand_over(self: &Rc<Self>, outbox: Rc<Outbox>, parked: Vec<Parked>) {
        if self.shared.tls.is_some() {
            // The keys of a session stay where they are, so its connection does, for one response
            // more or a last moment; the client hears of it and comes to the successor.
            self.shared.close_after_responses();
        }
        let now = Instant::now();
        for parked in parked {
            if parked.session.is_some() {
                self.wake(parked);
                continue;
            }
            let Parked {
                socket,
                peers,
                deadline,
                ..
            } = parked;
            outbox.put(
                Moved {
                    peers,
                    stage: Stage::Idle,
                    input: Vec::new(),
                    left: Some(deadline.saturating_duration_since(now)),
                    decided: false,
                },
                socket,
            );
        }
        *self.outbox.borrow_mut() = Some(Rc::clone(&outbox));
        self.shared.set_handing_over(true);
        let server = Rc::clone(self);
        tasks::spawn(async move {
            let unsent = outbox.run().await;
            server.handed_over.set(outbox.sent());
            if let Some(page) = server.shared.page {
                page.handed_over(outbox.sent());
            }
            *server.outbox.borrow_mut() = None;
            server.shared.set_handing_over(false);
            server.shared.close_after_responses();
            for (moved, socket) in unsent {
                // To be told of the end where it is; a request on its way is still answered.
                server.resume(
                    Moved {
                        stage: Stage::Fresh,
                        ..moved
                    },
                    socket,
                );
            }
            server.shared.connections.drain();
        });
    }

    /// Ends each connection with its next response.
    pub fn close_after_responses(&self) {
        self.shared.close_after_responses();
    }

    /// Ready when the last connection has ended or been handed over.
    pub async fn drained(&self) {
        self.shared.connections.empty().await;
        let outbox = self.outbox.borrow().clone();
        if let Some(outbox) = outbox {
            outbox.close();
            outbox.closed().await;
        }
    }

    /// Connections that went to the successor; known when the server has drained.
    #[must_use]
    pub fn handed_over(&self) -> u64 {
        self.handed_over.get()
    }

    /// Whether it has been told to drain.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }
}

fn warn_of_loss(adopted: io::Result<()>) {
    if let Err(error) = adopted {
        tracing::error!("Cannot take connections over: {error}");
    }
}
