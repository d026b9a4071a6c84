//! Reading frame by frame, and writing the frames that answer.

use std::cell::RefCell;
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{Gone, Session, Stage};
use crate::server::application::Application;
use crate::server::hpack::FieldList;
use crate::server::http2::protocol::MAX_SLICES;

/// Answers that wait to be written beyond which nothing is read: a client that asks has to listen.
const UNWRITTEN: usize = 128 * 1024;

/// The abuse budget of a client is whole again after this time.
const CALM: Duration = Duration::from_secs(1);

/// The least room that is worth reading into.
const LEAST_ROOM: usize = 4096;

thread_local! {
    /// The fields of the block that is being looked at.
    static FIELDS: RefCell<FieldList> = RefCell::default();
}

impl<A: Application> Session<A> {
    /// Reads what there is; says whether there may be whole frames.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        if self.stage == Stage::Ending || self.protocol.wire.len() >= UNWRITTEN {
            return Ok(false);
        }
        if self.is_unread {
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
                self.is_unread = true;
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
    pub(super) fn take_frames(&mut self, cx: &mut Context<'_>) {
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
            self.protocol.refill_abuse_budget();
            self.calmed = Instant::now();
        }
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        let wire = &mut self.protocol.wire;
        let mut wrote = false;
        while !wire.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = wire.slices(&mut slices);
            match self.stream.poll_write(cx, &slices[..count]) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Gone),
                Poll::Ready(Ok(n)) => wire.advance(n),
                Poll::Pending => {
                    self.entry.set_stalled(true);
                    return Ok(wrote);
                }
            }
            self.entry.set_stalled(false);
            wrote = true;
        }
        if let Some(buffer) = wire.unused_buffer() {
            self.server.buffers.give(buffer);
        }
        Ok(wrote)
    }
}
