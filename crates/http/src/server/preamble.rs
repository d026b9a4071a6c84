//! Reading the PROXY protocol's header, which comes before everything else on a connection.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::proxy::is_trusted;
use super::proxy::protocol::{self, Ends, MAX_LENGTH};
use crate::peers::{Peers, ServerAddress};
use crate::server::application::Application;
use crate::server::connections::{Entry, Waiting};
use crate::server::shared::Shared;
use crate::server::socket::Socket;
use lowmem_base::config::Trusted;

/// How long a header that has not come may still do so when the server drains; proxies send it with
/// the first packet.
const LAST_CALL: Duration = Duration::from_millis(500);

/// Whether a peer has to begin with the header: with `--proxy-protocol` those that are trusted. The
/// protocol must not be guessed, so no other peer may.
pub(super) fn is_due(speakers: Option<&Trusted>, peers: &Peers) -> bool {
    speakers.is_some_and(|trusted| is_trusted(trusted, peers.client))
}

/// Why there is no header.
enum Missing {
    /// The peer has gone, or the worker ends.
    Gone,
    Broken(&'static str),
}

/// Takes the header off a new connection and returns the addresses that it gives. `None` where the header
/// is broken or does not come in time, which has been logged.
pub(super) async fn read<A: Application>(
    server: &Shared<A>,
    entry: &Entry,
    socket: &mut Socket,
    peers: Peers,
) -> Option<Peers> {
    let since = Instant::now();
    let limit = since + server.limits.header_read;
    entry.set_deadline(Some(limit));
    entry.set_waiting(Some((Waiting::Silent, since)));
    let mut buffer = vec![0; MAX_LENGTH];
    let mut known = 0;
    let header = poll_fn(|cx| {
        if server.is_draining() {
            entry.bring_forward(Instant::now() + LAST_CALL);
        }
        let polled = poll_header(cx, entry, socket, &mut buffer, &mut known);
        if known > 0 {
            entry.set_waiting(Some((Waiting::Begun, since)));
        }
        polled
    });
    match header.await {
        Ok(ends) => Some(seen_through(ends, peers)),
        Err(Missing::Gone) => None,
        Err(Missing::Broken(why)) => {
            let peer = peers.client_name();
            tracing::warn!("{peer} sent {why}; the connection is closed");
            None
        }
    }
}

/// Both ends as the proxy has them. A connection through a Unix socket keeps its path: that is the
/// server's end, whatever the proxy's was.
fn seen_through(ends: Option<Ends>, peers: Peers) -> Peers {
    match (ends, peers.server) {
        (None, server) => Peers { server, ..peers },
        (Some(ends), ServerAddress::Tcp(_)) => Peers {
            client: Some(ends.client),
            server: ServerAddress::Tcp(ends.server),
            routed: peers.routed,
        },
        (Some(ends), server) => Peers {
            client: Some(ends.client),
            server,
            routed: peers.routed,
        },
    }
}

/// Looks at what has arrived until it begins with a whole header, and takes exactly that: what
/// follows is another protocol's, TLS perhaps.
fn poll_header(
    cx: &mut Context<'_>,
    entry: &Entry,
    socket: &mut Socket,
    buffer: &mut [u8],
    known: &mut usize,
) -> Poll<Result<Option<Ends>, Missing>> {
    entry.set_waker(cx.waker());
    loop {
        if entry.is_cut() {
            return Poll::Ready(Err(Missing::Gone));
        }
        match socket.poll_peek(cx, buffer, *known) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Missing::Gone)),
            Poll::Ready(Ok(count)) => *known = count,
            Poll::Pending if entry.is_expired() => {
                return Poll::Ready(Err(Missing::Broken("no PROXY protocol header in time")));
            }
            Poll::Pending => return Poll::Pending,
        }
        match protocol::parse(&buffer[..*known]) {
            Ok(None) => {}
            Ok(Some(preamble)) => {
                let taken = socket.take(&mut buffer[..preamble.length]);
                let taken = taken.map_err(|_: io::Error| Missing::Gone);
                return Poll::Ready(taken.map(|()| preamble.ends));
            }
            Err(broken) => return Poll::Ready(Err(Missing::Broken(broken.0))),
        }
    }
}
