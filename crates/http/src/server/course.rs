//! The one place that decides which task serves a connection next: a handshake, a protocol, none.

use std::rc::Rc;
use std::time::Instant;

use super::application::Application;
use super::between_requests::Resting;
use super::connection::{self, Left};
use super::connections::Guard;
use super::handshake::{self, Shook};
use super::http2;
use super::parking::Parked;
use super::preamble;
use super::socket::Socket;
use super::state::Server;
use super::stream::Stream;
use crate::peers::Peers;
use crate::tasks;
use lowmem_base::config::HttpVersions;
use lowmem_base::control::{Moved, Stage};

impl<A: Application> Server<A> {
    /// Serves a connection that was accepted, here or by the supervisor.
    pub(super) fn welcome(self: &Rc<Self>, socket: Socket, peers: Peers) {
        if preamble::is_due(self.preamble_from.as_ref(), &peers) {
            let guard = self.shared.connections.add();
            tasks::spawn(see_through(Rc::clone(self), guard, socket, peers));
        } else {
            self.begin(Resting::new(Stream::Plain(socket), peers));
        }
    }

    /// Serves a connection in a task of its own.
    pub(super) fn begin(self: &Rc<Self>, resting: Resting) {
        let server = Rc::clone(self);
        // Counted from now on, and not only when its task has its first turn.
        let guard = self.shared.connections.add();
        if self.shared.tls.is_some() || self.shared.versions == HttpVersions::Http2 {
            tasks::spawn(server.serve(guard, resting));
        } else {
            tasks::spawn(server.serve_http1(guard, resting));
        }
    }

    /// Serves a connection, after a handshake if it should be encrypted and is not yet.
    pub(super) async fn serve(self: Rc<Self>, guard: Guard, resting: Resting) {
        let shared = Rc::clone(&self.shared);
        match (shared.tls.clone(), resting) {
            (
                Some(terms),
                Resting {
                    stream: Stream::Plain(socket),
                    peers,
                    ..
                },
            ) => match handshake::shake(&shared, &guard.entry, &terms, (socket, peers)).await {
                Shook::Http1(resting) => self.serve_http1(guard, resting).await,
                Shook::Http2(resting) => http2::begin(shared, guard, resting),
                Shook::Untouched(resting) => self.rest(resting),
                Shook::Nothing => {}
            },
            (_, resting) if shared.versions == HttpVersions::Http2 => {
                http2::begin(shared, guard, resting);
            }
            (_, resting) => self.serve_http1(guard, resting).await,
        }
    }

    /// Serves one connection of HTTP/1.1 until it ends, rests, or becomes another protocol's.
    pub(super) async fn serve_http1(self: Rc<Self>, guard: Guard, resting: Resting) {
        match connection::converse(&self.shared, guard, resting).await {
            Left::Nothing => {}
            Left::Rest(resting) => self.rest(resting),
            Left::Http2(resting) => {
                let shared = Rc::clone(&self.shared);
                let guard = shared.connections.add();
                http2::begin(shared, guard, resting);
            }
            Left::Elsewhere(resting) => self.send_elsewhere(resting).await,
            // A task of its own: it lasts longer than this one, and needs less.
            Left::WebSocket(session) => tasks::spawn(*session),
        }
    }

    /// Takes a connection that has nothing to do: parks it, hands it over, or closes it.
    pub(super) fn rest(self: &Rc<Self>, resting: Resting) {
        let Resting {
            stream,
            peers,
            input,
            fresh,
            decided,
            idle_until,
        } = resting;
        let outbox = self.outbox.borrow().clone();
        // A stream that tokio can't let go of has failed, and is closed.
        let Ok((socket, session)) = stream.release() else {
            return;
        };
        if let Some(outbox) = outbox {
            debug_assert!(session.is_none(), "what is encrypted stays");
            let stage = if fresh { Stage::Fresh } else { Stage::Idle };
            let left = idle_until.map(|until| until.saturating_duration_since(Instant::now()));
            outbox.put(
                Moved {
                    peers,
                    stage,
                    input,
                    left,
                    decided,
                },
                socket,
            );
            return;
        }
        let deadline = idle_until.unwrap_or_else(|| Instant::now() + self.shared.limits.keep_alive);
        let parked = Parked {
            socket,
            peers,
            deadline,
            session,
        };
        if self.shared.is_draining() {
            self.let_go(parked);
        } else {
            self.lot.park(parked);
            self.shared.connections.wake_sweep();
        }
    }
}

/// Serves a connection once its proxy has said whose it is.
async fn see_through<A: Application>(
    server: Rc<Server<A>>,
    guard: Guard,
    mut socket: Socket,
    peers: Peers,
) {
    let read = preamble::read(&server.shared, &guard.entry, &mut socket, peers);
    if let Some(peers) = read.await {
        let resting = Resting::new(Stream::Plain(socket), peers);
        server.serve(guard, resting).await;
    }
}
