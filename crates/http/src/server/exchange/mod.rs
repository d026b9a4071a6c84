//! One request and its response, between the connection and the application.
//!
//! The connection task and the application meet here and nowhere else. Both run on the worker's
//! one thread, but Python may drop its half on any thread (its garbage collector runs wherever it
//! likes), and WSGI applications have threads of their own; so the state is behind a mutex that is
//! hardly ever contended, and never held while a waker is called: waking an asyncio future runs
//! Python.

mod application;
mod connection;
mod extensions;
pub(super) mod fields;
mod streaming;
mod together;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::request_id;
use super::response::{self, Defaults, Outgoing, Persist, Piece, ResponseHead};
use crate::asgi::http::{Framing, Request, Response, Version};
use crate::own_body::OwnBody;
use streaming::Streaming;
pub(super) use together::Unsent;

/// Unread request body beyond which the connection stops reading; asyncio's and Uvicorn's figure.
pub(super) const READ_HIGH_WATER: usize = 64 * 1024;

/// Unsent response beyond which `send()` waits; asyncio's and Uvicorn's figure, and a little for the
/// head and the framing of what is sent in pieces: 64 KiB is a size that people choose.
const WRITE_HIGH_WATER: usize = 65 * 1024;

/// An application that gives up on `receive()` again and again (Starlette's `is_disconnected`)
/// leaves wakers behind: beyond this many all are woken, and those that still wait come back.
const MAX_RECEIVERS: usize = 16;

/// The next message of `receive()`.
#[derive(Debug)]
pub enum Received {
    /// `http.request`
    Body {
        /// The bytes that have arrived since the last one.
        data: Body,
        /// There is more to come.
        more: bool,
    },
    /// `http.disconnect`
    Disconnect,
}

/// Part of a request body.
#[derive(Debug)]
pub enum Body {
    /// Bytes of the server's.
    Copied(Vec<u8>),
    /// Bytes that were read to where the application wants them.
    Own(OwnBody),
}

/// When another `send()` may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomForMore {
    /// At once.
    Now,
    /// When the client has taken more.
    Later,
    /// At once, and that does not change, however much is sent: nothing of it goes anywhere.
    NeverFull,
}

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    defaults: Arc<Defaults>,
    request: Request,
    keep_alive: bool,
    /// The unsent bytes of all responses of its connection, over HTTP/2.
    together: Option<Arc<Unsent>>,
    /// `receive()` has brought `http.disconnect`.
    told_end: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The response as the application tells it.
    response: Response,
    /// Its head, until the first body message.
    head: Option<ResponseHead>,
    /// The same for HTTP/2, encoded, when it is due.
    fields: Option<Vec<u8>>,
    /// Heads before that for HTTP/2, encoded.
    interim: Vec<Vec<u8>>,
    /// The fields behind the body.
    trailers: Vec<u8>,
    /// Output that the connection has not taken yet.
    out: Outgoing,
    /// Bytes that the connection has taken and not written.
    taken: usize,
    /// The bytes of that and of `out` that `together` counts.
    counted: usize,
    /// The request's id, as the client gets it.
    request_id: Option<Box<[u8]>>,
    /// Bytes of the response's body that were sent.
    body_length: u64,
    /// The status, once the head is in `out`; taken by the connection for the access log.
    status: Option<u16>,
    /// How the connection ends after this response.
    ending: Ending,
    /// The request body that has arrived and was not received.
    body: Vec<u8>,
    /// The same in the application's memory; then `body` is empty.
    own: Option<OwnBody>,
    /// Whether more is expected, and whether the application has received the end.
    arrival: Arrival,
    /// The application waits in `receive()` or has called it: send `100 Continue`.
    received_once: bool,
    /// Whether the client is there.
    peer: Peer,
    /// Wait for the request body, or for the disconnect.
    receivers: Vec<Waker>,
    /// Wait until enough has been written.
    senders: Vec<Waker>,
    /// The connection task, while it waits for the application.
    connection: Option<Waker>,
    /// The application has returned or raised.
    finished: bool,
    /// The last message of the body brought nothing to send.
    was_empty: bool,
    /// The response is sent in pieces.
    streaming: Option<Streaming>,
    /// Its application was asked to end it.
    is_dismissed: bool,
}

/// How far the request body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// More is expected.
    Arriving,
    /// All has arrived, but the application has not received the end.
    Arrived,
    /// The application has received the end.
    Received,
}

/// The state of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// A client that reads and writes.
    Present,
    /// One that has ended its side, though it may still read: `receive()` tells, sends go on.
    Ended,
    /// It has gone: sends are dropped.
    Gone,
}

/// The end of the connection after the response, or its next use.
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

/// The connection's view of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    /// The response's status, once, when its head is there.
    pub(super) status: Option<u16>,
    /// The whole response is in the output.
    pub(super) complete: bool,
    /// How the connection goes on.
    pub(super) ending: Ending,
    /// Room for more of the request body.
    pub(super) room: usize,
    /// Bytes of it, copied from a stream's frames, that the application has not received.
    pub(super) unread: usize,
    /// The application has called `receive()`.
    pub(super) wants_continue: bool,
    /// The response has begun to be written.
    pub(super) head_written: bool,
    /// The application has ended.
    pub(super) finished: bool,
    /// A head of HTTP/2 has to be sent before the response's.
    pub(super) has_interim: bool,
    /// The response ends with fields behind its body.
    pub(super) has_trailers: bool,
}

impl View {
    /// Nothing more comes of the application, not even a `send()` that waits.
    pub(super) fn is_over(&self) -> bool {
        self.complete && self.finished
    }
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
            together: None,
            told_end: AtomicBool::new(false),
            state: Mutex::new(State {
                response: Response::Awaited,
                head: None,
                fields: None,
                interim: Vec::new(),
                trailers: Vec::new(),
                out: Outgoing::with_buffer(buffer),
                taken: 0,
                counted: 0,
                request_id: None,
                body_length: 0,
                status: None,
                ending: Ending::KeepAlive,
                body: Vec::new(),
                own: None,
                arrival: Arrival::Arriving,
                received_once: false,
                peer: Peer::Present,
                receivers: Vec::new(),
                senders: Vec::new(),
                connection: None,
                finished: false,
                was_empty: false,
                streaming: None,
                is_dismissed: false,
            }),
        }
    }

    /// One of many on a connection.
    pub(super) fn among(mut self, together: &Arc<Unsent>) -> Self {
        self.together = Some(Arc::clone(together));
        self
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere can't leave the state half-changed in a way that matters here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_head(&self, state: &mut State, framing: Framing, head: ResponseHead) {
        if self.request.version == Version::Http2 {
            state.status = u16::try_from(head.status).ok();
            let id = state.request_id.as_deref();
            state.fields = Some(fields::encode(head, framing, &self.defaults, id));
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

    /// Whether some of the body has arrived and was not received.
    fn has_body(&self) -> bool {
        self.own.is_some() || !self.body.is_empty()
    }

    fn take_body(&mut self) -> Body {
        match self.own.take() {
            Some(own) => Body::Own(own),
            None => Body::Copied(std::mem::take(&mut self.body)),
        }
    }

    /// How many further bytes of the body may come before some are received.
    fn room(&self) -> usize {
        match self.own {
            Some(_) => 0,
            None => READ_HIGH_WATER.saturating_sub(self.body.len()),
        }
    }

    /// Whether anything of the response is on its way.
    fn head_written(&self) -> bool {
        self.head.is_none() && self.response.is_started()
    }
}

/// How an application left its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Finish {
    /// The response is whole, or the client had gone.
    Complete,
    /// It never sent `http.response.start`: the client is answered 500.
    NotStarted,
    /// It stopped in the middle: the connection is cut.
    Incomplete,
}

/// Wakes the waiting side. Never called with a state locked.
pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// For the application its client is gone from now on; all that wait here are woken.
fn part(mut state: MutexGuard<'_, State>) {
    state.peer = Peer::Gone;
    let mut waiting = state.receivers_if(true);
    waiting.append(&mut state.senders);
    let connection = state.connection.take();
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
    wake(connection);
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    /// A piece whose destructor asks the exchange that it was sent to, as an object of Python may.
    struct Asking(Weak<Exchange>);

    impl AsRef<[u8]> for Asking {
        fn as_ref(&self) -> &[u8] {
            b"piece"
        }
    }

    impl Drop for Asking {
        fn drop(&mut self) {
            if let Some(exchange) = self.0.upgrade() {
                assert!(exchange.is_gone());
            }
        }
    }

    /// The exchange of a plain request.
    pub(super) fn exchange() -> Exchange {
        let request = Request {
            head: false,
            version: Version::Http11,
            trailers: false,
            hints: false,
        };
        let defaults = Arc::new(Defaults {
            server: false,
            date: false,
            fields: Vec::new(),
            closing: false.into(),
        });
        Exchange::new(defaults, request, true, Vec::new())
    }

    #[test]
    fn pieces_that_a_client_has_not_taken_are_dropped_without_the_lock() {
        let exchange = Arc::new(exchange());
        let head = ResponseHead::new(Vec::new(), 200);
        exchange.start(head).unwrap();
        let piece = Bytes::from_owner(Asking(Arc::downgrade(&exchange)));
        exchange.body(Piece::Shared(piece), true).unwrap();
        let (ended, wait) = mpsc::channel();
        thread::spawn(move || {
            exchange.disconnect();
            ended.send(())
        });
        wait.recv_timeout(Duration::from_secs(20)).unwrap();
    }
}
