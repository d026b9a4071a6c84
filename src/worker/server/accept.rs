//! Accepting connections.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};

use super::Server;
use super::connection::{self, Resting};
use super::proxy::preamble;
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
    ) -> Poll<io::Result<(Stream, Option<SocketAddr>)>> {
        match self {
            Self::Tcp(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, peer)| (Stream::Tcp(stream), Some(peer))),
            Self::Unix(listener, _) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| (Stream::Unix(stream), None)),
        }
    }

    fn peers(&self, stream: &Stream, client: Option<SocketAddr>) -> io::Result<Peers> {
        let server = match (self, stream) {
            (Self::Unix(_, path), _) => ServerAddress::Unix(path.clone()),
            (_, Stream::Tcp(stream)) => ServerAddress::Tcp(stream.local_addr()?),
            (_, Stream::Unix(_)) => ServerAddress::Unix(String::new()),
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
            Some(Ok((stream, client))) => {
                spawn(&server, &listener, stream, client);
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
    stream: Stream,
    client: Option<SocketAddr>,
) {
    if let Stream::Tcp(stream) = &stream {
        // Responses are written whole: waiting for more to send only delays them. A socket that
        // refuses is about to fail anyway.
        let _ = stream.set_nodelay(true);
    }
    // A peer that has already gone has no local address any more.
    let Ok(peers) = listener.peers(&stream, client) else {
        return;
    };
    let server = Rc::clone(server);
    if preamble::is_due(server.preamble_from.as_ref(), &peers) {
        tasks::spawn(see_through(server, stream, peers));
    } else {
        tasks::spawn(connection::serve(server, fresh(stream, peers)));
    }
}

/// Serves a connection once its proxy has said whose it is.
async fn see_through<A: Application>(server: Rc<Server<A>>, mut stream: Stream, peers: Peers) {
    if let Some(peers) = preamble::read(&server, &mut stream, peers).await {
        connection::serve(server, fresh(stream, peers)).await;
    }
}

fn fresh(stream: Stream, peers: Peers) -> Resting {
    Resting {
        stream,
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
