//! Answering one request.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::input::READ_AHEAD;
use super::record::OwnedRecord;
use super::{Connection, own};
use crate::worker::application::Application;
use crate::worker::asgi::http::Request;
use crate::worker::server::body::{BodyDecoder, BodyRefused};
use crate::worker::server::buffers;
use crate::worker::server::connections::Answered;
use crate::worker::server::exchange::{Ending, Exchange, READ_HIGH_WATER};
use crate::worker::server::head::{self, RequestHead};
use crate::worker::server::response::{self, Outgoing};
use crate::worker::server::socket::Socket;
use crate::worker::server::stream::Stream;
use crate::worker::server::websocket::{self, Asked, Conversation, Opening};
use crate::worker::server::{Server, request_id};

/// From so many bytes on, the rest of a body is read to where the application receives it from,
/// without passing the read buffer: a copy less, and a system call for 64 KiB instead of four.
const DIRECT_FROM: u64 = buffers::SIZE as u64;

/// A request while it is answered.
pub(super) struct Run {
    pub(super) exchange: Arc<Exchange>,
    /// The request is a WebSocket's handshake, be it a good one or not.
    pub(super) handshake: bool,
    /// The WebSocket that it opens.
    conversation: Option<Arc<Conversation>>,
    pub(super) body: BodyDecoder,
    out: Outgoing,
    /// It has to come on within a time, which runs.
    is_due: bool,
    /// The client waits for `100 Continue`.
    expects: bool,
    /// What the access log wants to know, where the response did not start at once.
    record: Option<Box<OwnedRecord>>,
    /// The client went away.
    gone: bool,
}

impl Run {
    fn answered(&self) -> Answered {
        match &self.conversation {
            Some(conversation) => Answered::Handshake(Arc::clone(conversation)),
            None => Answered::Request(Arc::clone(&self.exchange)),
        }
    }

    /// Nobody will read the response.
    fn disconnect(&self) {
        self.exchange.disconnect();
        if let Some(conversation) = &self.conversation {
            conversation.lost();
        }
    }

    /// The client has ended its side: a response may still be read, a WebSocket is lost.
    fn half_close(&self) {
        self.exchange.half_close();
        if let Some(conversation) = &self.conversation {
            conversation.lost();
        }
    }

    /// Reads the next of the body with `read`, as [`Exchange::arrived_from`] says.
    pub(super) fn fill(
        &mut self,
        read: impl FnOnce(&mut Vec<u8>, usize) -> Poll<usize>,
    ) -> Poll<usize> {
        self.exchange.arrived_from(&mut self.body, read)
    }

    /// The body is not read on: nothing after it can be understood.
    fn break_off(&mut self, why: BodyRefused) {
        match why {
            BodyRefused::Malformed(why) => {
                tracing::warn!("Invalid HTTP request received.");
                tracing::debug!("{why}");
                self.exchange.refuse(400, "Invalid HTTP request received.");
            }
            BodyRefused::TooLarge => self.exchange.refuse(413, "Content Too Large"),
            BodyRefused::TooSlow => self.exchange.refuse(408, "Request Timeout"),
        }
        self.body = BodyDecoder::Done;
    }
}

impl<A: Application> Connection<'_, A> {
    /// Answers the request whose head is at `range` of the input.
    pub(super) async fn request(&mut self, range: Range<usize>) -> Ending {
        self.entry.set_deadline(None);
        self.fresh = false;
        let mut run = match self.begin(range).await {
            Ok(run) => run,
            Err(refused) => return self.refuse(refused).await,
        };
        let mut is_known = false;
        let ending = poll_fn(|cx| {
            let polled = self.poll_run(cx, &mut run);
            // Most are answered at once, and nobody has to find them.
            if polled.is_pending() && !std::mem::replace(&mut is_known, true) {
                self.entry.set_answered(Some(run.answered()));
            }
            polled
        })
        .await;
        if is_known {
            self.entry.set_answered(None);
        }
        self.server.log_end(run.record.take(), &run.exchange);
        if ending == Ending::Cut || run.gone {
            run.disconnect();
        }
        self.server.in_flight.set(self.server.in_flight.get() - 1);
        self.server.count();
        self.server.buffers.give(run.out.into_buffer());
        self.upgraded = run.conversation;
        match ending {
            Ending::KeepAlive if self.input.ended => Ending::Close,
            Ending::KeepAlive if !run.body.is_done() => self.discard(run.body).await,
            other => other,
        }
    }

    /// Starts the application in its turn; an answer that is there at once may be written afterwards.
    async fn begin(&mut self, range: Range<usize>) -> Result<Run, head::Refused> {
        let server = self.server;
        if server.turn.is_to_wait() {
            self.settle();
            server.turn.wait().await;
        }
        let place = server.turn.enter();
        let run = poll_fn(|cx| Poll::Ready(self.start(cx, range.clone()))).await?;
        if run.exchange.is_complete() && place.is_to_hold() {
            self.settle();
            if server.buffers.is_empty() {
                run.exchange.settle(&server.buffers);
            }
            place.hold().await;
        }
        Ok(run)
    }

    /// Parses the head, decodes what has come of the body, and starts the application.
    fn start(&mut self, cx: &mut Context<'_>, range: Range<usize>) -> Result<Run, head::Refused> {
        let server = self.server;
        let end = range.end;
        let started = server.clock();
        let unused = self.input.unused();
        let run = head::parse(&unused[range], server.limits.head, |head| {
            if head.proxied {
                head.forwarded = server.proxies.read(&self.peers, head.headers);
            }
            let head = &*head;
            let id = server.request_ids.as_ref().map(|ids| ids.of(head));
            let renamed;
            let named;
            let head: &RequestHead<'_> = match &id {
                Some(id) => {
                    renamed = request_id::renamed(head.headers, id);
                    named = RequestHead {
                        headers: &renamed,
                        forwarded: head.forwarded.clone(),
                        ..*head
                    };
                    &named
                }
                None => head,
            };
            let exchange = server.exchange(head, id.clone());
            let (body, arrived) = match BodyDecoder::new(head.body, server.limits.body) {
                Ok(mut body) => {
                    let begun = &unused[end..];
                    let own = if body.plain_bytes() > begun.len() as u64 && !head.expects_continue {
                        // An application that is started with all that has arrived need not be
                        // woken for it.
                        let left = body.plain_bytes();
                        own::read(&server.application, cx, &mut self.stream, begun, left)
                    } else {
                        None
                    };
                    let arrived = match own {
                        Some(own) => {
                            exchange.arrived_in(&mut body, own);
                            Ok(begun.len())
                        }
                        None => exchange.arrived(&mut body, begun),
                    };
                    (body, arrived)
                }
                Err(refused) => (BodyDecoder::Done, Err(refused)),
            };
            let mut run = Run {
                exchange,
                handshake: false,
                conversation: None,
                body,
                out: Outgoing::default(),
                is_due: false,
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
                    } else if !server.serves_file(head, &run.exchange) {
                        let application = self.application.get_or_insert_with(|| {
                            let tls = server.facts(&self.stream);
                            server.application.connect(&self.peers, tls.as_ref())
                        });
                        server.hand(application, head, &mut run);
                    }
                    consumed
                }
                Err(refused) => {
                    run.break_off(refused);
                    0
                }
            };
            run.record = server.note(head, self.peers.client, started, run.handshake);
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
                self.server.log(&mut run.record, status);
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
                    Poll::Ready(true) if run.out.is_empty() && view.is_over() => {
                        return Poll::Ready(view.ending);
                    }
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
                // Applications that wait, and clients that are slow, come by the thousand.
                let server = self.server;
                server.buffers.give(run.exchange.take_idle_buffer());
                server.buffers.give(run.out.take_idle_buffer());
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
                    run.half_close();
                    true
                }
                Poll::Ready(_) => true,
                Poll::Pending => false,
            };
        }
        if room == 0 || run.expects {
            // It is not the client that is waited for.
            self.not_due(run);
            return false;
        }
        if self.input.is_empty() && run.body.plain_bytes() >= DIRECT_FROM {
            // Where some waits to be received, the next comes behind it.
            if room == READ_HIGH_WATER && self.fill_own(cx, run) {
                self.not_due(run);
                return true;
            }
            return match self.poll_fill_body(cx, run) {
                Poll::Ready(n) => {
                    self.not_due(run);
                    run.gone = n == 0;
                    true
                }
                Poll::Pending => self.is_too_slow(run),
            };
        }
        if self.input.is_empty() {
            match self.poll_fill(cx, READ_AHEAD) {
                // The request will never be whole.
                Poll::Ready(0) => {
                    run.gone = true;
                    return true;
                }
                Poll::Ready(_) => self.not_due(run),
                Poll::Pending => return self.is_too_slow(run),
            }
        }
        match run.exchange.arrived(&mut run.body, self.input.unused()) {
            Ok(consumed) => self.input.consume(consumed),
            Err(refused) => run.break_off(refused),
        }
        true
    }

    /// Nothing of the body has come: whether that has been so for too long, which ends the request.
    fn is_too_slow(&mut self, run: &mut Run) -> bool {
        let Some(limit) = self.server.limits.body_read else {
            return false;
        };
        if !run.is_due {
            run.is_due = true;
            self.entry.set_deadline(Some(Instant::now() + limit));
        }
        let expired = self.entry.is_expired();
        if expired {
            self.not_due(run);
            run.break_off(BodyRefused::TooSlow);
        }
        expired
    }

    fn not_due(&mut self, run: &mut Run) {
        if std::mem::take(&mut run.is_due) {
            self.entry.set_deadline(None);
        }
    }

    /// Writes some of `out`; `Ready(false)` when the peer is gone.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<bool> {
        if out.file().is_some() {
            if let Stream::Plain(socket) = &self.stream {
                return poll_send_file(cx, socket, out);
            }
            if let Err(error) = ready!(out.poll_load(cx)) {
                return Poll::Ready(unreadable(&error));
            }
        }
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
}

impl<A: Application> Server<A> {
    /// Starts the application on a request.
    fn hand(&self, application: &A::Connection, head: &RequestHead<'_>, run: &mut Run) {
        if head.upgrade {
            self.upgrade(application, head, run);
        } else {
            let exchange = Arc::clone(&run.exchange);
            self.application.request(application, head, exchange);
        }
    }

    /// Starts it on one that asks for another protocol.
    fn upgrade(&self, application: &A::Connection, head: &RequestHead<'_>, run: &mut Run) {
        let takes = self.application.takes_websockets();
        let settings = self.websockets.as_ref().filter(|_| takes);
        let asked = settings.map(|s| websocket::examine(head, s.per_message_deflate));
        let exchange = Arc::clone(&run.exchange);
        run.handshake = !matches!(asked, Some(Asked::Other) | None);
        match asked {
            Some(Asked::WebSocket(handshake)) => {
                let opening = Opening {
                    exchange,
                    handshake,
                };
                let conversation = Arc::new(Conversation::new(opening));
                run.conversation = Some(Arc::clone(&conversation));
                self.application.websocket(application, head, conversation);
            }
            Some(Asked::Refused(status, why)) => exchange.refuse(status, why),
            Some(Asked::Other) | None => {
                tracing::warn!("Unsupported upgrade request.");
                self.application.request(application, head, exchange);
            }
        }
    }

    /// What the connection and the application share about a request.
    fn exchange(&self, head: &RequestHead<'_>, id: Option<Box<[u8]>>) -> Arc<Exchange> {
        let request = Request {
            head: head.method == "HEAD",
            version: head.version,
        };
        let defaults = Arc::clone(&self.defaults);
        let exchange = Exchange::new(defaults, request, head.keep_alive, self.buffers.take());
        if let Some(id) = id {
            exchange.name(id);
        }
        Arc::new(exchange)
    }

    pub(in crate::worker::server) fn is_full(&self) -> bool {
        self.limits
            .in_flight
            .is_some_and(|limit| self.in_flight.get() > limit)
    }
}

/// Sends some of the file whose turn it is; `Ready(false)` when the peer is gone.
fn poll_send_file(cx: &mut Context<'_>, socket: &Socket, out: &mut Outgoing) -> Poll<bool> {
    let Some(file) = out.file() else {
        return Poll::Ready(true);
    };
    let count = match ready!(file.poll_ready(cx)) {
        Ok(count) => usize::try_from(count).unwrap_or(usize::MAX),
        Err(error) => return Poll::Ready(unreadable(&error)),
    };
    match ready!(socket.poll_send_file(cx, file.place(), count)) {
        Ok(0) => Poll::Ready(unreadable(&io::ErrorKind::UnexpectedEof.into())),
        Err(_) => Poll::Ready(false),
        Ok(sent) => {
            file.advance(sent as u64);
            out.drop_sent_file();
            Poll::Ready(true)
        }
    }
}

/// What has been promised can't be sent: the connection is cut, so that the client sees it.
fn unreadable(error: &io::Error) -> bool {
    tracing::error!("Cannot send the rest of a file: {error}");
    false
}
