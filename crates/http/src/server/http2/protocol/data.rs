//! DATA frames as they come: piece by piece, so that no frame is ever held as a whole (section 6.1).

use super::frame::{self, Code, HEAD, Head};
use super::{Event, Protocol, Reading, Violation, frame_size_error, protocol_error};

/// The rest of a DATA frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data {
    /// The stream, if it still reads.
    stream: Option<u32>,
    left: usize,
    padding: usize,
    ends: bool,
}

impl Protocol {
    /// Takes the head of a DATA frame (section 6.1), and counts all of it (section 6.9.1).
    pub(super) fn begin_data<'a>(
        &mut self,
        head: &Head,
        payload: &'a [u8],
    ) -> Result<Option<(usize, Event<'a>)>, Violation> {
        if head.stream == 0 {
            return Err(protocol_error("DATA on stream 0"));
        }
        let padded = usize::from(head.has(frame::PADDED));
        let padding = match payload.first() {
            _ if padded == 0 => 0,
            _ if head.length == 0 => return Err(frame_size_error("DATA without its padding")),
            Some(padding) => usize::from(*padding),
            None => return Ok(None),
        };
        let Some(left) = head.length.checked_sub(padded + padding) else {
            return Err(protocol_error("more padding than payload"));
        };
        if !self.receiving.take(head.length) {
            return Err(Violation {
                code: Code::FlowControlError,
                why: "more DATA than the connection's window",
            });
        }
        let ends = head.has(frame::END_STREAM);
        if left == 0 && !ends {
            self.charge_abuse(1)?;
        }
        let mut rest = Data {
            stream: Some(head.stream),
            left,
            padding,
            ends,
        };
        let event = self.admit_data(head)?;
        if event != Event::None || self.streams.get(head.stream).is_none() {
            rest.stream = None;
            self.release_connection(head.length);
        } else {
            self.release(head.stream, padded + padding);
        }
        self.reading = Reading::Data(rest);
        Ok(Some((HEAD + padded, event)))
    }

    /// Whether a stream may carry this DATA; the event in its place, where not.
    fn admit_data(&mut self, head: &Head) -> Result<Event<'static>, Violation> {
        let Some(stream) = self.streams.get(head.stream) else {
            return self.on_absent(head.stream);
        };
        if stream.half_closed {
            self.stream_error(head.stream, Code::StreamClosed)
        } else if !stream.receiving.take(head.length) {
            self.stream_error(head.stream, Code::FlowControlError)
        } else {
            stream.half_closed = head.has(frame::END_STREAM);
            Ok(Event::None)
        }
    }

    /// Takes more of a DATA frame.
    pub(super) fn data<'a>(
        &mut self,
        mut data: Data,
        input: &'a [u8],
    ) -> Option<(usize, Event<'a>)> {
        let is_new = data.left > 0 || data.ends && data.stream.is_some();
        if is_new {
            let count = data.left.min(input.len());
            if count == 0 && data.left > 0 {
                return None;
            }
            data.left -= count;
            let ended = data.ends && data.left == 0;
            data.ends &= !ended;
            self.reading = Reading::Data(data);
            let event = match data.stream {
                Some(stream) => Event::Data {
                    stream,
                    data: &input[..count],
                    ended,
                },
                None => Event::None,
            };
            if data.left == 0 && data.padding == 0 {
                self.reading = Reading::Frame;
            }
            return Some((count, event));
        }
        let count = data.padding.min(input.len());
        data.padding -= count;
        self.reading = Reading::Data(data);
        if data.padding == 0 {
            self.reading = Reading::Frame;
        } else if count == 0 {
            return None;
        }
        Some((count, Event::None))
    }
}
