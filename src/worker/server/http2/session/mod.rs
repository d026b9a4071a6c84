//! One connection's task: bytes in, streams driven, bytes out, until the end.

mod bytes;
mod streams;
mod time;

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::cycle::Cycle;
use super::protocol::{Protocol, Terms};
use super::tunnel::Tunnel;
use crate::worker::application::{Application, Peers};
use crate::worker::server::Server;
use crate::worker::server::connection::Resting;
use crate::worker::server::connections::{Answered, Entry};
use crate::worker::server::stream::Stream;
use time::Next;

/// So often a connection may read and write before others have a turn.
const TURNS: usize = 4;

/// One connection.
pub(super) struct Session<A: Application> {
    pub(super) server: Rc<Server<A>>,
    pub(super) entry: Rc<Entry>,
    pub(super) stream: Stream,
    pub(super) peers: Peers,
    /// Until the connection has been idle for a while.
    pub(super) application: Option<A::Connection>,
    pub(super) protocol: Protocol,
    /// What has been read and not taken; empty while the connection is idle.
    input: Vec<u8>,
    /// There may be whole frames in it.
    is_unread: bool,
    /// Requests that are not answered yet, in the order of their streams.
    pub(super) cycles: Vec<Cycle<A>>,
    /// Which of them is driven first.
    next_cycle: usize,
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
}

/// How far the connection is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The worker drains: the connection ends as soon as no request is open.
    Draining,
    /// The client has been told to send no more requests; with `heard` it has acknowledged that.
    Leaving {
        heard: bool,
    },
    /// The connection ends with what is to be written.
    Ending,
}

/// The connection is lost, or was never one.
pub(super) struct Gone;

impl<A: Application> Session<A> {
    pub(super) fn new(server: Rc<Server<A>>, entry: Rc<Entry>, resting: Resting) -> Self {
        let now = Instant::now();
        let terms = Terms {
            streams: server.limits.streams,
            head_size: server.limits.head.size,
            connect: server.websockets.is_some() && server.application.takes_websockets(),
        };
        entry.set_answered(Some(Answered::Streams));
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
            tunnels: Vec::new(),
            stage: Stage::Open,
            due,
            idle: false,
            fresh: true,
            calmed: now,
        }
    }

    /// What is left when everything else has ended.
    pub(super) fn into_stream(mut self) -> Stream {
        for cycle in &mut self.cycles {
            cycle.abandon(&mut self.protocol);
        }
        for tunnel in &self.tunnels {
            tunnel.on_reset(&mut self.protocol);
        }
        self.entry.set_answered(None);
        self.stream
    }

    /// Ready when the connection has nothing more to say.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.entry.set_waker(cx.waker());
        if self.entry.is_cut() {
            return Poll::Ready(());
        }
        if self.entry.take_dismissal() {
            self.cycles.iter().for_each(Cycle::dismiss);
        }
        for _ in 0..TURNS {
            match self.turn(cx) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(Gone) => return Poll::Ready(()),
            }
            match self.look_at_the_time() {
                Next::Nothing => {
                    self.rest();
                    return Poll::Pending;
                }
                Next::Again => {}
                Next::End => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads, drives, writes; says whether anything was done.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        let read = self.poll_read(cx)?;
        let driven = self.drive(cx);
        let written = self.poll_write(cx)?;
        Ok(read || driven || written)
    }
}
