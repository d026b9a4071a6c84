//! HTTP/2's frames as a protocol value: bytes in, events out, and the bytes to write (RFC 9113).
//!
//! It does no I/O and knows neither requests nor responses, only their blocks of fields. What a
//! client can make it hold is bounded: open streams by the limit that it is told, the fields of a
//! block in size and in frames, everything else by its own size. Frames that cost work and carry no
//! request or data are charged to the client's abuse budget.

mod control;
mod data;
pub(in crate::server) mod frame;
mod heads;
mod sending;
mod streams;
mod wire;

#[cfg(test)]
mod tests;

use crate::server::hpack::{Decoder, FieldList};
use data::Data;
use frame::{HEAD, Head, MAX_PAYLOAD};
use heads::Block;
use streams::{Absent, Streams, Window};
use wire::Wire;

pub(super) use frame::Code;
pub(super) use wire::MAX_SLICES;

/// The first bytes of a client (section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The part of one request's body that a client may send before its application has taken any: 256 KiB is
/// 5 MB/s at a round trip of 50 ms. RFC 9113 begins with 64 KiB, Granian has 1 MiB.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all requests of a connection: what one client can make a worker hold.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// The initial size of windows (section 6.9.2).
const FIRST_WINDOW: u32 = 65_535;

/// The number of useless frames that are taken before [`Protocol::refill_abuse_budget`]: PING, SETTINGS,
/// PRIORITY, empty DATA, resets, tiny windows. Well-behaved clients send a few in a second.
const ABUSE_BUDGET: u32 = 1000;

/// One end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// The limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Streams that are open at once.
    pub(super) streams: u32,
    /// Bytes of a head's fields, counted as section 6.5.2 does.
    pub(super) head_size: usize,
    /// Extended CONNECT is understood (RFC 8441).
    pub(super) connect: bool,
}

/// The event that the read bytes make.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// Nothing that concerns the session.
    None,
    /// A stream was opened; its fields are in the list.
    Request {
        stream: u32,
        /// Nothing follows.
        ended: bool,
    },
    /// A piece of what a stream carries.
    Data {
        stream: u32,
        data: &'a [u8],
        ended: bool,
    },
    /// The last fields of a stream, which end it; they are in the list.
    Trailers { stream: u32 },
    /// The stream is no more.
    Reset { stream: u32 },
    /// The answer to [`Protocol::ask`].
    Answer,
    /// The client opens no more streams.
    Farewell,
}

/// A connection error (section 5.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) code: Code,
    pub(super) why: &'static str,
}

/// The part that is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// The preface.
    Preface,
    /// The SETTINGS that have to be the first frame.
    Settings,
    /// A frame's head.
    Frame,
    /// The rest of a DATA frame.
    Data(Data),
}

/// One connection, from the server's side.
#[derive(Debug)]
pub(super) struct Protocol {
    pub(super) wire: Wire,
    terms: Terms,
    reading: Reading,
    decoder: Decoder,
    streams: Streams,
    /// A head whose fields have not all come.
    block: Option<Box<Block>>,
    /// Bytes of DATA that the client takes on all streams.
    to_send: i64,
    receiving: Window,
    /// The initial size of the client's windows.
    initial_window: u32,
    abuse_budget: u32,
    /// A block of fields has been sent.
    has_sent_fields: bool,
    /// Streams behind this one are not looked at: the client has been told so.
    last_taken: u32,
}

impl Protocol {
    /// A new connection. Our preface is the first thing to be written.
    pub(super) fn new(terms: Terms) -> Self {
        let mut protocol = Self {
            wire: Wire::default(),
            terms,
            reading: Reading::Preface,
            decoder: Decoder::default(),
            streams: Streams::default(),
            block: None,
            to_send: i64::from(FIRST_WINDOW),
            receiving: Window::new(CONNECTION_WINDOW),
            initial_window: FIRST_WINDOW,
            abuse_budget: ABUSE_BUDGET,
            has_sent_fields: false,
            last_taken: frame::MAX_31,
        };
        protocol.introduce();
        protocol
    }

    /// Takes the beginning of `input`: says how much it was, which may be nothing, and what it
    /// brought; or that more is needed.
    ///
    /// # Errors
    /// The client breaks the protocol, or a limit. The connection ends with that.
    pub(super) fn advance<'a>(
        &mut self,
        input: &'a [u8],
        fields: &mut FieldList,
    ) -> Result<Option<(usize, Event<'a>)>, Violation> {
        match self.reading {
            Reading::Preface => self.preface(input),
            Reading::Data(data) => Ok(self.data(data, input)),
            Reading::Settings | Reading::Frame => self.frame(input, fields),
        }
    }

    /// Whether the client has said all that it has to begin with.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.reading, Reading::Preface | Reading::Settings)
    }

    /// Open streams.
    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether half of the abuse budget is spent, so that the time it took matters.
    pub(super) fn is_strained(&self) -> bool {
        self.abuse_budget < ABUSE_BUDGET / 2
    }

    /// Makes the abuse budget whole again, after a while.
    pub(super) fn refill_abuse_budget(&mut self) {
        self.abuse_budget = ABUSE_BUDGET;
    }

    /// Gives back what is not needed while nothing happens.
    pub(super) fn rest(&mut self) {
        self.streams.rest();
    }

    fn preface<'a>(&mut self, input: &'a [u8]) -> Result<Option<(usize, Event<'a>)>, Violation> {
        let seen = input.len().min(PREFACE.len());
        if input[..seen] != PREFACE[..seen] {
            return Err(protocol_error("no connection preface"));
        }
        if seen < PREFACE.len() {
            return Ok(None);
        }
        self.reading = Reading::Settings;
        Ok(Some((seen, Event::None)))
    }

    fn frame<'a>(
        &mut self,
        input: &'a [u8],
        fields: &mut FieldList,
    ) -> Result<Option<(usize, Event<'a>)>, Violation> {
        let Some(head) = input.first_chunk().map(Head::parse) else {
            return Ok(None);
        };
        self.check(&head)?;
        if head.kind == frame::DATA {
            return self.begin_data(&head, &input[HEAD..]);
        }
        let Some(payload) = input[HEAD..].get(..head.length) else {
            return Ok(None);
        };
        let event = self.take(&head, payload, fields)?;
        Ok(Some((HEAD + head.length, event)))
    }

    /// The checks for every frame.
    fn check(&self, head: &Head) -> Result<(), Violation> {
        if head.length > MAX_PAYLOAD {
            return Err(Violation {
                code: Code::FrameSizeError,
                why: "a frame is too large",
            });
        }
        if self.reading == Reading::Settings
            && (head.kind != frame::SETTINGS || head.has(frame::ACK))
        {
            return Err(protocol_error("the first frame is not SETTINGS"));
        }
        let goes_on = head.kind == frame::CONTINUATION;
        let expected = self.block.as_ref().map(|block| block.stream);
        match expected {
            // Section 6.10: nothing may come between the frames of a block.
            Some(stream) if !goes_on || head.stream != stream => {
                Err(protocol_error("a block of fields is interrupted"))
            }
            None if goes_on => Err(protocol_error("CONTINUATION without HEADERS")),
            _ => Ok(()),
        }
    }

    /// Takes a whole frame other than DATA.
    fn take(
        &mut self,
        head: &Head,
        payload: &[u8],
        fields: &mut FieldList,
    ) -> Result<Event<'static>, Violation> {
        match head.kind {
            frame::HEADERS => self.on_headers(head, payload, fields),
            frame::CONTINUATION => self.on_continuation(head, payload, fields),
            frame::SETTINGS => self.on_settings(head, payload),
            frame::PING => self.on_ping(head, payload),
            frame::WINDOW_UPDATE => self.on_window_update(head, payload),
            frame::RST_STREAM => self.on_reset(head, payload),
            frame::PRIORITY => self.on_priority(head, payload),
            frame::GOAWAY => self.on_goaway(head, payload),
            frame::PUSH_PROMISE => Err(protocol_error("PUSH_PROMISE from a client")),
            // Section 5.5: what is not known is ignored.
            _ => self.charge_abuse(1).map(|()| Event::None),
        }
    }

    /// A frame has come on a stream that is not open (section 5.1).
    fn on_absent(&mut self, id: u32) -> Result<Event<'static>, Violation> {
        match self.streams.absent(id) {
            // It was on its way; or it is behind what we have said that we take.
            Absent::Reset(Role::Server) => self.charge_abuse(1).map(|()| Event::None),
            Absent::Idle if id > self.last_taken => Ok(Event::None),
            Absent::Reset(Role::Client) => self.stream_error(id, Code::StreamClosed),
            Absent::Idle | Absent::Skipped => Err(protocol_error("a frame on an idle stream")),
            Absent::Closed => Err(Violation {
                code: Code::StreamClosed,
                why: "a frame on a closed stream",
            }),
        }
    }

    /// A stream error (section 5.4.2).
    fn stream_error(&mut self, id: u32, code: Code) -> Result<Event<'static>, Violation> {
        self.charge_abuse(2)?;
        self.reset(id, code);
        Ok(Event::Reset { stream: id })
    }

    /// Charges a useless frame to the abuse budget.
    fn charge_abuse(&mut self, cost: u32) -> Result<(), Violation> {
        let left = self.abuse_budget.checked_sub(cost);
        self.abuse_budget = left.ok_or(Violation {
            code: Code::EnhanceYourCalm,
            why: "too many frames that bring nothing",
        })?;
        Ok(())
    }
}

fn protocol_error(why: &'static str) -> Violation {
    Violation {
        code: Code::ProtocolError,
        why,
    }
}

fn frame_size_error(why: &'static str) -> Violation {
    Violation {
        code: Code::FrameSizeError,
        why,
    }
}
