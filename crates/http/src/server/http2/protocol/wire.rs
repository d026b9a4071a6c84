//! The frames that wait to be written to a connection.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::frame::Head;
use crate::server::buffers::Buffers;

/// At most this many pieces go into one `writev`.
pub(in crate::server::http2) const MAX_SLICES: usize = 32;

/// Bytes of small frames that may be written before the room they took is used again.
const COMPACT_FROM: usize = 16 * 1024;

/// So many bytes may wait until other connections have been served.
const HELD_AT_MOST: usize = 4 * 1024;

/// Frames in order. Heads and small payloads stand one behind the other; large payloads are kept
/// by reference, with the place where they belong.
#[derive(Debug, Default)]
pub(in crate::server::http2) struct Wire {
    bytes: Vec<u8>,
    /// Bytes of `bytes` already written.
    written: usize,
    /// Before which place of `bytes` each stands.
    large: VecDeque<(usize, Bytes)>,
    /// Unwritten bytes in `large`.
    referred: usize,
}

impl Wire {
    pub(in crate::server::http2) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(in crate::server::http2) fn len(&self) -> usize {
        self.bytes.len() - self.written + self.referred
    }

    /// Takes a buffer to write into, if there is none.
    pub(in crate::server::http2) fn lend(&mut self, buffer: impl FnOnce() -> Vec<u8>) {
        if self.bytes.capacity() == 0 {
            self.bytes = buffer();
        }
    }

    /// The buffer, once everything has been written.
    pub(in crate::server::http2) fn unused_buffer(&mut self) -> Option<Vec<u8>> {
        if !self.is_empty() || self.bytes.capacity() == 0 {
            return None;
        }
        *self = Self {
            bytes: std::mem::take(&mut self.bytes),
            ..Self::default()
        };
        Some(std::mem::take(&mut self.bytes))
    }

    /// Whether there is something, and no more than others may be waited with for.
    pub(in crate::server::http2) fn is_small(&self) -> bool {
        (1..=HELD_AT_MOST).contains(&self.len())
    }

    /// Holds no more of its buffer than what is in it.
    pub(in crate::server::http2) fn settle(&mut self, buffers: &Buffers) {
        if self.large.is_empty() && self.written == 0 {
            buffers.settle(&mut self.bytes);
        }
    }

    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.head(kind, flags, stream, payload.len());
        self.bytes.extend_from_slice(payload);
    }

    /// A frame whose payload is not copied.
    pub(super) fn shared_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: Bytes) {
        self.head(kind, flags, stream, payload.len());
        self.referred += payload.len();
        self.large.push_back((self.bytes.len(), payload));
    }

    fn head(&mut self, kind: u8, flags: u8, stream: u32, length: usize) {
        let head = Head {
            length,
            kind,
            flags,
            stream,
        };
        self.bytes.extend_from_slice(&head.bytes());
    }

    /// The pieces to be written next.
    pub(in crate::server::http2) fn slices<'a>(
        &'a self,
        slices: &mut [IoSlice<'a>; MAX_SLICES],
    ) -> usize {
        let mut count = 0;
        let mut put = |piece: &'a [u8]| {
            if !piece.is_empty() && count < MAX_SLICES {
                slices[count] = IoSlice::new(piece);
                count += 1;
            }
        };
        let mut start = self.written;
        // Each comes with the head before it.
        for (place, large) in self.large.iter().take(MAX_SLICES / 2) {
            put(&self.bytes[start..*place]);
            put(large);
            start = *place;
        }
        if self.large.len() < MAX_SLICES / 2 {
            put(&self.bytes[start..]);
        }
        count
    }

    /// `n` bytes have been written.
    pub(in crate::server::http2) fn advance(&mut self, mut n: usize) {
        while let Some((place, large)) = self.large.front_mut() {
            let before = *place - self.written;
            if n < before {
                break;
            }
            n -= before;
            self.written = *place;
            let part = n.min(large.len());
            large.advance(part);
            self.referred -= part;
            n -= part;
            if !large.is_empty() {
                return;
            }
            self.large.pop_front();
        }
        self.written += n;
        if self.written == self.bytes.len() && self.large.is_empty() {
            self.bytes.clear();
            self.written = 0;
        } else if self.written >= COMPACT_FROM {
            self.bytes.drain(..self.written);
            for (place, _) in &mut self.large {
                *place -= self.written;
            }
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwritten(wire: &Wire) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = wire.slices(&mut slices);
        slices[..count]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect()
    }

    #[test]
    fn bytes_come_out_in_order_however_they_are_written() {
        let whole = |step: usize| {
            let mut wire = Wire::default();
            let mut out = Vec::new();
            for round in 0..60_u8 {
                wire.frame(6, 0, 0, &[round; 8]);
                wire.shared_frame(0, 0, 1, Bytes::from(vec![round; 700]));
                wire.frame(0, 1, 1, &vec![round; 300]);
                let pending = unwritten(&wire);
                let n = pending.len().min(step);
                out.extend_from_slice(&pending[..n]);
                wire.advance(n);
            }
            while !wire.is_empty() {
                let pending = unwritten(&wire);
                let n = pending.len().min(step);
                out.extend_from_slice(&pending[..n]);
                wire.advance(n);
            }
            assert!(wire.bytes.is_empty());
            out
        };
        let expected = whole(usize::MAX);
        assert_eq!(expected.len(), 60 * (17 + 709 + 309));
        for step in [97, 1000, 1100, 20_000] {
            assert!(whole(step) == expected, "{step}");
        }
    }

    #[test]
    fn little_may_wait_for_others_and_holds_little() {
        let mut wire = Wire::default();
        assert!(!wire.is_small());
        let buffers = Buffers::default();
        wire.lend(|| buffers.take());
        wire.frame(0, 1, 1, &[7; 100]);
        assert!(wire.is_small());
        let before = unwritten(&wire);
        wire.settle(&buffers);
        assert_eq!(unwritten(&wire), before);
        assert!(!buffers.is_empty());
        wire.shared_frame(0, 1, 1, Bytes::from(vec![7; HELD_AT_MOST]));
        assert!(!wire.is_small());
    }
}
