//! Accepting connections.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UnixListener};

use super::router_end::RouterEnd;
use super::socket::Socket;
use super::state::Server;
use crate::peers::{Peers, ServerAddress};
use crate::server::application::Application;
use lowmem_base::control::Moved;

/// How long to wait when no descriptor is left (EMFILE) before trying again; nginx waits 500 ms,
/// Go 5 ms to 1 s.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Between two complaints about the same trouble.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Connections accepted in one go before others get their turn.
const BATCH: usize = 64;

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A Unix socket and its path.
    Unix(UnixListener, String),
    /// Connections from the router.
    Routed(Rc<RouterEnd>),
}

/// A connection that a listener has accepted.
enum Come {
    New(Socket, Option<SocketAddr>),
    Routed(Moved, OwnedFd),
}

impl Listener {
    fn poll_accept(&self, cx: &mut std::task::Context<'_>) -> Poll<io::Result<Come>> {
        match self {
            Self::Tcp(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, peer)| Come::New(Socket::Tcp(stream), Some(peer))),
            Self::Unix(listener, _) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| Come::New(Socket::Unix(stream), None)),
            Self::Routed(end) => end
                .poll_receive(cx)
                .map_ok(|(moved, socket)| Come::Routed(moved, socket)),
        }
    }

    /// The address that it is bound to, where a client could connect.
    #[must_use]
    pub fn address(&self) -> Option<ServerAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(ServerAddress::Tcp),
            Self::Unix(_, path) => Some(ServerAddress::Unix(path.clone())),
            Self::Routed(_) => None,
        }
    }

    fn peers(&self, socket: &Socket, client: Option<SocketAddr>) -> io::Result<Peers> {
        let server = match (self, socket) {
            (Self::Unix(_, path), _) => ServerAddress::Unix(path.clone()),
            (_, Socket::Tcp(stream)) => ServerAddress::Tcp(stream.local_addr()?),
            (_, Socket::Unix(_)) => ServerAddress::Unix(String::new()),
        };
        Ok(Peers {
            client,
            server,
            routed: false,
        })
    }
}

/// Accepts until the server drains; what the kernel has queued by then is still served, by the
/// successor if there is one.
pub(super) async fn run<A: Application>(server: Rc<Server<A>>, listener: Listener) {
    let mut accepted = 0;
    let mut complaints = Complaints::default();
    loop {
        let next = poll_fn(|cx| {
            // The successor accepts from the same queue.
            if server.shared.hands_over() {
                return Poll::Ready(None);
            }
            if server.is_crowded() {
                complaints.say("Connection limit reached; further ones wait in the queue");
                server.shared.connections.wake_with_room(cx.waker());
            } else if let Poll::Ready(next) = listener.poll_accept(cx) {
                return Poll::Ready(Some(next));
            }
            if server.shared.is_draining() {
                return Poll::Ready(None);
            }
            server.shared.connections.also_wake(cx.waker());
            Poll::Pending
        })
        .await;
        match next {
            None => break,
            Some(Ok(come)) => {
                server.make_room().await;
                begin(&server, &listener, come);
                accepted += 1;
                if accepted % BATCH == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Some(Err(error)) => on_error(&server, &error, &mut complaints).await,
        }
    }
}

impl<A: Application> Server<A> {
    /// Whether there are as many connections as there may be, and none of them can be spared.
    fn is_crowded(&self) -> bool {
        let connections = &self.shared.connections;
        self.is_at_limit() && self.lot.len() == 0 && !connections.has_spare(Instant::now())
    }

    fn is_at_limit(&self) -> bool {
        let shared = &self.shared;
        self.open_connections() - shared.connections.leaving() >= shared.limits.connections
    }

    /// Closes a connection if another would be one too many. Clients expect that of idle connections,
    /// and not of requests.
    async fn make_room(&self) {
        if self.is_at_limit() {
            self.evict().await;
        }
    }

    /// Closes the connection that can best be spared: the one that has been idle for the longest time,
    /// or else has said the least. Says whether there was one.
    async fn evict(&self) -> bool {
        if self.lot.evict() {
            return true;
        }
        let evicted = self.shared.connections.evict(Instant::now());
        if evicted {
            // Its task closes it.
            tokio::task::yield_now().await;
        }
        evicted
    }
}

/// Logs a persistent problem at most every [`COMPLAIN_EVERY`].
#[derive(Debug, Default)]
struct Complaints(Option<Instant>);

impl Complaints {
    fn say(&mut self, what: &str) {
        let now = Instant::now();
        if self.0.is_none_or(|last| now - last >= COMPLAIN_EVERY) {
            tracing::warn!("{what}");
            self.0 = Some(now);
        }
    }
}

fn begin<A: Application>(server: &Rc<Server<A>>, listener: &Listener, come: Come) {
    let (socket, client) = match come {
        Come::New(socket, client) => (socket, client),
        Come::Routed(moved, socket) => return server.resume(moved, socket),
    };
    if let Socket::Tcp(stream) = &socket {
        // Responses are written whole: waiting for more to send only delays them. A socket that
        // refuses is about to fail anyway.
        let _ = stream.set_nodelay(true);
    }
    // A peer that has already gone has no local address any more.
    let Ok(peers) = listener.peers(&socket, client) else {
        return;
    };
    server.welcome(socket, peers);
}

/// accept(2): errors of the connection itself are passed over. When descriptors or
/// memory run out, an idle connection gives up its own; without one, a pause keeps the worker from
/// spinning, because the listener stays readable.
async fn on_error<A: Application>(
    server: &Server<A>,
    error: &io::Error,
    complaints: &mut Complaints,
) {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    let code = error.raw_os_error();
    if code.is_some_and(|code| exhausted.contains(&code)) {
        complaints.say(&format!("Cannot accept connections: {error}; trying again"));
        if !server.evict().await {
            tokio::time::sleep(EXHAUSTED).await;
        }
    }
}
