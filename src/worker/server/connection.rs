//! One HTTP/1.1 connection: heads in, responses out, one request after the other.

use std::cell::RefMut;
use std::future::poll_fn;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Server;
use super::body::BodyDecoder;
use super::buffers;
use super::connections::{Entry, Guard};
use super::exchange::{Ending, Exchange};
use super::handover;
use super::head::{self, HeadScan, RequestHead};
use super::response::{self, Outgoing};
use super::stream::Stream;
use crate::telemetry::{AccessLine, AccessLog};
use crate::worker::application::{Application, Peers};
use crate::worker::asgi::http::Request;

/// Pipelined requests are read ahead of their turn up to this many bytes.
const READ_AHEAD: usize = 64 * 1024;

/// A request body that its application left unread is read to its end up to this many bytes, so
/// that the connection can be kept; nginx and Go read 64 and 256 KiB.
const MAX_DISCARDED: usize = 256 * 1024;

/// How long a connection that has not sent a whole head yet may still do so when the server drains.
const LAST_CALL: Duration = Duration::from_millis(500);

/// How long a closed connection is read from after its last response. Closing a socket with unread
/// data resets it, and the client may lose the response (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// A connection between two requests: new, woken, or handed over.
pub(super) struct Resting {
    pub(super) stream: Stream,
    pub(super) peers: Peers,
    /// What has been read of the next head.
    pub(super) input: Vec<u8>,
    /// No request has been read yet.
    pub(super) fresh: bool,
    /// When it will have been idle for too long, where that is known.
    pub(super) idle_until: Option<Instant>,
}

/// Serves one connection until it ends or rests.
pub(super) async fn serve<A: Application>(server: Rc<Server<A>>, resting: Resting) {
    if let Some(resting) = converse(&server, resting).await {
        server.rest(resting);
    }
}

/// Serves requests until the connection ends, or has nothing to do here.
async fn converse<A: Application>(server: &Rc<Server<A>>, resting: Resting) -> Option<Resting> {
    let guard = server.connections.add();
    let mut connection = Connection {
        server,
        entry: Rc::clone(&guard.entry),
        stream: resting.stream,
        input: Input {
            buffer: resting.input,
            used: 0,
            ended: false,
        },
        peers: resting.peers,
        application: None,
        since: Instant::now(),
        fresh: resting.fresh,
        _guard: guard,
    };
    loop {
        let next = match connection.next_head().await {
            Next::Head(range) => connection.request(range).await,
            Next::Refused(refused) => connection.refuse(refused).await,
            Next::Rest => return Some(connection.into_resting()),
            Next::End => return None,
        };
        match next {
            Ending::KeepAlive => {}
            Ending::Close => {
                connection.linger().await;
                return None;
            }
            Ending::Cut => return None,
        }
    }
}

/// What comes next on a connection.
enum Next {
    /// A request, whose head is at this place of the input.
    Head(Range<usize>),
    /// Something that is no request.
    Refused(head::Refused),
    /// Nothing for now: it may be parked, or move to the successor.
    Rest,
    /// Nothing: it ends here.
    End,
}

struct Connection<'a, A: Application> {
    server: &'a Server<A>,
    entry: Rc<Entry>,
    stream: Stream,
    input: Input,
    peers: Peers,
    application: Option<A::Connection>,
    /// Start of the current wait for a head.
    since: Instant,
    /// No request has been read yet.
    fresh: bool,
    _guard: Guard<'a>,
}

/// What has been read and not been used.
#[derive(Debug, Default)]
struct Input {
    buffer: Vec<u8>,
    /// Bytes of `buffer` already used.
    used: usize,
    /// The peer has ended its side.
    ended: bool,
}

impl Input {
    fn unused(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    fn is_empty(&self) -> bool {
        self.used == self.buffer.len()
    }

    fn consume(&mut self, n: usize) {
        self.used += n;
        if self.is_empty() {
            self.buffer.clear();
            self.used = 0;
        }
    }

    /// Moves what is unused to the front, so that all free capacity is behind it.
    fn compact(&mut self) {
        if self.used > 0 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
    }
}

impl<A: Application> Connection<'_, A> {
    /// Reads from the socket into the input, up to `limit` unused bytes; `Ready(0)` is the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<usize> {
        if self.input.ended {
            return Poll::Pending;
        }
        self.input.compact();
        if self.input.buffer.capacity() == 0 {
            self.input.buffer = self.server.buffers.take();
        }
        let room = limit.saturating_sub(self.input.buffer.len());
        if self.input.buffer.len() == self.input.buffer.capacity() {
            self.input.buffer.reserve(room.min(buffers::SIZE));
        }
        let polled = self.stream.poll_read(cx, &mut self.input.buffer, room);
        match polled {
            Poll::Ready(Ok(n @ 1..)) => return Poll::Ready(n),
            Poll::Ready(Ok(0) | Err(_)) => self.input.ended = true,
            Poll::Pending => {}
        }
        if self.input.is_empty() {
            // An idle connection holds no buffer.
            self.server
                .buffers
                .give(std::mem::take(&mut self.input.buffer));
        }
        polled.map(|_| 0)
    }

    fn into_resting(self) -> Resting {
        let input = self.input.unused().to_vec();
        Resting {
            stream: self.stream,
            peers: self.peers,
            input,
            fresh: self.fresh,
            idle_until: Some(self.since + self.server.limits.keep_alive),
        }
    }

    /// Waits for the next request's head.
    async fn next_head(&mut self) -> Next {
        let limits = self.server.limits;
        let mut scan = HeadScan::default();
        self.since = Instant::now();
        let mut begun = self.fresh || !self.input.is_empty();
        if begun {
            self.entry
                .set_deadline(Some(self.since + limits.header_read));
        } else {
            self.entry
                .set_deadline(Some(self.since + limits.keep_alive));
            self.entry.set_idle(Some(self.since));
        }
        let next = poll_fn(|cx| {
            self.entry.set_waker(cx.waker());
            if self.entry.is_cut() {
                return Poll::Ready(Next::End);
            }
            loop {
                match scan.advance(self.input.unused(), limits.head_size) {
                    Ok(None) => {}
                    Ok(Some(range)) => return Poll::Ready(Next::Head(range)),
                    Err(refused) => return Poll::Ready(Next::Refused(refused)),
                }
                match self.poll_fill(cx, limits.head_size + buffers::SIZE) {
                    Poll::Ready(0) => return Poll::Ready(Next::End),
                    Poll::Ready(_) if !begun => {
                        begun = true;
                        self.since = Instant::now();
                        self.entry.set_idle(None);
                        self.entry
                            .set_deadline(Some(self.since + limits.header_read));
                    }
                    Poll::Ready(_) => {}
                    Poll::Pending => return self.wait_or_rest(),
                }
            }
        })
        .await;
        self.entry.set_idle(None);
        next
    }

    /// What to do about a connection that has nothing to read.
    fn wait_or_rest(&self) -> Poll<Next> {
        let unread = self.input.unused().len();
        if self.server.hands_over() && unread <= handover::MAX_INPUT {
            return Poll::Ready(Next::Rest);
        }
        if self.entry.is_expired() {
            return Poll::Ready(if unread == 0 || self.server.is_draining() {
                Next::End
            } else {
                Next::Refused(head::Refused::TooSlow)
            });
        }
        if self.server.is_draining() {
            if unread == 0 && !self.fresh {
                return Poll::Ready(Next::End);
            }
            // A request may be on its way; one that is not must not hold the worker up.
            self.entry.bring_forward(Instant::now() + LAST_CALL);
        } else if self.entry.may_park(Instant::now()) {
            return Poll::Ready(Next::Rest);
        }
        Poll::Pending
    }

    /// Answers the request whose head is at `range` of the input.
    async fn request(&mut self, range: Range<usize>) -> Ending {
        self.entry.set_deadline(None);
        self.fresh = false;
        let mut run = match self.start(range) {
            Ok(run) => run,
            Err(refused) => return self.refuse(refused).await,
        };
        self.entry.set_exchange(Some(Arc::clone(&run.exchange)));
        let ending = poll_fn(|cx| self.poll_run(cx, &mut run)).await;
        self.entry.set_exchange(None);
        if ending == Ending::Cut || run.gone {
            run.exchange.disconnect();
        }
        self.server.in_flight.set(self.server.in_flight.get() - 1);
        self.server.count();
        self.server.buffers.give(run.out.into_buffer());
        match ending {
            Ending::KeepAlive if self.input.ended => Ending::Close,
            Ending::KeepAlive if !run.body.is_done() => self.discard(run.body).await,
            other => other,
        }
    }

    /// Parses the head, decodes what has come of the body, and starts the application.
    fn start(&mut self, range: Range<usize>) -> Result<Run, head::Refused> {
        let server = self.server;
        let end = range.end;
        let application = self
            .application
            .get_or_insert_with(|| server.application.connect(&self.peers));
        let unused = self.input.unused();
        let run = head::parse(&unused[range], |head| {
            let request = Request {
                head: head.method == "HEAD",
                http10: head.http10,
            };
            let exchange = Arc::new(Exchange::new(
                Arc::clone(&server.defaults),
                request,
                head.keep_alive,
                server.buffers.take(),
            ));
            let mut body = BodyDecoder::from(head.body);
            let arrived = exchange.arrived(&mut body, &unused[end..]);
            let mut run = Run {
                exchange,
                body,
                out: Outgoing::default(),
                expects: head.expects_continue,
                record: None,
                gone: false,
            };
            server.in_flight.set(server.in_flight.get() + 1);
            let consumed = match arrived {
                Ok(consumed) => {
                    if server.is_full() {
                        tracing::warn!("Exceeded concurrency limit.");
                        run.exchange.refuse(503, "Service Unavailable");
                    } else {
                        server
                            .application
                            .request(application, head, Arc::clone(&run.exchange));
                    }
                    consumed
                }
                Err(broken) => {
                    run.break_off(broken.0);
                    0
                }
            };
            if head.upgrade {
                tracing::warn!("Unsupported upgrade request.");
            }
            server.note(head, self.peers.client, &mut run);
            (run, consumed)
        });
        let (run, consumed) = run?;
        self.input.consume(end + consumed);
        Ok(run)
    }

    /// Moves bytes between the socket and the exchange until the response is written.
    fn poll_run(&mut self, cx: &mut Context<'_>, run: &mut Run) -> Poll<Ending> {
        self.entry.set_waker(cx.waker());
        if self.entry.is_cut() {
            return Poll::Ready(Ending::Cut);
        }
        loop {
            let view = run.exchange.look(&mut run.out, Some(cx.waker()));
            if let Some(status) = view.status {
                self.server.log(run, status);
            }
            if run.expects && view.head_written {
                // The client has its answer and no longer waits (RFC 9110 section 10.1.1).
                run.expects = false;
            } else if run.expects && view.wants_continue {
                run.expects = false;
                run.out
                    .put(response::Piece::Small(b"HTTP/1.1 100 Continue\r\n\r\n"));
            }
            let mut progress = false;
            if !run.out.is_empty() {
                match self.poll_write(cx, &mut run.out) {
                    Poll::Ready(true) => {
                        run.exchange.set_taken(run.out.len());
                        progress = true;
                    }
                    Poll::Ready(false) => {
                        run.gone = true;
                        return Poll::Ready(Ending::Cut);
                    }
                    Poll::Pending => run.exchange.set_taken(run.out.len()),
                }
            }
            if run.out.is_empty() && (view.complete || view.ending == Ending::Cut) && !progress {
                return Poll::Ready(view.ending);
            }
            if !view.complete {
                progress |= self.poll_body(cx, run, view.room);
                if run.gone {
                    return Poll::Ready(Ending::Cut);
                }
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Reads what may be read now: the rest of the body, or only whether the client is still there.
    /// Says whether anything changed.
    fn poll_body(&mut self, cx: &mut Context<'_>, run: &mut Run, room: usize) -> bool {
        if run.body.is_done() {
            let full = self.input.unused().len() >= READ_AHEAD;
            if full || self.input.ended {
                return false;
            }
            return match self.poll_fill(cx, READ_AHEAD) {
                Poll::Ready(0) => {
                    run.exchange.half_close();
                    true
                }
                Poll::Ready(_) => true,
                Poll::Pending => false,
            };
        }
        if room == 0 || run.expects {
            return false;
        }
        if self.input.is_empty() {
            match self.poll_fill(cx, READ_AHEAD) {
                // The request will never be whole.
                Poll::Ready(0) => {
                    run.gone = true;
                    return true;
                }
                Poll::Ready(_) => {}
                Poll::Pending => return false,
            }
        }
        match run.exchange.arrived(&mut run.body, self.input.unused()) {
            Ok(consumed) => self.input.consume(consumed),
            Err(broken) => run.break_off(broken.0),
        }
        true
    }

    /// Writes some of `out`; `Ready(false)` when the peer is gone.
    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<bool> {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = out.slices(&mut slices);
        match self.stream.poll_write(cx, &slices[..count]) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(false),
            Poll::Ready(Ok(n)) => {
                out.advance(n);
                Poll::Ready(true)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Answers a request that can't be read, and ends the connection.
    async fn refuse(&mut self, refused: head::Refused) -> Ending {
        tracing::warn!("Invalid HTTP request received.");
        tracing::debug!("{}: {}", client(&self.peers), refused.reason());
        let text = match refused {
            head::Refused::Malformed(_) => "Invalid HTTP request received.",
            other => response::reason_phrase(i64::from(other.status())),
        };
        let answer = response::plain(refused.status(), text, &self.server.defaults, false);
        let mut out = Outgoing::with_buffer(answer);
        self.entry.set_deadline(Some(Instant::now() + LINGER));
        poll_fn(|cx| {
            self.entry.set_waker(cx.waker());
            while !out.is_empty() {
                match self.poll_write(cx, &mut out) {
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return Poll::Ready(Ending::Cut),
                    Poll::Pending if self.entry.is_expired() => return Poll::Ready(Ending::Cut),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(Ending::Close)
        })
        .await
    }

    /// Reads a body nobody wanted to its end, if that is near, so that the connection can be kept.
    async fn discard(&mut self, mut body: BodyDecoder) -> Ending {
        self.entry.set_deadline(Some(Instant::now() + LINGER));
        let mut left = MAX_DISCARDED;
        let mut sink = Vec::new();
        poll_fn(|cx| {
            self.entry.set_waker(cx.waker());
            loop {
                sink.clear();
                match body.decode(self.input.unused(), &mut sink, usize::MAX) {
                    Ok(consumed) => {
                        self.input.consume(consumed);
                        left = left.saturating_sub(consumed);
                    }
                    Err(_) => return Poll::Ready(Ending::Close),
                }
                if body.is_done() {
                    return Poll::Ready(Ending::KeepAlive);
                }
                if left == 0 || self.entry.is_expired() || self.entry.is_cut() {
                    return Poll::Ready(Ending::Close);
                }
                match self.poll_fill(cx, READ_AHEAD) {
                    Poll::Ready(0) => return Poll::Ready(Ending::Close),
                    Poll::Ready(_) => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Ends the sending side and reads until the client has seen it, within [`LINGER`].
    async fn linger(&mut self) {
        self.entry.set_deadline(Some(Instant::now() + LINGER));
        let mut shut = false;
        poll_fn(|cx| {
            self.entry.set_waker(cx.waker());
            if !shut {
                match self.stream.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => shut = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            loop {
                self.input.consume(self.input.unused().len());
                if self.entry.is_expired() || self.entry.is_cut() {
                    return Poll::Ready(());
                }
                match self.poll_fill(cx, READ_AHEAD) {
                    Poll::Ready(0) => return Poll::Ready(()),
                    Poll::Ready(_) => {}
                    Poll::Pending if self.input.ended => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
}

/// A request while it is answered.
struct Run {
    exchange: Arc<Exchange>,
    body: BodyDecoder,
    out: Outgoing,
    /// The client waits for `100 Continue`.
    expects: bool,
    /// What the access log wants to know, where the response did not start at once.
    record: Option<Box<OwnedRecord>>,
    /// The client went away.
    gone: bool,
}

impl Run {
    /// The body's framing is broken: nothing after it can be understood.
    fn break_off(&mut self, why: &str) {
        tracing::warn!("Invalid HTTP request received.");
        tracing::debug!("{why}");
        self.exchange.refuse(400, "Invalid HTTP request received.");
        self.body = BodyDecoder::Done;
    }
}

/// The part of an access record that outlives the read buffer.
struct OwnedRecord {
    client: Option<SocketAddr>,
    method: String,
    target: Vec<u8>,
    http10: bool,
    started: Instant,
}

impl<A: Application> Server<A> {
    fn is_full(&self) -> bool {
        self.limits
            .in_flight
            .is_some_and(|limit| self.in_flight.get() > limit)
    }

    /// Logs the response if it has started, or keeps what the log will want.
    fn note(&self, head: &RequestHead<'_>, client: Option<SocketAddr>, run: &mut Run) {
        if self.access.is_none() {
            return;
        }
        let mut target = head.path.to_vec();
        if !head.query.is_empty() {
            target.push(b'?');
            target.extend_from_slice(head.query);
        }
        let record = OwnedRecord {
            client,
            method: head.method.to_owned(),
            target,
            http10: head.http10,
            started: Instant::now(),
        };
        run.record = Some(Box::new(record));
    }

    fn log(&self, run: &mut Run, status: u16) {
        let Some(record) = run.record.take() else {
            return;
        };
        let Some(mut access) = self.access() else {
            return;
        };
        let client: &dyn std::fmt::Display = match &record.client {
            Some(client) => client,
            None => &"",
        };
        access.record(&AccessLine {
            client,
            method: &record.method,
            target: &record.target,
            version: if record.http10 { "1.0" } else { "1.1" },
            status,
            duration: Some(record.started.elapsed()),
            bytes: None,
        });
    }

    fn access(&self) -> Option<RefMut<'_, AccessLog>> {
        self.access.as_ref().map(std::cell::RefCell::borrow_mut)
    }
}

fn client(peers: &Peers) -> String {
    peers
        .client
        .map_or_else(|| "unix".to_owned(), |client| client.to_string())
}
