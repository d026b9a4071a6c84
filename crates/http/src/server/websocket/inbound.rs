//! From a client's bytes to its messages: frames joined, inflated and checked.
//!
//! Takes every byte that it is given, so that no read buffer is held between two of them.

use super::deflate::Inflater;
use super::frame::{self, Head, MAX_HEAD, Opcode, TOO_BIG, Violation};
use crate::asgi::websocket::Close;

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub enum Data {
    /// A text; its bytes are UTF-8.
    Text(Vec<u8>),
    /// Bytes.
    Binary(Vec<u8>),
}

impl Data {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) => bytes.len(),
        }
    }
}

/// A whole message or control frame of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Message(Data),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Close),
}

/// The incomplete part of the protocol that has arrived.
#[derive(Debug)]
pub(super) struct Inbound {
    /// The longest message in bytes, after it is inflated.
    max_size: usize,
    /// permessage-deflate was negotiated.
    deflate: bool,
    /// The head that is arriving.
    head: [u8; MAX_HEAD],
    head_length: u8,
    /// The frame whose payload is arriving, between two reads. Boxed: most arrive in one.
    frame: Option<Box<Frame>>,
    /// The message that its frames make.
    message: Option<Box<Partial>>,
}

#[derive(Debug)]
struct Frame {
    head: Head,
    /// Bytes of the payload that have arrived.
    arrived: u64,
    /// They themselves, if it is a control frame, which may come within a message.
    control: Vec<u8>,
}

/// A message that is arriving.
#[derive(Debug)]
struct Partial {
    text: bool,
    data: Vec<u8>,
    /// So much of `data` is known to be UTF-8.
    checked: usize,
    inflater: Option<Inflater>,
}

impl Inbound {
    pub(super) fn new(max_size: usize, deflate: bool) -> Self {
        Self {
            max_size,
            deflate,
            head: [0; MAX_HEAD],
            head_length: 0,
            frame: None,
            message: None,
        }
    }

    /// Takes `input` up to the end of the next event; says how much that was.
    pub(super) fn advance(&mut self, input: &[u8]) -> Result<(usize, Option<Event>), Violation> {
        let mut consumed = 0;
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => *frame,
                None => match self.read_head(&input[consumed..])? {
                    (taken, Some(frame)) => {
                        consumed += taken;
                        frame
                    }
                    (taken, None) => return Ok((consumed + taken, None)),
                },
            };
            let left = frame.head.length - frame.arrived;
            let here = &input[consumed..];
            let here = &here[..here.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            self.payload(&mut frame, here)?;
            consumed += here.len();
            if (here.len() as u64) < left {
                self.frame = Some(Box::new(frame));
                return Ok((consumed, None));
            }
            if let Some(event) = self.end(frame)? {
                return Ok((consumed, Some(event)));
            }
        }
    }

    /// Reads on in a head; says how much of `input` belongs to it.
    fn read_head(&mut self, input: &[u8]) -> Result<(usize, Option<Frame>), Violation> {
        let before = usize::from(self.head_length);
        let taken = input.len().min(MAX_HEAD - before);
        self.head[before..before + taken].copy_from_slice(&input[..taken]);
        let Some((head, length)) = Head::read(&self.head[..before + taken], self.deflate)? else {
            self.head_length += taken as u8;
            return Ok((taken, None));
        };
        self.head_length = 0;
        self.begin(&head)?;
        let frame = Frame {
            head,
            arrived: 0,
            control: Vec::new(),
        };
        Ok((length - before, Some(frame)))
    }

    /// RFC 6455 section 5.4: which frame may follow which.
    fn begin(&mut self, head: &Head) -> Result<(), Violation> {
        if head.opcode.is_control() {
            return Ok(());
        }
        match (&self.message, head.opcode) {
            (None, Opcode::Continuation) => {
                return Err(Violation::protocol("a continuation of nothing"));
            }
            (Some(_), Opcode::Continuation) if head.compressed => {
                return Err(Violation::protocol("a reserved bit is set"));
            }
            (Some(_), Opcode::Continuation) => {}
            (Some(_), _) => {
                return Err(Violation::protocol(
                    "a message begins within another's fragments",
                ));
            }
            (None, opcode) => {
                self.message = Some(Box::new(Partial {
                    text: opcode == Opcode::Text,
                    data: Vec::new(),
                    checked: 0,
                    inflater: head.compressed.then(Inflater::take),
                }));
            }
        }
        let plain = self.message.as_ref().filter(|m| m.inflater.is_none());
        if let Some(message) = plain
            && message.data.len() as u64 + head.length > self.max_size as u64
        {
            return Err(TOO_BIG);
        }
        Ok(())
    }

    fn payload(&mut self, frame: &mut Frame, payload: &[u8]) -> Result<(), Violation> {
        // Below 4 the place in the mask is all that matters.
        let offset = (frame.arrived % 4) as usize;
        frame.arrived += payload.len() as u64;
        if frame.head.opcode.is_control() {
            frame::unmask(&mut frame.control, payload, frame.head.mask, offset);
            return Ok(());
        }
        let Some(message) = &mut self.message else {
            return Ok(());
        };
        match &mut message.inflater {
            None => frame::unmask(&mut message.data, payload, frame.head.mask, offset),
            Some(inflater) => {
                let mut compressed = Vec::with_capacity(payload.len());
                frame::unmask(&mut compressed, payload, frame.head.mask, offset);
                inflater.inflate(&compressed, &mut message.data, self.max_size)?;
            }
        }
        message.check_text(false)
    }

    /// A frame is whole.
    fn end(&mut self, Frame { head, control, .. }: Frame) -> Result<Option<Event>, Violation> {
        if head.opcode.is_control() {
            let payload = control;
            return Ok(Some(match head.opcode {
                Opcode::Ping => Event::Ping(payload),
                Opcode::Pong => Event::Pong(payload),
                _ => Event::Close(frame::read_close(&payload)?),
            }));
        }
        if !head.last {
            return Ok(None);
        }
        let Some(mut message) = self.message.take() else {
            return Ok(None);
        };
        if let Some(mut inflater) = message.inflater.take() {
            inflater.finish(&mut message.data, self.max_size)?;
            inflater.give_back();
        }
        message.check_text(true)?;
        let Partial { text, data, .. } = *message;
        Ok(Some(Event::Message(if text {
            Data::Text(data)
        } else {
            Data::Binary(data)
        })))
    }
}

impl Partial {
    /// Section 8.1: a text that is not UTF-8 is refused as soon as that is known.
    fn check_text(&mut self, whole: bool) -> Result<(), Violation> {
        const INVALID: Violation = Violation {
            code: Close::INVALID_DATA,
            reason: "a text is not UTF-8",
        };
        if !self.text {
            return Ok(());
        }
        match std::str::from_utf8(&self.data[self.checked..]) {
            Ok(_) => self.checked = self.data.len(),
            Err(error) if error.error_len().is_none() && !whole => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(INVALID),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        let mask = [7, 77, 177, 250];
        frame.extend_from_slice(&mask);
        frame::unmask(&mut frame, payload, mask, 0);
        frame
    }

    /// Everything that is said, fed `step` bytes at a time.
    fn said(inbound: &mut Inbound, bytes: &[u8], step: usize) -> Result<Vec<Event>, Violation> {
        let mut events = Vec::new();
        for piece in bytes.chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (consumed, event) = inbound.advance(rest)?;
                rest = &rest[consumed..];
                events.extend(event);
            }
        }
        Ok(events)
    }

    fn plain() -> Inbound {
        Inbound::new(1000, false)
    }

    fn text(text: &str) -> Event {
        Event::Message(Data::Text(text.as_bytes().to_vec()))
    }

    #[test]
    fn fragments_make_one_message_and_control_frames_may_come_between() {
        let bytes = [
            masked(0x01, "grüß".as_bytes()),
            masked(0x89, b"still there?"),
            masked(0x00, b""),
            masked(0x80, b"e"),
            masked(0x82, &[0xFF; 300]),
            masked(0x88, b"\x03\xe8bye"),
        ]
        .concat();
        for step in 1..bytes.len() {
            let said = said(&mut plain(), &bytes, step).unwrap();
            assert_eq!(
                said,
                [
                    Event::Ping(b"still there?".to_vec()),
                    text("grüße"),
                    Event::Message(Data::Binary(vec![0xFF; 300])),
                    Event::Close(Close {
                        code: 1000,
                        reason: "bye".to_owned()
                    }),
                ]
            );
        }
    }

    #[test]
    fn fragments_out_of_order_break_the_protocol() {
        for bytes in [
            masked(0x80, b"x"),
            [masked(0x01, b"x"), masked(0x81, b"y")].concat(),
        ] {
            assert_eq!(said(&mut plain(), &bytes, 99).unwrap_err().code, 1002);
        }
    }

    #[test]
    fn a_text_that_is_not_utf8_is_refused_before_it_is_whole() {
        let split = [masked(0x01, b"\xce"), masked(0x80, b"\xba")].concat();
        assert_eq!(said(&mut plain(), &split, 1).unwrap(), [text("κ")]);
        let broken = masked(0x01, b"ab\xed\xa0\x80c");
        let cut = &broken[..broken.len() - 1];
        assert_eq!(said(&mut plain(), cut, 1).unwrap_err().code, 1007);
        let unfinished = masked(0x81, b"ab\xce");
        assert_eq!(said(&mut plain(), &unfinished, 1).unwrap_err().code, 1007);
    }

    #[test]
    fn a_message_over_the_limit_is_refused_at_its_head() {
        let mut bytes = [masked(0x02, &[0; 600]), masked(0x80, &[0; 401])].concat();
        bytes.truncate(bytes.len() - 401);
        assert_eq!(said(&mut plain(), &bytes, 50).unwrap_err().code, 1009);
        let whole = [masked(0x02, &[0; 600]), masked(0x80, &[0; 400])].concat();
        assert_eq!(said(&mut plain(), &whole, 50).unwrap().len(), 1);
    }

    #[test]
    fn compressed_messages_are_inflated() {
        // RFC 7692 section 7.2.3: "Hello" whole, in fragments, and with a final block.
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        let bytes = [
            masked(0xC1, &hello),
            masked(0x41, &hello[..3]),
            masked(0x80, &hello[3..]),
            masked(0xC1, &last),
            masked(0x81, b"Hello"),
        ]
        .concat();
        for step in 1..bytes.len() {
            let mut inbound = Inbound::new(1000, true);
            let said = said(&mut inbound, &bytes, step).unwrap();
            assert_eq!(
                said,
                [text("Hello"), text("Hello"), text("Hello"), text("Hello")]
            );
        }
        let nonsense = masked(0xC1, &[0xFF; 20]);
        let mut inbound = Inbound::new(1000, true);
        assert_eq!(said(&mut inbound, &nonsense, 99).unwrap_err().code, 1007);
    }
}
