//! One connection's task: bytes in, streams driven, bytes out, until the end.

mod bytes;
mod streams;
mod time;

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::cycle::Cycle;
use super::protocol::{Code, Protocol, Terms};
use super::tunnel::Tunnel;
use crate::peers::Peers;
use crate::server::application::Application;
use crate::server::between_requests::Resting;
use crate::server::connections::{Entry, InFlight, Waiting};
use crate::server::exchange::Unsent;
use crate::server::shared::Shared;
use crate::server::stream::Stream;
use crate::server::turn::{Place, Turn};
use time::Next;

/// So often a connection may read and write before others have a turn.
const TURNS: usize = 4;

/// One connection.
pub(super) struct Session<A: Application> {
    pub(super) server: Rc<Shared<A>>,
    pub(super) entry: Rc<Entry>,
    pub(super) stream: Stream,
    pub(super) peers: Peers,
    /// Until the connection has been idle for a while.
    pub(super) application: Option<A::Connection>,
    pub(super) protocol: Protocol,
    /// Bytes that have been read and not taken; empty while the connection is idle.
    input: Vec<u8>,
    /// There may be whole frames in it.
    is_unread: bool,
    /// Requests that are not answered yet, in the order of their streams.
    pub(super) cycles: Vec<Cycle<A>>,
    /// Which of them is driven first.
    next_cycle: usize,
    /// The unsent bytes of all their responses.
    pub(super) unsent: Arc<Unsent>,
    /// Some of them wait to be started.
    pub(super) some_wait: bool,
    /// Streams that have become WebSockets.
    pub(super) tunnels: Vec<Tunnel>,
    stage: Stage,
    /// When the stage's time is up.
    due: Option<Instant>,
    /// No request is open.
    idle: bool,
    /// There has been none yet.
    fresh: bool,
    /// When the client's nuisances were last forgotten.
    calmed: Instant,
    courtesy: Courtesy,
}

/// The next step of a connection that takes turns with the others (`server/turn.rs`).
pub(super) enum Step<'a> {
    /// Waits for its turn before it calls an application.
    Wait,
    /// Holds its answers until others have been served.
    Hold(Place<'a>),
    /// Nothing: it has nothing more to say.
    End,
}

/// Where it is in its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Courtesy {
    /// It has not waited for others.
    None,
    /// It has waited, and is called.
    Called,
    /// It has held its answers, which are written next.
    Held,
}

/// How far the connection is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The worker drains: the connection ends as soon as no request is open.
    Draining,
    /// The client has been told to send no more requests. Those on their way are taken.
    Leaving(Farewell),
    /// The connection ends once the pending bytes are written.
    Ending,
}

/// The steps in which a connection is closed (RFC 9113 section 6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    /// It has been sent GOAWAY, with the largest number that a stream can have.
    Said,
    /// A PING behind it asks whether it has heard that.
    Asked,
    /// It has, or its time for that is over: it knows the number of the last stream.
    Heard,
}

/// The result of reading, driving and writing.
enum Turned<'a> {
    /// Something was done.
    Moved,
    /// Nothing was.
    Idle,
    /// Others come first.
    For(Step<'a>),
}

/// The connection is lost, or was never one.
pub(super) struct Gone;

impl<A: Application> Session<A> {
    pub(super) fn new(server: Rc<Shared<A>>, entry: Rc<Entry>, resting: Resting) -> Self {
        let now = Instant::now();
        let terms = Terms {
            streams: server.limits.streams,
            head_size: server.limits.head.size,
            connect: server.websockets.is_some() && server.application.takes_websockets(),
        };
        entry.set_in_flight(Some(InFlight::Streams));
        entry.set_waiting(Some((Waiting::Begun, now)));
        let due = Some(now + server.limits.header_read);
        entry.set_deadline(due);
        Self {
            server,
            entry,
            stream: resting.stream,
            peers: resting.peers,
            application: None,
            protocol: Protocol::new(terms),
            is_unread: !resting.input.is_empty(),
            input: resting.input,
            cycles: Vec::new(),
            next_cycle: 0,
            unsent: Arc::default(),
            some_wait: false,
            tunnels: Vec::new(),
            stage: Stage::Open,
            due,
            idle: false,
            fresh: true,
            calmed: now,
            courtesy: Courtesy::None,
        }
    }

    /// The stream, when all else has ended.
    pub(super) fn into_stream(mut self) -> Stream {
        for cycle in &mut self.cycles {
            cycle.abandon(&mut self.protocol);
        }
        for tunnel in &self.tunnels {
            tunnel.on_reset(&mut self.protocol);
        }
        self.entry.set_in_flight(None);
        self.stream
    }

    /// Ready when there is something to do for others, or nothing more to say.
    pub(super) fn poll<'a>(&mut self, cx: &mut Context<'_>, turn: &'a Turn) -> Poll<Step<'a>> {
        self.entry.set_waker(cx.waker());
        if self.entry.is_cut() {
            if self.entry.is_evicted() {
                self.protocol.go_away(Code::NoError);
                // Bytes that the socket does not take are lost with it.
                let _ = self.poll_write(cx);
            }
            return Poll::Ready(Step::End);
        }
        if let Some(call) = self.entry.take_call() {
            self.cycles.iter().for_each(|cycle| cycle.on_call(call));
        }
        if self.stage == Stage::Open && self.server.is_draining() {
            self.drain();
        }
        for _ in 0..TURNS {
            match self.turn(cx, turn) {
                Ok(Turned::For(step)) => return Poll::Ready(step),
                Ok(Turned::Moved) => continue,
                Ok(Turned::Idle) => {}
                Err(Gone) => {
                    let cycles = self.cycles.iter_mut();
                    cycles.for_each(|cycle| cycle.leave(&mut self.protocol));
                    return Poll::Ready(Step::End);
                }
            }
            match self.look_at_the_time() {
                Next::Nothing => {
                    self.rest();
                    return Poll::Pending;
                }
                Next::Again => {}
                Next::End => return Poll::Ready(Step::End),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads, drives, writes.
    fn turn<'a>(&mut self, cx: &mut Context<'_>, turn: &'a Turn) -> Result<Turned<'a>, Gone> {
        if self.courtesy == Courtesy::Held {
            self.courtesy = Courtesy::None;
            self.poll_write(cx)?;
        }
        let read = self.poll_read(cx)?;
        if read && self.courtesy == Courtesy::None && self.is_alone() && turn.should_wait() {
            self.courtesy = Courtesy::Called;
            self.settle();
            return Ok(Turned::For(Step::Wait));
        }
        self.courtesy = Courtesy::None;
        let place = turn.enter();
        if read {
            self.take_frames(cx);
        }
        let driven = self.drive(cx);
        if read && self.is_alone() && self.protocol.wire.is_small() && place.should_hold() {
            self.courtesy = Courtesy::Held;
            self.settle();
            return Ok(Turned::For(Step::Hold(place)));
        }
        drop(place);
        if driven || read {
            self.leave_with_the_last();
        }
        let written = self.poll_write(cx)?;
        Ok(if read || driven || written {
            Turned::Moved
        } else {
            Turned::Idle
        })
    }

    /// Whether no request is open that waiting would hold up.
    fn is_alone(&self) -> bool {
        self.cycles.is_empty() && self.tunnels.is_empty()
    }

    /// Holds no more of its buffers than what is in them.
    fn settle(&mut self) {
        self.server.buffers.settle(&mut self.input);
        self.protocol.wire.settle(&self.server.buffers);
    }
}
