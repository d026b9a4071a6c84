//! Frames on the wire (RFC 6455 section 5).

use crate::asgi::websocket::{Close, is_legal_code};

/// The longest head of a frame from a client: two bytes, eight of length, four of mask.
pub(super) const MAX_HEAD: usize = 14;

/// The longest payload of a control frame (section 5.5).
const MAX_CONTROL: usize = 125;

/// The kind of a frame (section 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn read(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    pub(super) fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}

/// A client broke the protocol, or a limit: the close frame that tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

impl Violation {
    pub(super) fn protocol(reason: &'static str) -> Self {
        Self {
            code: Close::PROTOCOL_ERROR,
            reason,
        }
    }

    pub(super) fn invalid(reason: &'static str) -> Self {
        Self {
            code: Close::INVALID_DATA,
            reason,
        }
    }
}

/// The head of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) last: bool,
    /// RSV1, which permessage-deflate uses (RFC 7692 section 6).
    pub(super) compressed: bool,
    pub(super) opcode: Opcode,
    pub(super) length: u64,
    pub(super) mask: [u8; 4],
}

impl Head {
    /// Reads a head from the start of `bytes`; says how long it is, or nothing if it is not whole.
    /// RSV1 is only let through where an extension may have given it a meaning.
    pub(super) fn read(bytes: &[u8], extended: bool) -> Result<Option<(Self, usize)>, Violation> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        let opcode = Opcode::read(first & 0x0F).ok_or(Violation::protocol("unknown opcode"))?;
        let last = first & 0x80 != 0;
        let compressed = first & 0x40 != 0;
        if first & 0x30 != 0 || compressed && !extended {
            return Err(Violation::protocol("a reserved bit is set"));
        }
        // Section 5.1: a client masks everything.
        if second & 0x80 == 0 {
            return Err(Violation::protocol("a frame is not masked"));
        }
        let short = second & 0x7F;
        if opcode.is_control() && (!last || usize::from(short) > MAX_CONTROL || compressed) {
            return Err(Violation::protocol(
                "a control frame is fragmented, too long or compressed",
            ));
        }
        let Some((length, rest)) = read_length(short, rest)? else {
            return Ok(None);
        };
        let Some((mask, rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        let head = Self {
            last,
            compressed,
            opcode,
            length,
            mask: *mask,
        };
        Ok(Some((head, bytes.len() - rest.len())))
    }
}

/// A payload's length, and what is behind it. Section 5.2: in the shortest form, and the most
/// significant bit is 0.
fn read_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (length, least, rest) = match short {
        126 => match rest.split_first_chunk() {
            Some((bytes, rest)) => (u64::from(u16::from_be_bytes(*bytes)), 126, rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((bytes, rest)) => (u64::from_be_bytes(*bytes), 0x1_0000, rest),
            None => return Ok(None),
        },
        length => (u64::from(length), 0, rest),
    };
    if length < least || length >> 63 != 0 {
        return Err(Violation::protocol("a malformed length"));
    }
    Ok(Some((length, rest)))
}

/// Appends `payload` to `target`, unmasked; `offset` is its place in the frame.
pub(super) fn unmask(target: &mut Vec<u8>, payload: &[u8], mask: [u8; 4], offset: usize) {
    let mut mask = mask;
    mask.rotate_left(offset % 4);
    let start = target.len();
    target.extend_from_slice(payload);
    let wide = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let (words, tail) = target[start..].as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    for (byte, mask) in tail.iter_mut().skip(4).zip(mask) {
        *byte ^= mask;
    }
}

/// Appends the head of a frame of ours: whole, and not masked (section 5.1).
pub(super) fn write_head(out: &mut Vec<u8>, opcode: Opcode, compressed: bool, length: usize) {
    out.push(0x80 | if compressed { 0x40 } else { 0 } | opcode.bits());
    match length {
        0..=125 => out.push(length as u8),
        126..=0xFFFF => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// A whole control frame.
pub(super) fn control(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    debug_assert!(opcode.is_control() && payload.len() <= MAX_CONTROL);
    let mut frame = Vec::with_capacity(2 + payload.len());
    write_head(&mut frame, opcode, false, payload.len());
    frame.extend_from_slice(payload);
    frame
}

/// A close frame; one for [`Close::NO_CODE`] is empty.
pub(super) fn close(close: &Close) -> Vec<u8> {
    let mut payload = Vec::with_capacity(2 + close.reason.len());
    if close.code != Close::NO_CODE {
        payload.extend_from_slice(&close.code.to_be_bytes());
        payload.extend_from_slice(close.reason.as_bytes());
    }
    control(Opcode::Close, &payload)
}

/// The code and the reason of a client's close frame (section 5.5.1).
pub(super) fn read_close(payload: &[u8]) -> Result<Close, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(Close::code(Close::NO_CODE)),
        [_] => return Err(Violation::protocol("a close code of one byte")),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !is_legal_code(code) {
        return Err(Violation::protocol("a close code that may not be sent"));
    }
    let reason = std::str::from_utf8(reason)
        .map_err(|_| Violation::invalid("a close reason is not UTF-8"))?;
    Ok(Close {
        code,
        reason: reason.to_owned(),
    })
}

/// A message is larger than the limit.
pub(super) const TOO_BIG: Violation = Violation {
    code: Close::TOO_BIG,
    reason: "a message is too big",
};

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn read(bytes: &[u8]) -> Result<Option<(Head, usize)>, Violation> {
        Head::read(bytes, false)
    }

    fn refused(bytes: &[u8]) -> &'static str {
        read(bytes).expect_err("it breaks the protocol").reason
    }

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let frame = [&[0x81, 0xFE, 0x01, 0x00][..], &MASK].concat();
        for cut in 0..frame.len() {
            assert_eq!(read(&frame[..cut]), Ok(None));
        }
        let (head, length) = read(&frame).unwrap().unwrap();
        assert_eq!((head.length, length, head.mask), (256, 8, MASK));
        assert!(head.last && head.opcode == Opcode::Text);
    }

    #[test]
    fn lengths_have_one_form() {
        let long = |length: u64| [&[0x82, 0xFF][..], &length.to_be_bytes(), &MASK].concat();
        assert_eq!(read(&long(65_536)).unwrap().unwrap().0.length, 65_536);
        assert_eq!(refused(&long(65_535)), "a malformed length");
        assert_eq!(refused(&long(1 << 63)), "a malformed length");
        let medium = [&[0x82, 0xFE, 0, 125][..], &MASK].concat();
        assert_eq!(refused(&medium), "a malformed length");
    }

    #[test]
    fn what_the_rfc_forbids_is_refused_at_the_first_two_bytes() {
        for (bytes, why) in [
            ([0x83, 0x80], "unknown opcode"),
            ([0x8B, 0x80], "unknown opcode"),
            ([0xC1, 0x80], "a reserved bit is set"),
            ([0xA1, 0x80], "a reserved bit is set"),
            ([0x81, 0x05], "a frame is not masked"),
        ] {
            assert_eq!(refused(&bytes), why);
        }
        for bytes in [[0x09, 0x80], [0x89, 0xFE]] {
            assert!(refused(&bytes).starts_with("a control frame"));
        }
        assert!(Head::read(&[0xC9, 0x80], true).is_err());
        assert_eq!(Head::read(&[0xC1, 0x80], true), Ok(None));
    }

    #[test]
    fn payloads_are_unmasked_piece_by_piece() {
        let plain: Vec<u8> = (0..=255).collect();
        let mut masked = Vec::new();
        unmask(&mut masked, &plain, MASK, 0);
        assert!(
            masked
                .iter()
                .zip(&plain)
                .zip(MASK.iter().cycle())
                .all(|((m, p), k)| m ^ k == *p)
        );
        for cut in 0..plain.len() {
            let mut back = Vec::new();
            unmask(&mut back, &masked[..cut], MASK, 0);
            unmask(&mut back, &masked[cut..], MASK, cut);
            assert_eq!(back, plain);
        }
    }

    #[test]
    fn our_frames_have_the_shortest_length() {
        for (length, head) in [
            (125, &[0x82, 125][..]),
            (126, &[0x82, 126, 0, 126]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            write_head(&mut out, Opcode::Binary, false, length);
            assert_eq!(out, head);
        }
    }

    #[test]
    fn a_close_says_a_legal_code_in_utf8_or_nothing() {
        assert_eq!(read_close(b""), Ok(Close::code(1005)));
        assert_eq!(close(&Close::code(1005)), [0x88, 0]);
        let said = read_close(b"\x03\xe9bye").unwrap();
        assert_eq!(close(&said), b"\x88\x05\x03\xe9bye");
        assert_eq!(read_close(b"\x03").unwrap_err().code, 1002);
        assert_eq!(read_close(b"\x03\xee").unwrap_err().code, 1002);
        assert_eq!(read_close(b"\x03\xe8\xff").unwrap_err().code, 1007);
    }
}
