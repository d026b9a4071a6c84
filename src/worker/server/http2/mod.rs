//! One HTTP/2 connection, by h2 (RFC 9113).
//!
//! The connection's task reads and writes frames. A request that is answered at once is answered
//! there; another gets a task of its own. What they share with HTTP/1.1 is everything behind the
//! [`Exchange`](super::exchange::Exchange).
//!
//! h2 bounds what a client can make it hold: streams, resets that nobody has looked at, header
//! fields over any number of CONTINUATION frames, small DATA frames; it answers PING and SETTINGS
//! before it reads on.

mod cycle;
pub(super) mod fields;
mod head;
mod io;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;

use super::connection::{LAST_CALL, LINGER, Resting};
use super::connections::{Answered, Entry};
use super::stream::Stream;
use super::{RequestHead, Server, buffers, request_id};
use crate::worker::application::{Application, Peers};
use crate::worker::tasks;
use cycle::Cycle;
use io::Io;

/// What the connection preface (RFC 9113 section 3.4) looks like to a server that reads HTTP/1.1:
/// a head, in a request of no other version. Two bytes and an empty line follow.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// What a client may send of one request's body before its application has taken any: 256 KiB is
/// 5 MB/s at a round trip of 50 ms. RFC 9113 begins with 64 KiB, Granian has 1 MiB.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all requests of a connection: what one client can make a worker hold.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A response that h2 holds until the client's windows open, besides what the exchange does.
const SEND_BUFFER: usize = 64 * 1024;

/// How long a draining worker waits for a moment in which a client has no request open.
const PATIENCE: Duration = Duration::from_secs(1);

/// Serves one connection until it ends. `resting.input` is what has been read of it.
pub(super) async fn serve<A: Application>(server: Rc<Server<A>>, resting: Resting) {
    let Resting {
        stream,
        peers,
        input,
        ..
    } = resting;
    let guard = server.connections.add();
    let entry = Rc::clone(&guard.entry);
    let tls = server.facts(&stream);
    let stream = Rc::new(RefCell::new(stream));
    let io = Io::new(Rc::clone(&stream), input);
    if let Some(connection) = shake_hands(&server, &entry, io).await {
        let application = server.application.connect(&peers, tls.as_ref());
        let mut session = Session {
            server: &server,
            entry: &entry,
            connection,
            peers,
            application,
            running: Rc::new(Cell::new(0)),
            stage: Stage::Open,
            idle: false,
            fresh: true,
        };
        poll_fn(|cx| session.poll(cx)).await;
    }
    linger(&server, &entry, &stream).await;
}

type Connection = server::Connection<Io, Bytes>;

/// Both prefaces, within the time that a head has.
async fn shake_hands<A: Application>(
    server: &Server<A>,
    entry: &Entry,
    io: Io,
) -> Option<Connection> {
    let limits = server.limits;
    entry.set_deadline(Some(Instant::now() + limits.header_read));
    let head_size = u32::try_from(limits.head.size).unwrap_or(u32::MAX);
    let mut handshake = pin!(
        server::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(head_size)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake(io)
    );
    poll_fn(|cx| {
        entry.set_waker(cx.waker());
        if entry.is_cut() || entry.is_expired() {
            return Poll::Ready(None);
        }
        if server.is_draining() {
            entry.bring_forward(Instant::now() + LAST_CALL);
        }
        handshake.as_mut().poll(cx).map(Result::ok)
    })
    .await
}

struct Session<'a, A: Application> {
    server: &'a Rc<Server<A>>,
    entry: &'a Rc<Entry>,
    connection: Connection,
    peers: Peers,
    application: A::Connection,
    /// Requests with a task of their own.
    running: Rc<Cell<usize>>,
    stage: Stage,
    /// No request is open.
    idle: bool,
    /// There has been none yet.
    fresh: bool,
}

/// How far the connection is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The worker drains: the connection ends as soon as no request is open.
    Draining,
    /// The client has been told to send no more requests (GOAWAY).
    Leaving,
}

impl<A: Application> Session<'_, A> {
    /// Ready when the connection has nothing more to say.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.entry.set_waker(cx.waker());
        if self.entry.is_cut() {
            return Poll::Ready(());
        }
        loop {
            if self.poll_frames(cx).is_ready() {
                return Poll::Ready(());
            }
            self.note_idleness();
            let expired = self.entry.is_expired();
            match self.stage {
                Stage::Open if self.server.is_draining() => self.drain(),
                Stage::Open if expired => self.leave(),
                Stage::Draining if self.idle && !self.fresh => self.leave(),
                Stage::Draining if expired => self.leave(),
                // It had its time to notice.
                Stage::Leaving if expired => return Poll::Ready(()),
                _ => return Poll::Pending,
            }
        }
    }

    /// The worker drains. A client that hears GOAWAY while it waits for an answer may give up on
    /// that (python-h2, and httpx with it, does), so it hears it between two. One that always has
    /// requests open hears it after a while, and one that has sent none may still send one: that
    /// nothing of it was looked at is told by the number of the last stream, which 0 is not.
    fn drain(&mut self) {
        self.stage = Stage::Draining;
        self.entry.set_deadline(Some(Instant::now() + PATIENCE));
    }

    /// Tells the client to go (RFC 9113 section 6.8). Where requests are open they are answered, and
    /// so are those on their way; where none is, those on their way have not been looked at and
    /// may be sent again elsewhere.
    fn leave(&mut self) {
        self.stage = Stage::Leaving;
        if self.idle {
            self.connection.abrupt_shutdown(Reason::NO_ERROR);
            self.entry.set_deadline(Some(Instant::now() + LAST_CALL));
        } else {
            self.connection.graceful_shutdown();
            self.entry.set_deadline(None);
        }
    }

    /// Reads and writes, and starts what is asked for, as long as not too much is running.
    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Clients are held to half of that by h2; the rest are applications of streams that have
        // been reset.
        let most = 2 * self.server.limits.streams as usize;
        while self.running.get() < most {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => self.start(cx, request, respond),
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!("{}: HTTP/2: {error}", name(&self.peers));
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.connection.poll_closed(cx).map(drop)
    }

    /// An idle connection has its time, like one of HTTP/1.1.
    fn note_idleness(&mut self) {
        let idle = self.running.get() == 0 && !self.connection.has_streams();
        if idle == self.idle {
            return;
        }
        self.idle = idle;
        let time = match self.stage {
            Stage::Open => self.server.limits.keep_alive,
            Stage::Draining => return,
            Stage::Leaving => LAST_CALL,
        };
        self.entry.set_deadline(idle.then(|| Instant::now() + time));
    }

    /// Starts the application on a request, and answers at once if it does.
    fn start(
        &mut self,
        cx: &mut Context<'_>,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) {
        self.fresh = false;
        let (parts, body) = request.into_parts();
        let server = self.server;
        let started = server.clock();
        let head_only = parts.method == http::Method::HEAD;
        let exchange = Cycle::exchange(server, head_only);
        let mut cycle = Cycle::new(server, Arc::clone(&exchange), body, respond);
        let read = head::read(&parts, server.limits.head, |head| {
            if head.proxied {
                head.forwarded = server.proxies.read(&self.peers, head.headers);
            }
            let id = server.request_ids.as_ref().map(|ids| ids.of(head));
            let renamed;
            if let Some(id) = &id {
                exchange.name(id.clone());
                renamed = request_id::renamed(head.headers, id);
                let forwarded = head.forwarded.take();
                let named = RequestHead {
                    headers: &renamed,
                    forwarded,
                    ..*head
                };
                return self.answer(&mut cycle, &named, started);
            }
            self.answer(&mut cycle, head, started);
        });
        if let Err(refused) = read {
            tracing::warn!("Invalid HTTP request received.");
            tracing::debug!("{}: {}", name(&self.peers), refused.reason());
            exchange.refuse(refused.status(), refused.text());
        }
        self.run(cx, cycle);
    }

    fn answer(&self, cycle: &mut Cycle<A>, head: &RequestHead<'_>, started: Option<Instant>) {
        let server = self.server;
        let exchange = Arc::clone(&cycle.exchange);
        cycle.note(head, self.peers.client, started);
        if !cycle.may_have(head.body) {
            exchange.refuse(413, "Content Too Large");
        } else if server.is_full() {
            tracing::warn!("Exceeded concurrency limit.");
            exchange.refuse(503, "Service Unavailable");
        } else if !server.serves_file(head, &exchange) {
            server
                .application
                .request(&self.application, head, exchange);
        }
    }

    /// Answers at once what can be, and gives the rest a task of its own.
    fn run(&self, cx: &mut Context<'_>, mut cycle: Cycle<A>) {
        let server = self.server;
        if cycle.poll(cx).is_pending() {
            self.running.set(self.running.get() + 1);
            let running = Rc::clone(&self.running);
            tasks::spawn(run(
                cycle,
                Rc::clone(server),
                running,
                Rc::clone(self.entry),
            ));
        }
    }
}

/// A request in a task of its own.
async fn run<A: Application>(
    mut cycle: Cycle<A>,
    server: Rc<Server<A>>,
    running: Rc<Cell<usize>>,
    connection: Rc<Entry>,
) {
    let guard = server.connections.add_stream();
    let answered = Answered::Request(Arc::clone(&cycle.exchange));
    guard.entry.set_answered(Some(answered));
    poll_fn(|cx| {
        guard.entry.set_waker(cx.waker());
        if guard.entry.is_cut() {
            cycle.abandon();
            return Poll::Ready(());
        }
        if guard.entry.is_expired() {
            // What is awaited of the body has not come in time.
            cycle.exchange.refuse(408, "Request Timeout");
        }
        let polled = cycle.poll(cx);
        if let Some(limit) = server.limits.body_read {
            let due = cycle.starved_since().map(|since| since + limit);
            guard.entry.set_deadline(due);
        }
        polled
    })
    .await;
    running.set(running.get() - 1);
    // It may be idle now, or take more.
    connection.wake();
}

/// Ends the sending side, and reads until the client has seen it: closing a socket with unread data
/// resets it, and the client may lose what it has not read yet.
async fn linger<A: Application>(server: &Server<A>, entry: &Entry, stream: &RefCell<Stream>) {
    entry.set_deadline(Some(Instant::now() + LINGER));
    let mut buffer = server.buffers.take();
    let mut shut = false;
    poll_fn(|cx| {
        entry.set_waker(cx.waker());
        let mut stream = stream.borrow_mut();
        if !shut {
            match stream.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        loop {
            if entry.is_expired() || entry.is_cut() {
                return Poll::Ready(());
            }
            buffer.clear();
            match stream.poll_read(cx, &mut buffer, buffers::SIZE) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    server.buffers.give(buffer);
}

fn name(peers: &Peers) -> String {
    peers
        .client
        .map_or_else(|| "unix".to_owned(), |client| client.to_string())
}
