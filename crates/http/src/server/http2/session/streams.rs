//! Passing events to their streams, and driving each stream.

use std::rc::Rc;
use std::task::Context;

use super::{Farewell, Session, Stage};
use crate::server::application::Application;
use crate::server::hpack::FieldList;
use crate::server::http2::cycle::{Cycle, Turn};
use crate::server::http2::head;
use crate::server::http2::protocol::{Code, Event, Violation};

impl<A: Application> Session<A> {
    pub(super) fn on_event(
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
                    cycle.leave(&mut self.protocol);
                } else if let Some(place) = self.tunnel(stream) {
                    self.tunnels.remove(place).on_reset(&mut self.protocol);
                }
            }
            Event::Answer if self.stage == Stage::Leaving(Farewell::Asked) => self.part(),
            Event::Farewell if self.stage != Stage::Leaving(Farewell::Heard) => self.part(),
            Event::Answer | Event::Farewell => {}
        }
        Ok(())
    }

    fn tunnel(&self, stream: u32) -> Option<usize> {
        self.tunnels.iter().position(|it| it.stream == stream)
    }

    /// Gives each stream its turns until none has anything to move; says whether any had.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        if self.cycles.is_empty() && self.tunnels.is_empty() {
            return false;
        }
        let buffers = Rc::clone(&self.server.buffers);
        self.protocol.wire.lend(|| buffers.take());
        let mut any = false;
        while self.start_waiting() | self.drive_tunnels(cx) | self.drive_cycles(cx) {
            any = true;
        }
        if self.unsent.has_room_again() {
            let cycles = self.cycles.iter();
            cycles.for_each(|cycle| cycle.exchange.wake_senders());
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
