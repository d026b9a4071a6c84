//! Frames as they stand on the wire (RFC 9113 sections 4.1, 6 and 7).

/// Bytes of a frame's head.
pub(in crate::server) const HEAD: usize = 9;

/// The largest payload that is taken, and the one that every peer takes: SETTINGS_MAX_FRAME_SIZE as
/// it begins (section 6.5.2). Larger ones would only let one stream hold up the others.
pub(super) const MAX_PAYLOAD: usize = 16_384;

pub(in crate::server) const DATA: u8 = 0;
pub(in crate::server) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(in crate::server) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(in crate::server) const END_HEADERS: u8 = 0x4;
pub(in crate::server) const PADDED: u8 = 0x8;
pub(in crate::server) const WITH_PRIORITY: u8 = 0x20;

/// Settings (section 6.5.2, RFC 8441 section 3).
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;
pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;
pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// Stream identifiers, windows and their increments have 31 bits.
pub(super) const MAX_31: u32 = (1 << 31) - 1;

/// Why a stream or a connection ends (section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server::http2) enum Code {
    NoError = 0,
    ProtocolError = 1,
    InternalError = 2,
    FlowControlError = 3,
    StreamClosed = 5,
    FrameSizeError = 6,
    RefusedStream = 7,
    Cancel = 8,
    CompressionError = 9,
    EnhanceYourCalm = 11,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Head {
    pub(in crate::server) length: usize,
    pub(in crate::server) kind: u8,
    pub(in crate::server) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    pub(in crate::server) fn parse(bytes: &[u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            // The highest bit is reserved, and ignored.
            stream: u32::from_be_bytes(stream) & MAX_31,
        }
    }

    pub(in crate::server) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn bytes(&self) -> [u8; HEAD] {
        let [_, a, b, c] = (self.length as u32).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }
}

/// The first four bytes of a payload as a number.
pub(super) fn number(payload: &[u8]) -> u32 {
    payload
        .first_chunk()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = Head {
            length: 0x01_02_03,
            kind: HEADERS,
            flags: END_HEADERS,
            stream: 0x7fff_fffe,
        };
        assert_eq!(Head::parse(&head.bytes()), head);
        let mut reserved = head.bytes();
        reserved[5] |= 0x80;
        assert_eq!(Head::parse(&reserved), head);
    }
}
