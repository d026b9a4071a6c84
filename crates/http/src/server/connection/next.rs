//! Waiting for the next request, or for a reason to stop waiting.

use std::future::poll_fn;
use std::ops::Range;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::Connection;
use crate::server::application::Application;
use crate::server::between_requests::{LAST_CALL, MAX_INPUT};
use crate::server::buffers;
use crate::server::connections::Waiting;
use crate::server::head::{self, HeadScan};
use crate::server::tls::Session;

/// How long an idle connection that can't move is still heard when a successor serves. Closing it
/// at once would lose the request that is just on its way; the client that sends one is told to
/// come back, which takes it to the successor.
const LAST_HEARING: Duration = Duration::from_secs(1);

/// The next step of a connection.
pub(super) enum Next {
    /// A request, whose head is at this place of the input.
    Head(Range<usize>),
    /// Something that is no request.
    Refused(head::Refused),
    /// Nothing for now: it may be parked, or move to the successor.
    Rest,
    /// Nothing: it ends here.
    End,
}

impl<A: Application> Connection<'_, A> {
    /// Waits for the next request's head.
    pub(super) async fn next_head(&mut self) -> Next {
        let limits = self.server.limits;
        let mut scan = HeadScan::default();
        self.since = self.answered.take().unwrap_or_else(Instant::now);
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
            let mut is_new = false;
            loop {
                match scan.advance(self.input.unused(), limits.head) {
                    // The clock is read only for heads that do not come in one piece.
                    Ok(None) if is_new => {
                        is_new = false;
                        self.since = Instant::now();
                        self.entry.set_idle(None);
                        self.entry
                            .set_deadline(Some(self.since + limits.header_read));
                    }
                    Ok(None) => {}
                    Ok(Some(range)) => return Poll::Ready(Next::Head(range)),
                    Err(refused) => return Poll::Ready(Next::Refused(refused)),
                }
                match self.poll_fill(cx, limits.head.size + buffers::SIZE) {
                    Poll::Ready(0) => return Poll::Ready(Next::End),
                    Poll::Ready(_) if !begun => {
                        begun = true;
                        is_new = true;
                    }
                    Poll::Ready(_) => {}
                    Poll::Pending => return self.wait_or_rest(),
                }
            }
        })
        .await;
        self.entry.set_idle(None);
        self.entry.set_waiting(None);
        next
    }

    /// The next step of a connection that has nothing to read.
    fn wait_or_rest(&self) -> Poll<Next> {
        let unread = self.input.unused().len();
        let session = self.stream.session();
        if self.server.hands_over() && unread <= MAX_INPUT && session.is_none() {
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
            let stays = session.is_some() && self.server.hands_over();
            if unread == 0 && !self.fresh && !stays {
                // Its next request may be another application's.
                return Poll::Ready(match self.peers.routed && session.is_none() {
                    true => Next::Rest,
                    false => Next::End,
                });
            }
            // A request may be on its way; one that is not must not hold the worker up.
            let wait = if stays { LAST_HEARING } else { LAST_CALL };
            self.entry.bring_forward(Instant::now() + wait);
        } else if self.entry.rests() && session.is_none_or(Session::is_quiet) {
            return Poll::Ready(Next::Rest);
        }
        let waiting = match (unread, self.fresh) {
            (0, true) => Some(Waiting::Silent),
            (0, false) => None,
            _ => Some(Waiting::Begun),
        };
        self.entry
            .set_waiting(waiting.map(|waiting| (waiting, self.since)));
        Poll::Pending
    }
}
