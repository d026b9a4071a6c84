//! Answering one request.

use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Connection;
use super::due::Due;
use crate::server::application::Application;
use crate::server::body::{BodyDecoder, BodyRefused};
use crate::server::connections::InFlight;
use crate::server::counted::Counted;
use crate::server::exchange::{Ending, Exchange};
use crate::server::expectation::Expectation;
use crate::server::measured::Measured;
use crate::server::record::{OwnedRecord, Records};
use crate::server::response::{Outgoing, Piece};
use crate::server::websocket::Conversation;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A request while it is answered.
pub(super) struct Run {
    pub(super) exchange: Arc<Exchange>,
    counted: Counted,
    /// The request is a WebSocket's handshake, be it a good one or not.
    pub(super) handshake: bool,
    /// The WebSocket that it opens.
    pub(super) conversation: Option<Arc<Conversation>>,
    pub(super) body: BodyDecoder,
    out: Outgoing,
    /// When its time is up.
    pub(super) due: Due,
    /// The connection's deadline is that.
    pub(super) has_deadline: bool,
    pub(super) expects: Expectation,
    /// The access log's record, where the response did not start at once.
    pub(super) record: Option<Box<OwnedRecord>>,
    /// The response's status, until the access log knows it.
    status: Option<u16>,
    /// The access log knows that the response has begun.
    is_logged: bool,
    /// The figures that are counted when it has been answered.
    pub(super) measured: Option<Measured>,
    /// The client went away.
    pub(super) gone: bool,
}

impl Run {
    pub(super) fn new(exchange: Arc<Exchange>, counted: Counted, expects: bool) -> Self {
        Self {
            exchange,
            counted,
            handshake: false,
            conversation: None,
            body: BodyDecoder::Done,
            out: Outgoing::default(),
            due: Due::default(),
            has_deadline: false,
            expects: Expectation::new(expects),
            record: None,
            status: None,
            is_logged: false,
            measured: None,
            gone: false,
        }
    }

    fn in_flight(&self) -> InFlight {
        InFlight::One(match &self.conversation {
            Some(conversation) => Arc::<Conversation>::clone(conversation),
            None => Arc::<Exchange>::clone(&self.exchange),
        })
    }

    /// The client will not read the response.
    fn disconnect(&self) {
        self.exchange.disconnect();
        if let Some(conversation) = &self.conversation {
            conversation.lost();
        }
    }

    /// The client has ended its side: a response may still be read, a WebSocket is lost.
    pub(super) fn half_close(&self) {
        self.exchange.half_close();
        if let Some(conversation) = &self.conversation {
            conversation.lost();
        }
    }

    /// Some of the response has been sent, or all that will be.
    fn log(&mut self, access: &Records) {
        if let Some(status) = self.status.take() {
            self.is_logged = true;
            access.log(&mut self.record, status);
        }
    }

    /// The body is not read on: nothing after it can be understood.
    pub(super) fn break_off(&mut self, why: BodyRefused) {
        if let BodyRefused::Malformed(why) = why {
            tracing::warn!("Invalid HTTP request received.");
            tracing::debug!("{why}");
        }
        self.exchange.refuse_body(why);
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
            // Most are answered at once, and need not be registered.
            if polled.is_pending() && !std::mem::replace(&mut is_known, true) {
                self.entry.set_in_flight(Some(run.in_flight()));
            }
            polled
        })
        .await;
        if is_known {
            self.entry.set_in_flight(None);
        }
        self.log_end(&mut run);
        if ending == Ending::Cut || run.gone {
            run.disconnect();
        }
        drop(run.counted);
        self.server.tell_in_flight();
        self.answered = self.server.has_answered(run.measured);
        self.server.count();
        self.server.buffers.give(run.out.into_buffer());
        self.upgraded = run.conversation;
        match ending {
            Ending::KeepAlive if self.input.ended => Ending::Close,
            Ending::KeepAlive if !run.body.is_done() => self.discard(run.body).await,
            other => other,
        }
    }

    /// The access line of a client that has ended its side waits until here: whether it still reads is
    /// known when something was written to it.
    fn log_end(&self, run: &mut Run) {
        let access = &self.server.access;
        let may_have_left = !run.is_logged && run.record.is_some();
        let has_left = |run: &Run| {
            run.gone || self.input.ended && (run.status.is_none() || self.stream.is_broken())
        };
        if may_have_left && has_left(run) {
            return access.log_left(run.record.take());
        }
        run.log(access);
        access.log_end(run.record.take(), &run.exchange);
    }

    /// Moves bytes between the socket and the exchange until the response is written.
    fn poll_run(&mut self, cx: &mut Context<'_>, run: &mut Run) -> Poll<Ending> {
        self.entry.set_waker(cx.waker());
        if self.entry.is_cut() {
            return Poll::Ready(Ending::Cut);
        }
        loop {
            let view = run.exchange.look(&mut run.out, Some(cx.waker()));
            run.status = view.status.or(run.status);
            if let (Some(status), Some(measured)) = (view.status, &mut run.measured) {
                measured.set_status(status);
            }
            if run.expects.is_due(&view) {
                run.out.put(Piece::Small(CONTINUE));
            }
            let mut progress = false;
            if !run.out.is_empty() {
                let written = self.poll_write(cx, &mut run.out);
                if written == Poll::Ready(true) && !self.input.ended {
                    run.log(&self.server.access);
                }
                self.entry.set_stalled(written.is_pending());
                match written {
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
            progress |= self.is_unanswered(run, &view);
            if !progress {
                // Applications that wait, and clients that are slow, come by the thousand.
                let server = self.server;
                server.buffers.give(run.exchange.take_idle_buffer());
                server.buffers.give(run.out.take_idle_buffer());
                run.out.settle_for_long(&server.buffers);
                return Poll::Pending;
            }
        }
    }
}
