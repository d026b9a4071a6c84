//! One connection's task: bytes in, streams driven, bytes out, until the end.

mod time;

use std::cell::RefCell;
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::cycle::{Cycle, Turn};
use super::head;
use super::hpack::FieldList;
use super::protocol::{Code, Event, MAX_SLICES, Protocol, Terms, Violation};
use super::tunnel::Tunnel;
use crate::worker::application::{Application, Peers};
use crate::worker::server::Server;
use crate::worker::server::connection::Resting;
use crate::worker::server::connections::{Answered, Entry};
use crate::worker::server::stream::Stream;
use time::Next;

/// Answers that wait to be written beyond which nothing is read: a client that asks has to listen.
const UNWRITTEN: usize = 128 * 1024;

/// So often a connection may read and write before others have a turn.
const TURNS: usize = 4;

/// A client's patience with us is the other way round: what it tries ours with is forgotten after
/// this time.
const CALM: Duration = Duration::from_secs(1);

/// The least room that is worth reading into.
const LEAST_ROOM: usize = 4096;

thread_local! {
    /// The fields of the block that is being looked at.
    static FIELDS: RefCell<FieldList> = RefCell::default();
}

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

    // ---- bytes ------------------------------------------------------------------------------

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        if self.stage == Stage::Ending || self.protocol.wire.len() >= UNWRITTEN {
            return Ok(false);
        }
        if self.is_unread {
            self.take_frames(cx);
            return Ok(true);
        }
        if self.input.capacity() - self.input.len() < LEAST_ROOM {
            let mut buffer = self.server.buffers.take();
            buffer.extend_from_slice(&self.input);
            buffer.reserve(LEAST_ROOM);
            self.input = buffer;
        }
        let room = self.input.capacity() - self.input.len();
        match self.stream.poll_read(cx, &mut self.input, room) {
            Poll::Ready(Ok(0) | Err(_)) => Err(Gone),
            Poll::Ready(Ok(_)) => {
                self.take_frames(cx);
                Ok(true)
            }
            Poll::Pending => {
                // A client that takes its time has what it has sent, and no more.
                let rest = Vec::from(&self.input[..]);
                let buffer = std::mem::replace(&mut self.input, rest);
                self.server.buffers.give(buffer);
                Ok(false)
            }
        }
    }

    /// Takes the frames of the input, as long as there is room for answers.
    fn take_frames(&mut self, cx: &mut Context<'_>) {
        let buffers = Rc::clone(&self.server.buffers);
        self.protocol.wire.lend(|| buffers.take());
        let mut input = std::mem::take(&mut self.input);
        let mut fields = FIELDS.take();
        let mut used = 0;
        self.is_unread = false;
        let end = loop {
            if self.protocol.wire.len() >= UNWRITTEN {
                self.is_unread = true;
                break Ok(());
            }
            match self.protocol.advance(&input[used..], &mut fields) {
                Ok(None) => break Ok(()),
                Ok(Some((consumed, event))) => {
                    used += consumed;
                    if let Err(violation) = self.on_event(cx, &event, &fields) {
                        break Err(violation);
                    }
                }
                Err(violation) => break Err(violation),
            }
        };
        FIELDS.set(fields);
        input.drain(..used);
        self.input = input;
        if let Err(violation) = end {
            self.fail(violation);
        } else if self.protocol.is_strained() && self.calmed.elapsed() >= CALM {
            self.protocol.calm_down();
            self.calmed = Instant::now();
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        let wire = &mut self.protocol.wire;
        let mut wrote = false;
        while !wire.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = wire.slices(&mut slices);
            match self.stream.poll_write(cx, &slices[..count]) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Gone),
                Poll::Ready(Ok(n)) => wire.advance(n),
                Poll::Pending => return Ok(wrote),
            }
            wrote = true;
        }
        if let Some(buffer) = wire.unused_buffer() {
            self.server.buffers.give(buffer);
        }
        Ok(wrote)
    }

    // ---- streams ----------------------------------------------------------------------------

    fn on_event(
        &mut self,
        cx: &mut Context<'_>,
        event: &Event<'_>,
        fields: &FieldList,
    ) -> Result<(), Violation> {
        match *event {
            Event::None => {}
            Event::Request { stream, ended } => self.start(cx, stream, ended, fields)?,
            Event::Data {
                stream,
                data,
                ended,
            } => {
                if let Some(cycle) = find(&mut self.cycles, stream) {
                    cycle.on_data(data, ended, &mut self.protocol);
                } else if let Some(place) = self.tunnel(stream) {
                    self.tunnels[place].on_data(data, ended);
                } else {
                    self.protocol.release(stream, data.len());
                }
            }
            Event::Trailers { stream } => {
                let are_legal = head::are_trailers(fields);
                if let Some(cycle) = find(&mut self.cycles, stream) {
                    cycle.on_trailers(are_legal, &mut self.protocol);
                } else if let Some(place) = self.tunnel(stream) {
                    // Section 8.5: a tunnel carries nothing but DATA.
                    self.protocol.reset(stream, Code::ProtocolError);
                    self.tunnels.remove(place).on_reset(&mut self.protocol);
                }
            }
            Event::Reset { stream } => {
                if let Some(cycle) = find(&mut self.cycles, stream) {
                    cycle.abandon(&mut self.protocol);
                } else if let Some(place) = self.tunnel(stream) {
                    self.tunnels.remove(place).on_reset(&mut self.protocol);
                }
            }
            Event::Answer if self.stage == (Stage::Leaving { heard: false }) => self.part(),
            Event::Farewell if self.stage != (Stage::Leaving { heard: true }) => self.part(),
            Event::Answer | Event::Farewell => {}
        }
        Ok(())
    }

    fn tunnel(&self, stream: u32) -> Option<usize> {
        self.tunnels.iter().position(|it| it.stream == stream)
    }

    /// Gives each stream its turns until none has anything to move; says whether any had.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        if self.cycles.is_empty() && self.tunnels.is_empty() {
            return false;
        }
        let buffers = Rc::clone(&self.server.buffers);
        self.protocol.wire.lend(|| buffers.take());
        let mut any = false;
        while self.drive_tunnels(cx) | self.drive_cycles(cx) {
            any = true;
        }
        any
    }

    fn drive_cycles(&mut self, cx: &mut Context<'_>) -> bool {
        let count = self.cycles.len();
        let (mut moved, mut over) = (false, false);
        // Where there is not room for all, the one behind the last that moved is the next.
        let first = self.next_cycle;
        for place in (0..count).map(|step| (first + step) % count) {
            let turn = self.cycles[place].poll(cx, &mut self.protocol);
            if turn == Turn::Upgraded {
                let opening = self.cycles[place].take_opening(&mut self.protocol);
                self.upgrade(cx, opening);
            }
            if turn != Turn::Idle {
                moved = true;
                self.next_cycle = place + 1;
            }
            over |= matches!(turn, Turn::Upgraded | Turn::Done);
        }
        if over {
            self.cycles.retain(|cycle| !cycle.is_over());
        }
        moved
    }

    fn drive_tunnels(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        let protocol = &mut self.protocol;
        self.tunnels.retain(|tunnel| {
            let moved = tunnel.poll(cx, protocol);
            any |= moved != Some(false);
            if moved.is_some() && tunnel.is_over() {
                protocol.finish(tunnel.stream);
                any = true;
                return false;
            }
            moved.is_some()
        });
        any
    }
}

/// The cycle of a stream.
fn find<A: Application>(cycles: &mut [Cycle<A>], stream: u32) -> Option<&mut Cycle<A>> {
    let place = cycles.binary_search_by_key(&stream, |cycle| cycle.stream);
    place.ok().and_then(|place| cycles.get_mut(place))
}
