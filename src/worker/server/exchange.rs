//! One request and its response, between the connection and the application.
//!
//! The connection task and the application meet here and nowhere else. Both run on the worker's
//! one thread, but Python may drop its half on any thread (its garbage collector runs wherever it
//! likes), and WSGI applications have threads of their own; so the state is behind a mutex that is
//! hardly ever contended, and never held while a waker is called: waking an asyncio future runs
//! Python.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::body::BodyDecoder;
use super::files::FilePiece;
use super::http2::fields;
use super::request_id;
use super::response::{self, Content, Defaults, Outgoing, Persist, Piece, Refused, ResponseHead};
use crate::worker::asgi::http::{Framing, Refusal, Request, Response, Version};

/// Unread request body beyond which the connection stops reading; asyncio's and Uvicorn's figure.
pub(super) const READ_HIGH_WATER: usize = 64 * 1024;

/// Unsent response beyond which `send()` waits; asyncio's and Uvicorn's figure.
const WRITE_HIGH_WATER: usize = 64 * 1024;

/// An application that gives up on `receive()` again and again (Starlette's `is_disconnected`)
/// leaves wakers behind: beyond this many all are woken, and those that still wait come back.
const MAX_RECEIVERS: usize = 16;

/// What `receive()` brings.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// `http.request`
    Body {
        /// What has arrived since the last one.
        data: Vec<u8>,
        /// There is more to come.
        more: bool,
    },
    /// `http.disconnect`
    Disconnect,
}

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    defaults: Arc<Defaults>,
    request: Request,
    keep_alive: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The response as the application tells it.
    response: Response,
    /// Its head, until the first body message.
    head: Option<ResponseHead>,
    /// The same for HTTP/2, when it is due.
    fields: Option<Box<http::Response<()>>>,
    /// What the connection has not taken yet.
    out: Outgoing,
    /// Bytes that the connection has taken and not written.
    taken: usize,
    /// What the client is told that its request is called.
    request_id: Option<Box<[u8]>>,
    /// Bytes of the response's body that were sent.
    body_length: u64,
    /// The status, once the head is in `out`; taken by the connection for the access log.
    status: Option<u16>,
    /// How the connection ends after this response.
    ending: Ending,
    /// The request body that has arrived and was not received.
    body: Vec<u8>,
    /// Whether more is to come, and how that was told.
    arrival: Arrival,
    /// The application waits in `receive()` or has called it: send `100 Continue`.
    received_once: bool,
    /// Whether anybody is there to talk to.
    peer: Peer,
    /// Wait for the request body, or for the disconnect.
    receivers: Vec<Waker>,
    /// Wait until enough has been written.
    senders: Vec<Waker>,
    /// The connection task, while it waits for the application.
    connection: Option<Waker>,
    /// The application has returned or raised.
    finished: bool,
}

/// How far the request body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// More is to come.
    Arriving,
    /// All has arrived, but the application has not received the end.
    Arrived,
    /// The application has received the end.
    Received,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// A client that reads and writes.
    Present,
    /// One that has ended its side, though it may still read: `receive()` tells, sends go on.
    Ended,
    /// Nobody: sends are dropped.
    Gone,
}

/// What becomes of the connection after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It takes the next request.
    KeepAlive,
    /// It closes once everything is written.
    Close,
    /// It is cut: the response is broken, and the client must see that.
    Cut,
    /// It is a WebSocket from here on.
    Upgrade,
}

/// What the connection finds when it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    /// The response's status, once, when its head is there.
    pub(super) status: Option<u16>,
    /// The whole response is in the output.
    pub(super) complete: bool,
    /// What becomes of the connection.
    pub(super) ending: Ending,
    /// Room for more of the request body.
    pub(super) room: usize,
    /// The application has called `receive()`.
    pub(super) wants_continue: bool,
    /// The response has begun to be written.
    pub(super) head_written: bool,
    /// The application has ended.
    pub(super) finished: bool,
}

impl Exchange {
    pub(super) fn new(
        defaults: Arc<Defaults>,
        request: Request,
        keep_alive: bool,
        buffer: Vec<u8>,
    ) -> Self {
        Self {
            defaults,
            request,
            keep_alive,
            state: Mutex::new(State {
                response: Response::Awaited,
                head: None,
                fields: None,
                out: Outgoing::with_buffer(buffer),
                taken: 0,
                request_id: None,
                body_length: 0,
                status: None,
                ending: Ending::KeepAlive,
                body: Vec::new(),
                arrival: Arrival::Arriving,
                received_once: false,
                peer: Peer::Present,
                receivers: Vec::new(),
                senders: Vec::new(),
                connection: None,
                finished: false,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere can't leave the state half-changed in a way that matters here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the application's half -------------------------------------------------------------

    /// The type of the message that is due next.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        match self.lock().response {
            Response::Awaited => "http.response.start",
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

    /// Whether nobody reads the response any more.
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
        self.content(Content::Piece(piece), more)
    }

    /// The same with part of a file.
    ///
    /// # Errors
    /// As for bytes.
    pub fn file(&self, file: FilePiece, more: bool) -> Result<(), Refused> {
        self.content(Content::File(file), more)
    }

    fn content(&self, content: Content<'_>, more: bool) -> Result<(), Refused> {
        let mut state = self.lock();
        let step = match state.response.body(self.request, content.len(), more) {
            _ if state.peer == Peer::Gone => return Ok(()),
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
            self.write_head(&mut state, framing, head);
        }
        if !self.request.head {
            state.body_length += content.len();
        }
        state.out.put_body(step.framing, content, step.last);
        let receivers = state.receivers_if(step.last);
        let waker = state.connection.take();
        drop(state);
        receivers.into_iter().for_each(Waker::wake);
        wake(waker);
        Ok(())
    }

    fn write_head(&self, state: &mut State, framing: Framing, head: ResponseHead) {
        if self.request.version == Version::Http2 {
            state.status = u16::try_from(head.status).ok();
            let mut response = fields::encode(head, framing, &self.defaults);
            if let Some(id) = &state.request_id {
                fields::announce(&mut response, id);
            }
            state.fields = Some(Box::new(response));
            return;
        }
        let close = !self.keep_alive
            || head.wants_close()
            || framing == Framing::UntilClose
            || self.defaults.closing.load(Ordering::Relaxed);
        let option = match (close, self.request.version == Version::Http10) {
            (true, _) => Persist::Close,
            (false, true) => Persist::KeepAlive,
            (false, false) => Persist::Default,
        };
        if close {
            state.ending = Ending::Close;
        }
        state.status = u16::try_from(head.status).ok();
        let mut bytes = head.finish(framing, &self.defaults, option);
        if let Some(id) = &state.request_id {
            request_id::announce(&mut bytes, id);
        }
        state.out.put_head(bytes);
    }

    /// Ready when little enough is unsent for the next `send()`, or nobody reads it any more.
    pub fn poll_sent(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.lock();
        if state.has_room() {
            return Poll::Ready(());
        }
        state.senders.push(waker.clone());
        Poll::Pending
    }

    /// Whether [`Self::poll_sent`] would be ready.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.lock().has_room()
    }

    /// What `receive()` brings, if it is there.
    pub fn poll_receive(&self, waker: Option<&Waker>) -> Poll<Received> {
        let mut state = self.lock();
        if state.arrival == Arrival::Arrived {
            state.arrival = Arrival::Received;
            let data = std::mem::take(&mut state.body);
            return Poll::Ready(Received::Body { data, more: false });
        }
        if state.peer != Peer::Present || state.response.is_complete() {
            return Poll::Ready(Received::Disconnect);
        }
        if !state.body.is_empty() {
            let full = state.body.len() >= READ_HIGH_WATER;
            let data = std::mem::take(&mut state.body);
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
        let mut state = self.lock();
        state.finished = true;
        let finish = match state.response {
            Response::Complete => Finish::Complete,
            _ if state.peer != Peer::Present => {
                state.ending = Ending::Cut;
                Finish::Complete
            }
            Response::Awaited => Finish::NotStarted,
            Response::Started { .. } | Response::Body { .. } => Finish::Incomplete,
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
        let waker = state.connection.take();
        drop(state);
        wake(waker);
        finish
    }

    // ---- the connection's half --------------------------------------------------------------

    /// Tells the client, with the response, what its request is called.
    pub(super) fn name(&self, id: Box<[u8]>) {
        self.lock().request_id = Some(id);
    }

    /// How much of a body the response has had so far.
    pub(super) fn body_length(&self) -> u64 {
        self.lock().body_length
    }

    /// Moves what is to be written to `out` and says how things stand; wakes `waker` at the next
    /// change.
    pub(super) fn look(&self, out: &mut Outgoing, waker: Option<&Waker>) -> View {
        let mut state = self.lock();
        if !state.out.is_empty() {
            out.append(&mut state.out);
        }
        if let Some(waker) = waker {
            match &mut state.connection {
                Some(old) if old.will_wake(waker) => {}
                slot => *slot = Some(waker.clone()),
            }
        }
        View {
            status: state.status.take(),
            complete: state.response.is_complete(),
            ending: state.ending,
            room: READ_HIGH_WATER.saturating_sub(state.body.len()),
            wants_continue: state.received_once,
            head_written: state.head_written(),
            finished: state.finished,
        }
    }

    /// The output's buffer, if there is nothing in it.
    pub(super) fn take_idle_buffer(&self) -> Vec<u8> {
        self.lock().out.take_idle_buffer()
    }

    /// So many bytes of what was taken are still to be written.
    pub(super) fn set_taken(&self, taken: usize) {
        let mut state = self.lock();
        state.taken = taken;
        if !state.has_room() {
            return;
        }
        let senders = std::mem::take(&mut state.senders);
        drop(state);
        senders.into_iter().for_each(Waker::wake);
    }

    /// Decodes `input` into the body; says how much was consumed.
    ///
    /// # Errors
    /// The framing is broken, or the body too large.
    pub(super) fn arrived(
        &self,
        decoder: &mut BodyDecoder,
        input: &[u8],
    ) -> Result<usize, super::body::BodyRefused> {
        let mut state = self.lock();
        let before = state.body.len();
        let room = READ_HIGH_WATER.saturating_sub(before);
        let consumed = decoder.decode(input, &mut state.body, room)?;
        if decoder.is_done() {
            state.arrival = Arrival::Arrived;
        }
        let news = decoder.is_done() || state.body.len() > before;
        let receivers = state.receivers_if(news);
        drop(state);
        receivers.into_iter().for_each(Waker::wake);
        Ok(consumed)
    }

    /// Reads the next of a body that needs no decoding to where the application receives it from:
    /// `read` appends at most so many bytes, and says how many. 0 is the end of the stream.
    pub(super) fn arrived_from(
        &self,
        decoder: &mut BodyDecoder,
        read: impl FnOnce(&mut Vec<u8>, usize) -> Poll<usize>,
    ) -> Poll<usize> {
        let mut state = self.lock();
        let room = READ_HIGH_WATER.saturating_sub(state.body.len());
        let limit = usize::try_from(decoder.plain_bytes()).map_or(room, |left| left.min(room));
        state.body.reserve(limit);
        let read = read(&mut state.body, limit);
        let Poll::Ready(n @ 1..) = read else {
            if state.body.is_empty() {
                // A client that takes its time costs no buffer meanwhile.
                state.body = Vec::new();
            }
            return read;
        };
        decoder.skip(n);
        if decoder.is_done() {
            state.arrival = Arrival::Arrived;
        }
        let receivers = state.receivers_if(true);
        drop(state);
        receivers.into_iter().for_each(Waker::wake);
        read
    }

    /// Takes what has come of the body from a stream whose frames say where it ends.
    pub(super) fn arrive(&self, data: &[u8], is_last: bool) {
        let mut state = self.lock();
        state.body.extend_from_slice(data);
        if is_last {
            state.arrival = Arrival::Arrived;
        }
        let receivers = state.receivers_if(is_last || !data.is_empty());
        drop(state);
        receivers.into_iter().for_each(Waker::wake);
    }

    /// The response's head for HTTP/2, once, when it is due.
    pub(super) fn take_fields(&self) -> Option<Box<http::Response<()>>> {
        self.lock().fields.take()
    }

    /// The peer is gone, or the connection is about to be.
    pub fn disconnect(&self) {
        let mut state = self.lock();
        state.peer = Peer::Gone;
        state.out = Outgoing::default();
        state.taken = 0;
        let senders = std::mem::take(&mut state.senders);
        let receivers = state.receivers_if(true);
        drop(state);
        receivers.into_iter().for_each(Waker::wake);
        senders.into_iter().for_each(Waker::wake);
    }

    /// The peer has ended its side of the connection.
    pub(super) fn half_close(&self) {
        let mut state = self.lock();
        if state.peer == Peer::Present {
            state.peer = Peer::Ended;
        }
        if state.ending == Ending::KeepAlive {
            state.ending = Ending::Close;
        }
        let receivers = state.receivers_if(true);
        drop(state);
        receivers.into_iter().for_each(Waker::wake);
    }

    /// The worker stops soon: `receive()` says that the client is gone, unless its request is still
    /// arriving. Streams without an end find one, and their clients are answered what is sent.
    pub(super) fn dismiss(&self) {
        if self.lock().arrival != Arrival::Arriving {
            self.half_close();
        }
    }

    /// Answers in the application's place, or cuts where it has begun to answer. For the
    /// application its client is gone.
    pub(super) fn refuse(&self, status: u16, text: &str) {
        let mut state = self.lock();
        if state.head_written() {
            state.ending = Ending::Cut;
        } else {
            self.fail(&mut state, status, text);
        }
        state.peer = Peer::Gone;
        let receivers = state.receivers_if(true);
        let connection = state.connection.take();
        drop(state);
        receivers.into_iter().for_each(Waker::wake);
        wake(connection);
    }

    /// The response is the acceptance of a WebSocket (RFC 9110 section 15.2.2), after which this
    /// exchange has nothing to do.
    pub(super) fn upgrade(&self, head: ResponseHead) {
        let mut state = self.lock();
        if state.peer == Peer::Gone {
            return;
        }
        state.response = Response::Complete;
        state.ending = Ending::Upgrade;
        state.status = u16::try_from(head.status).ok();
        let bytes = head.finish(Framing::Bodiless(None), &self.defaults, Persist::Default);
        state.out.put_head(bytes);
        let waker = state.connection.take();
        drop(state);
        wake(waker);
    }

    /// Whether the application has sent its whole response.
    pub(super) fn is_complete(&self) -> bool {
        self.lock().response.is_complete()
    }

    fn fail(&self, state: &mut State, status: u16, text: &str) {
        state.head = None;
        state.response = Response::Complete;
        state.ending = Ending::Close;
        state.status = Some(status);
        if !self.request.head {
            state.body_length = text.len() as u64;
        }
        if self.request.version == Version::Http2 {
            let framing = Framing::Length(text.len() as u64);
            self.write_head(state, framing, response::plain_head(status));
            if !self.request.head {
                state.out.put(Piece::Small(text.as_bytes()));
            }
            return;
        }
        let mut bytes = response::plain(status, text, &self.defaults, self.request.head);
        if let Some(id) = &state.request_id {
            request_id::announce(&mut bytes, id);
        }
        state.out.put(Piece::Small(&bytes));
    }
}

impl State {
    /// The receivers, to be woken, if there is news for them.
    fn receivers_if(&mut self, news: bool) -> Vec<Waker> {
        if news {
            std::mem::take(&mut self.receivers)
        } else {
            Vec::new()
        }
    }

    /// Whether anything of the response is on its way.
    fn head_written(&self) -> bool {
        self.head.is_none() && self.response.is_started()
    }

    /// Whether `send()` may go on: little is unsent, or nobody reads it any more.
    fn has_room(&self) -> bool {
        self.peer == Peer::Gone || self.taken + self.out.len() <= WRITE_HIGH_WATER
    }
}

/// How an application left its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Finish {
    /// Whole, or nobody was there to read it.
    Complete,
    /// It never sent `http.response.start`: the client is answered 500.
    NotStarted,
    /// It stopped in the middle: the connection is cut.
    Incomplete,
}

/// Wakes whoever was waiting. Never with a state locked.
pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
