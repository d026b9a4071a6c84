//! The connection's half.

use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::{Arrival, Ending, Exchange, Peer, View, part, wake};
use crate::asgi::http::{Framing, Response, Version};
use crate::own_body::OwnBody;
use crate::server::body::{BodyDecoder, BodyRefused};
use crate::server::buffers::Buffers;
use crate::server::connections::Unanswered;
use crate::server::response::{Outgoing, Persist, ResponseHead};

impl Exchange {
    /// Tells the client, with the response, what its request is called.
    pub(in crate::server) fn name(&self, id: Box<[u8]>) {
        self.lock().request_id = Some(id);
    }

    /// The request's id, as the client gets it.
    pub(in crate::server) fn request_id(&self) -> Option<Box<[u8]>> {
        self.lock().request_id.clone()
    }

    /// How much of a body the response has had so far.
    pub(in crate::server) fn body_length(&self) -> u64 {
        self.lock().body_length
    }

    /// Moves pending output to `out` and returns the state of the exchange; wakes `waker` at the next
    /// change.
    pub(in crate::server) fn look(&self, out: &mut Outgoing, waker: Option<&Waker>) -> View {
        let mut state = self.lock();
        if !state.out.is_empty() {
            out.append(&mut state.out);
        }
        // A connection whose application has ended waits for its socket only.
        if let Some(waker) = waker.filter(|_| !state.finished) {
            match &mut state.connection {
                Some(old) if old.will_wake(waker) => {}
                slot => *slot = Some(waker.clone()),
            }
        }
        View {
            status: state.status.take(),
            complete: state.response.is_complete(),
            ending: state.ending,
            room: state.room(),
            unread: state.body.len(),
            wants_continue: state.received_once,
            head_written: state.head_written(),
            finished: state.finished,
            has_interim: !state.interim.is_empty(),
            has_trailers: !state.trailers.is_empty(),
        }
    }

    /// The output's buffer, if there is nothing in it.
    pub(in crate::server) fn take_idle_buffer(&self) -> Vec<u8> {
        self.lock().out.take_idle_buffer()
    }

    /// Holds no more of the output's buffer than what is in it, where that is little.
    pub(in crate::server) fn settle(&self, buffers: &Buffers) {
        self.lock().out.settle(buffers);
    }

    /// So many bytes of what was taken are still to be written.
    pub(in crate::server) fn set_taken(&self, taken: usize) {
        let mut state = self.lock();
        state.taken = taken;
        if !self.has_room_in(&state) {
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
    pub(in crate::server) fn arrived(
        &self,
        decoder: &mut BodyDecoder,
        input: &[u8],
    ) -> Result<usize, BodyRefused> {
        let mut state = self.lock();
        let before = state.body.len();
        let room = state.room();
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
    pub(in crate::server) fn arrived_from(
        &self,
        decoder: &mut BodyDecoder,
        read: impl FnOnce(&mut Vec<u8>, usize) -> Poll<usize>,
    ) -> Poll<usize> {
        let mut state = self.lock();
        let room = state.room();
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

    /// Takes the next of the body, which was read to memory of the application's own. There must be
    /// nothing else that has arrived and was not received.
    pub(in crate::server) fn arrived_in(&self, decoder: &mut BodyDecoder, own: OwnBody) {
        decoder.skip(own.length);
        let mut state = self.lock();
        debug_assert!(!state.has_body(), "the parts would change places");
        state.own = Some(own);
        if decoder.is_done() {
            state.arrival = Arrival::Arrived;
        }
        let receivers = state.receivers_if(true);
        drop(state);
        receivers.into_iter().for_each(Waker::wake);
    }

    /// Takes what has come of the body from a stream whose frames say where it ends.
    pub(in crate::server) fn arrive(&self, data: &[u8], is_last: bool) {
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
    pub(in crate::server) fn take_fields(&self) -> Option<Vec<u8>> {
        self.lock().fields.take()
    }

    /// The peer is gone, or the connection is about to be.
    pub fn disconnect(&self) {
        let mut state = self.lock();
        state.peer = Peer::Gone;
        // Let go without the lock: pieces may be objects of the application's, with a destructor.
        let unsent = std::mem::take(&mut state.out);
        state.taken = 0;
        self.count_unsent(&mut state, 0);
        let senders = std::mem::take(&mut state.senders);
        let receivers = state.receivers_if(true);
        drop(state);
        drop(unsent);
        receivers.into_iter().for_each(Waker::wake);
        senders.into_iter().for_each(Waker::wake);
    }

    /// The peer has ended its side of the connection.
    pub(in crate::server) fn half_close(&self) {
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
    pub(in crate::server) fn dismiss(&self) {
        if self.lock().arrival != Arrival::Arriving {
            self.half_close();
        }
    }

    /// Answers in the application's place, or cuts where it has begun to answer. For the
    /// application its client is gone.
    pub(in crate::server) fn refuse(&self, status: u16, text: &str) {
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

    /// Refuses the request for its body, of which no more is read.
    pub(in crate::server) fn refuse_body(&self, why: BodyRefused) {
        let (status, text) = why.answer();
        self.refuse(status, text);
    }

    /// Answers 504 in the application's place, unless its response has begun; whether it had not. For
    /// the application its client is gone.
    pub(in crate::server) fn time_out(&self) -> bool {
        let mut state = self.lock();
        if state.head_written() || state.response.is_complete() {
            return false;
        }
        self.fail(&mut state, 504, "Gateway Timeout");
        part(state);
        true
    }

    /// The response is the acceptance of a WebSocket (RFC 9110 section 15.2.2), after which this
    /// exchange has nothing to do.
    pub(in crate::server) fn upgrade(&self, head: ResponseHead) {
        let mut state = self.lock();
        if state.peer == Peer::Gone {
            return;
        }
        state.response = Response::Complete;
        state.ending = Ending::Upgrade;
        state.status = u16::try_from(head.status).ok();
        if self.request.version == Version::Http2 {
            self.write_head(&mut state, Framing::UntilClose, head);
        } else {
            let bytes = head.finish(Framing::Bodiless(None), &self.defaults, Persist::Default);
            state.out.put_head(bytes);
        }
        let waker = state.connection.take();
        drop(state);
        wake(waker);
    }

    /// Whether the application has sent its whole response.
    pub(in crate::server) fn is_complete(&self) -> bool {
        self.lock().response.is_complete()
    }
}

impl Unanswered for Exchange {
    fn dismiss(&self) {
        Self::dismiss(self);
    }

    fn dismiss_endless(&self, from: Option<Duration>, now: Instant) {
        Self::dismiss_endless(self, from, now);
    }

    fn would_lose(&self) -> bool {
        Self::would_lose(self)
    }
}
