//! The application's half.

use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use super::streaming::Streaming;
use super::{Arrival, Ending, Exchange, Finish, MAX_RECEIVERS, Peer, Received, RoomForMore, wake};
use crate::asgi::http::{Framing, Refusal, Response, Version};
use crate::server::response::{Content, FilePiece, Piece, Refused, ResponseHead};

impl Exchange {
    /// The type of the message that is due next.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        match self.lock().response {
            Response::Awaited => "http.response.start",
            Response::Trailers { .. } => "http.response.trailers",
            _ => "http.response.body",
        }
    }

    /// A buffer to write the response's head into.
    ///
    /// # Errors
    /// `http.response.start` is not legal now.
    pub fn begin(&self) -> Result<Vec<u8>, Refusal> {
        let mut state = self.lock();
        if state.peer != Peer::Gone {
            state.response.may_start()?;
        }
        Ok(state.out.take_buffer())
    }

    /// Whether the client no longer reads the response.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.lock().peer == Peer::Gone
    }

    /// Takes `http.response.start`. Nothing is written before the first body message.
    ///
    /// # Errors
    /// Out of order, or not a final status.
    pub fn start(&self, head: ResponseHead) -> Result<(), Refusal> {
        let mut state = self.lock();
        match state.response.start(head.status, head.declared()) {
            _ if state.peer == Peer::Gone => return Ok(()),
            started => started?,
        }
        state.head = Some(head);
        Ok(())
    }

    /// Takes `http.response.body`. After a disconnect it is dropped (ASGI HTTP 2.3).
    ///
    /// # Errors
    /// Out of order, or at odds with the announced length; the latter cuts the connection.
    pub fn body(&self, piece: Piece<'_>, more: bool) -> Result<(), Refused> {
        self.content(Content::Piece(piece), more).map(wake)
    }

    /// The same on another thread than the connection's, which has to be woken by the caller.
    ///
    /// # Errors
    /// As for [`Self::body`].
    pub fn body_apart(&self, piece: Piece<'_>, more: bool) -> Result<Option<Waker>, Refused> {
        self.content(Content::Piece(piece), more)
    }

    /// The same with part of a file.
    ///
    /// # Errors
    /// As for bytes.
    pub fn file(&self, file: FilePiece, more: bool) -> Result<(), Refused> {
        self.content(Content::File(file), more).map(wake)
    }

    fn content(&self, content: Content<'_>, more: bool) -> Result<Option<Waker>, Refused> {
        let mut state = self.lock();
        let step = match state.response.body(self.request, content.len(), more) {
            _ if state.peer == Peer::Gone => return Ok(None),
            Ok(step) => step,
            Err(refusal) => {
                if matches!(refusal, Refusal::TooLong | Refusal::TooShort) {
                    state.ending = Ending::Cut;
                    let waker = state.connection.take();
                    drop(state);
                    wake(waker);
                }
                return Err(refusal.into());
            }
        };
        if let (Some(framing), Some(head)) = (step.head, state.head.take()) {
            if more {
                state.streaming = Some(Streaming::begun(&head, framing));
            }
            self.write_head(&mut state, framing, head);
        }
        state.was_empty = step.head.is_none() && content.len() == 0;
        if !self.request.head {
            state.body_length += content.len();
        }
        let unsent = state.counted + content.in_memory();
        state.out.put_body(step.framing, content, step.last);
        if !matches!(step.framing, Framing::Bodiless(_)) {
            self.count_unsent(&mut state, unsent);
        }
        let receivers = state.receivers_if(step.last);
        let waker = state.connection.take();
        drop(state);
        receivers.into_iter().for_each(Waker::wake);
        Ok(waker)
    }

    /// Ready when little enough is unsent for the next `send()`, or the client no longer reads it.
    pub fn poll_sent(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.lock();
        if self.has_room_in(&state) {
            return Poll::Ready(());
        }
        state.senders.push(waker.clone());
        Poll::Pending
    }

    /// Whether [`Self::poll_sent`] would be ready.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.has_room_in(&self.lock())
    }

    /// When the next `send()` may follow this one.
    #[must_use]
    pub fn room_for_more(&self) -> RoomForMore {
        let state = self.lock();
        if state.peer == Peer::Gone || state.response.is_bodiless() || state.was_empty {
            RoomForMore::NeverFull
        } else if self.has_room_in(&state) {
            RoomForMore::Now
        } else {
            RoomForMore::Later
        }
    }

    /// Whether `receive()` has brought the end, and brings nothing else.
    #[must_use]
    pub fn has_told_end(&self) -> bool {
        self.told_end.load(Ordering::Relaxed)
    }

    /// The next message of ASGI's `receive()`: after a complete response only its end, though some of the
    /// body may have arrived.
    pub fn poll_message(&self, waker: Option<&Waker>) -> Poll<Received> {
        if self.lock().response.is_complete() {
            self.told_end.store(true, Ordering::Relaxed);
            return Poll::Ready(Received::Disconnect);
        }
        self.poll_receive(waker)
    }

    /// The next part of the request's body, if one has arrived, or its end.
    pub fn poll_receive(&self, waker: Option<&Waker>) -> Poll<Received> {
        let mut state = self.lock();
        if state.arrival == Arrival::Arrived {
            state.arrival = Arrival::Received;
            let data = state.take_body();
            return Poll::Ready(Received::Body { data, more: false });
        }
        if state.peer != Peer::Present || state.response.is_complete() {
            self.told_end.store(true, Ordering::Relaxed);
            return Poll::Ready(Received::Disconnect);
        }
        if state.has_body() {
            // Over HTTP/2 the client may send as much again as is taken.
            let full = state.room() == 0 || self.request.version == Version::Http2;
            let data = state.take_body();
            let connection = if full { state.connection.take() } else { None };
            drop(state);
            wake(connection);
            return Poll::Ready(Received::Body { data, more: true });
        }
        if let Some(waker) = waker {
            let many = state.receivers.len() >= MAX_RECEIVERS;
            let given_up = state.receivers_if(many);
            state.receivers.push(waker.clone());
            if !given_up.is_empty() {
                drop(state);
                given_up.into_iter().for_each(Waker::wake);
                return Poll::Pending;
            }
        }
        if !state.received_once {
            state.received_once = true;
            let connection = state.connection.take();
            drop(state);
            wake(connection);
        }
        Poll::Pending
    }

    /// The application has returned or raised. Says whether its response was whole.
    pub fn finish(&self) -> Finish {
        let (finish, waker) = self.finish_apart();
        wake(waker);
        finish
    }

    /// The same on another thread than the connection's, which has to be woken by the caller.
    pub fn finish_apart(&self) -> (Finish, Option<Waker>) {
        let mut state = self.lock();
        state.finished = true;
        self.end_if_dismissed(&mut state);
        let finish = match state.response {
            Response::Complete => Finish::Complete,
            _ if state.peer != Peer::Present => {
                state.ending = Ending::Cut;
                Finish::Complete
            }
            Response::Awaited => Finish::NotStarted,
            Response::Started { .. } | Response::Body { .. } | Response::Trailers { .. } => {
                Finish::Incomplete
            }
        };
        match finish {
            Finish::Complete => {}
            // A head that was never written is as good as none.
            Finish::NotStarted => self.fail(&mut state, 500, "Internal Server Error"),
            Finish::Incomplete if state.head.is_some() => {
                self.fail(&mut state, 500, "Internal Server Error");
            }
            Finish::Incomplete => state.ending = Ending::Cut,
        }
        (finish, state.connection.take())
    }
}
