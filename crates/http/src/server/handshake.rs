//! The first part of an encrypted connection.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Instant;

use super::between_requests::{LAST_CALL, Resting};
use super::connections::{Entry, Waiting};
use super::response;
use super::shared::Shared;
use super::socket::Socket;
use super::stream::Stream;
use super::tls::{Session, Shaken, Terms, TlsStream};
use crate::peers::Peers;
use crate::server::application::Application;
use lowmem_base::config::HttpVersions;

/// The connection to serve after a handshake.
pub(super) enum Shook {
    Http1(Resting),
    Http2(Resting),
    /// A connection of which nothing has been read, for the successor.
    Untouched(Resting),
    Nothing,
}

/// The result of a handshake.
enum Met {
    /// The connection can be served.
    Client,
    /// The client speaks HTTP without TLS.
    PlainHttp,
    /// Nothing has been read: the successor can begin.
    Untouched,
    Failed(io::Error),
}

/// Performs the handshake, and returns the connection to serve.
pub(super) async fn shake<A: Application>(
    server: &Shared<A>,
    entry: &Entry,
    terms: &Terms,
    (socket, peers): (Socket, Peers),
) -> Shook {
    // Keys that no session can be made with would have been refused with the files.
    let Ok(session) = Session::new(&terms.identity.config) else {
        return Shook::Nothing;
    };
    let mut stream = TlsStream::new(socket, session);
    let mut early = Vec::new();
    match meet(server, entry, (terms, &mut stream), &mut early).await {
        Met::Client => {
            let resting = Resting {
                input: early,
                ..Resting::new(Stream::Tls(Box::new(stream)), peers)
            };
            if resting.stream.session().is_some_and(Session::is_http2)
                || server.versions == HttpVersions::Http2
            {
                Shook::Http2(resting)
            } else {
                Shook::Http1(resting)
            }
        }
        Met::PlainHttp => {
            refuse_plain(server, &stream, &peers);
            Shook::Nothing
        }
        Met::Untouched => {
            let (socket, _) = stream.into_parts();
            Shook::Untouched(Resting::new(Stream::Plain(socket), peers))
        }
        Met::Failed(error) => {
            tracing::debug!("{}: TLS handshake: {error}", peers.client_name());
            Shook::Nothing
        }
    }
}

async fn meet<A: Application>(
    server: &Shared<A>,
    entry: &Entry,
    (terms, stream): (&Terms, &mut TlsStream),
    early: &mut Vec<u8>,
) -> Met {
    let since = Instant::now();
    entry.set_deadline(Some(since + terms.timeout));
    poll_fn(|cx| {
        entry.set_waker(cx.waker());
        if entry.is_cut() {
            return Poll::Ready(Met::Failed(io::ErrorKind::ConnectionAborted.into()));
        }
        match stream.poll_handshake(cx, early) {
            Poll::Ready(Ok(Shaken::Hands)) => return Poll::Ready(Met::Client),
            Poll::Ready(Ok(Shaken::PlainHttp)) => return Poll::Ready(Met::PlainHttp),
            Poll::Ready(Err(error)) => return Poll::Ready(Met::Failed(error)),
            Poll::Pending => {}
        }
        let waiting = if stream.session().is_untouched() {
            Waiting::Silent
        } else {
            Waiting::Begun
        };
        entry.set_waiting(Some((waiting, since)));
        if server.hands_over() && stream.session().is_untouched() {
            return Poll::Ready(Met::Untouched);
        }
        if entry.is_expired() {
            return Poll::Ready(Met::Failed(io::ErrorKind::TimedOut.into()));
        }
        if server.is_draining() {
            entry.bring_forward(Instant::now() + LAST_CALL);
        }
        Poll::Pending
    })
    .await
}

/// A request without TLS is answered without TLS: its client would find no sense in an alert.
fn refuse_plain<A: Application>(server: &Shared<A>, stream: &TlsStream, peers: &Peers) {
    tracing::debug!("{}: HTTP where TLS is served", peers.client_name());
    let text = "This port serves HTTPS: use https:// in the URL.";
    let answer = response::plain(400, text, &server.defaults, false);
    stream.socket().try_write(&answer);
}
