//! Accepting connections.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};

use super::Server;
use super::connection::Resting;
use super::proxy::preamble;
use super::socket::Socket;
use super::stream::Stream;
use crate::worker::application::{Application, Peers, ServerAddress};
use crate::worker::tasks;

/// How long to wait when no descriptor is left (EMFILE) before trying again; nginx waits 500 ms,
/// Go 5 ms to 1 s.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Connections accepted in one go before others get their turn.
const BATCH: usize = 64;

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A Unix socket and its path.
    Unix(UnixListener, String),
}

impl Listener {
    fn poll_accept(
        &self,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<io::Result<(Socket, Option<SocketAddr>)>> {
        match self {
            Self::Tcp(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, peer)| (Socket::Tcp(stream), Some(peer))),
            Self::Unix(listener, _) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| (Socket::Unix(stream), None)),
        }
    }

    fn peers(&self, socket: &Socket, client: Option<SocketAddr>) -> io::Result<Peers> {
        let server = match (self, socket) {
            (Self::Unix(_, path), _) => ServerAddress::Unix(path.clone()),
            (_, Socket::Tcp(stream)) => ServerAddress::Tcp(stream.local_addr()?),
            (_, Socket::Unix(_)) => ServerAddress::Unix(String::new()),
        };
        Ok(Peers { client, server })
    }
}

/// Accepts until the server drains; what the kernel has queued by then is still
/// served, by the successor if there is one.
pub(super) async fn run<A: Application>(server: Rc<Server<A>>, listener: Listener) {
    let mut accepted = 0;
    loop {
        let next = poll_fn(|cx| {
            // The successor accepts from the same queue.
            if server.hands_over() {
                return Poll::Ready(None);
            }
            match listener.poll_accept(cx) {
                Poll::Ready(next) => Poll::Ready(Some(next)),
                Poll::Pending if server.is_draining() => Poll::Ready(None),
                Poll::Pending => {
                    server.connections.also_wake(cx.waker());
                    Poll::Pending
                }
            }
        })
        .await;
        match next {
            None => break,
            Some(Ok((socket, client))) => {
                spawn(&server, &listener, socket, client);
                accepted += 1;
                if accepted % BATCH == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Some(Err(error)) => on_error(&error).await,
        }
    }
}

fn spawn<A: Application>(
    server: &Rc<Server<A>>,
    listener: &Listener,
    socket: Socket,
    client: Option<SocketAddr>,
) {
    if let Socket::Tcp(stream) = &socket {
        // Responses are written whole: waiting for more to send only delays them. A socket that
        // refuses is about to fail anyway.
        let _ = stream.set_nodelay(true);
    }
    // A peer that has already gone has no local address any more.
    let Ok(peers) = listener.peers(&socket, client) else {
        return;
    };
    let server = Rc::clone(server);
    if preamble::is_due(server.preamble_from.as_ref(), &peers) {
        tasks::spawn(see_through(server, socket, peers));
    } else {
        server.begin(fresh(socket, peers));
    }
}

/// Serves a connection once its proxy has said whose it is.
async fn see_through<A: Application>(server: Rc<Server<A>>, mut socket: Socket, peers: Peers) {
    if let Some(peers) = preamble::read(&server, &mut socket, peers).await {
        server.serve(fresh(socket, peers)).await;
    }
}

fn fresh(socket: Socket, peers: Peers) -> Resting {
    Resting {
        stream: Stream::Plain(socket),
        peers,
        input: Vec::new(),
        fresh: true,
        idle_until: None,
    }
}

/// accept(2): errors of the connection that was to be accepted are passed over; when descriptors
/// or memory run out the listener stays readable, so a pause keeps the worker from spinning.
async fn on_error(error: &io::Error) {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    if error
        .raw_os_error()
        .is_some_and(|code| exhausted.contains(&code))
    {
        tracing::error!("Cannot accept connections: {error}; trying again");
        tokio::time::sleep(EXHAUSTED).await;
    }
}
