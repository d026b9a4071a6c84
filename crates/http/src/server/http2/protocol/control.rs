//! Frames about the connection, its windows and its end (RFC 9113 section 6).

use super::frame::{self, Head, MAX_31, MAX_PAYLOAD};
use super::sending::QUESTION;
use super::streams::Absent;
use super::{Code, Event, Protocol, Reading, Violation, frame_size_error, protocol_error};

/// A window that is opened by less than so many bytes makes more work than it takes.
const WORTH_AN_UPDATE: usize = 256;

const FLOW_CONTROL: Violation = Violation {
    code: Code::FlowControlError,
    why: "a window is larger than 2^31-1",
};

impl Protocol {
    /// Section 6.5.
    pub(super) fn on_settings(
        &mut self,
        head: &Head,
        payload: &[u8],
    ) -> Result<Event<'static>, Violation> {
        if head.stream != 0 {
            return Err(protocol_error("SETTINGS on a stream"));
        }
        if head.has(frame::ACK) {
            if !payload.is_empty() {
                return Err(frame_size_error("an acknowledgement of SETTINGS is empty"));
            }
            return self.charge_abuse(1).map(|()| Event::None);
        }
        let (settings, []) = payload.as_chunks::<6>() else {
            return Err(frame_size_error("SETTINGS has 6 bytes each"));
        };
        for [a, b, value @ ..] in settings {
            self.set(u16::from_be_bytes([*a, *b]), u32::from_be_bytes(*value))?;
        }
        if self.reading == Reading::Settings {
            self.reading = Reading::Frame;
        } else {
            self.charge_abuse(1)?;
        }
        self.wire.frame(frame::SETTINGS, frame::ACK, 0, &[]);
        Ok(Event::None)
    }

    fn set(&mut self, setting: u16, value: u32) -> Result<(), Violation> {
        match setting {
            frame::ENABLE_PUSH | frame::ENABLE_CONNECT_PROTOCOL if value > 1 => {
                Err(protocol_error("a setting is neither 0 nor 1"))
            }
            frame::INITIAL_WINDOW_SIZE if value > MAX_31 => Err(FLOW_CONTROL),
            frame::INITIAL_WINDOW_SIZE => self.set_initial_window(value),
            // Ours are never larger than the least that a client may allow.
            frame::MAX_FRAME_SIZE if !(MAX_PAYLOAD as u32..1 << 24).contains(&value) => {
                Err(protocol_error("SETTINGS_MAX_FRAME_SIZE is out of range"))
            }
            _ => Ok(()),
        }
    }

    /// Section 6.9.2: what is open changes by the difference.
    fn set_initial_window(&mut self, value: u32) -> Result<(), Violation> {
        let difference = i64::from(value) - i64::from(self.initial_window);
        self.initial_window = value;
        for stream in self.streams.iter_mut() {
            stream.to_send += difference;
            if stream.to_send > i64::from(MAX_31) {
                return Err(FLOW_CONTROL);
            }
        }
        Ok(())
    }

    /// Section 6.7.
    pub(super) fn on_ping(
        &mut self,
        head: &Head,
        payload: &[u8],
    ) -> Result<Event<'static>, Violation> {
        if head.stream != 0 {
            return Err(protocol_error("PING on a stream"));
        }
        if payload.len() != 8 {
            return Err(frame_size_error("PING has 8 bytes"));
        }
        self.charge_abuse(1)?;
        if !head.has(frame::ACK) {
            self.wire.frame(frame::PING, frame::ACK, 0, payload);
        } else if payload == QUESTION {
            return Ok(Event::Answer);
        }
        Ok(Event::None)
    }

    /// Section 6.9.
    pub(super) fn on_window_update(
        &mut self,
        head: &Head,
        payload: &[u8],
    ) -> Result<Event<'static>, Violation> {
        if payload.len() != 4 {
            return Err(frame_size_error("WINDOW_UPDATE has 4 bytes"));
        }
        let increment = frame::number(payload) & MAX_31;
        self.charge_abuse(1)?;
        if head.stream == 0 {
            if increment == 0 {
                return Err(protocol_error("an increment of 0"));
            }
            self.to_send += i64::from(increment);
            return match self.to_send {
                too_large if too_large > i64::from(MAX_31) => Err(FLOW_CONTROL),
                _ => Ok(Event::None),
            };
        }
        let Some(stream) = self.streams.get(head.stream) else {
            // It may have crossed our last frame.
            return match self.streams.absent(head.stream) {
                Absent::Idle if head.stream <= self.last_taken => {
                    Err(protocol_error("WINDOW_UPDATE on an idle stream"))
                }
                Absent::Skipped => Err(protocol_error("WINDOW_UPDATE on an idle stream")),
                _ => Ok(Event::None),
            };
        };
        stream.to_send += i64::from(increment);
        if increment == 0 {
            self.stream_error(head.stream, Code::ProtocolError)
        } else if stream.to_send > i64::from(MAX_31) {
            self.stream_error(head.stream, Code::FlowControlError)
        } else {
            Ok(Event::None)
        }
    }

    /// Sent DATA earns abuse budget back, as the client may answer each frame with updates of the stream's and
    /// the connection's windows; not where the client's own windows make the frames tiny.
    pub(super) fn earn(&mut self, bytes: usize, windows: i64) {
        if bytes >= WORTH_AN_UPDATE || windows > 0 {
            let updates = 2 * (1 + bytes / WORTH_AN_UPDATE) as u32;
            let budget = self.abuse_budget.saturating_add(updates);
            self.abuse_budget = budget.min(super::ABUSE_BUDGET);
        }
    }

    /// Section 6.3. Priorities are ignored, as section 5.3.2 lets us.
    pub(super) fn on_priority(
        &mut self,
        head: &Head,
        payload: &[u8],
    ) -> Result<Event<'static>, Violation> {
        if head.stream == 0 {
            return Err(protocol_error("PRIORITY on stream 0"));
        }
        let is_open = self.streams.get(head.stream).is_some();
        let error = match payload.len() {
            5 if frame::number(payload) & MAX_31 != head.stream => {
                return self.charge_abuse(1).map(|()| Event::None);
            }
            // RFC 7540 section 5.3.1: a stream does not depend on itself.
            5 => Code::ProtocolError,
            _ => Code::FrameSizeError,
        };
        if is_open {
            return self.stream_error(head.stream, error);
        }
        // A stream that is not open can't be reset.
        Err(Violation {
            code: error,
            why: "a malformed PRIORITY",
        })
    }

    /// Section 6.8. The client opens no more streams, and pushes are never sent.
    pub(super) fn on_goaway(
        &mut self,
        head: &Head,
        payload: &[u8],
    ) -> Result<Event<'static>, Violation> {
        if head.stream != 0 {
            return Err(protocol_error("GOAWAY on a stream"));
        }
        if payload.len() < 8 {
            return Err(frame_size_error("GOAWAY has 8 bytes at least"));
        }
        Ok(Event::Farewell)
    }
}
