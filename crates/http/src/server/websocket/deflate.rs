//! permessage-deflate's compression (RFC 7692 section 7.2).
//!
//! No context is taken over from one message to the next, in either direction, so the states
//! belong to messages and not to connections: a worker has one of each, made when it is first
//! needed and given back after a time of rest. Only a message that arrives while another one is
//! half arrived makes a second.

use std::cell::RefCell;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

use super::frame::{TOO_BIG, Violation};

/// The largest window of what is sent, in bits: Uvicorn's choice, 4 KiB.
pub(super) const SENT_WINDOW_BITS: u8 = 12;

/// How much memory the compressor takes for speed, from 1 to 9: Uvicorn's choice.
const MEMORY_LEVEL: i32 = 5;

/// The least effort that still makes codes for what a message is made of. Most messages are short,
/// and a better match is seldom found in them.
const LEVEL: i32 = 2;

/// The window that clients may use, if they are not asked for less: the largest of the format.
const RECEIVED_WINDOW_BITS: u8 = 15;

/// Inflated at a time, so that a limit is noticed soon.
const STEP: usize = 16 * 1024;

/// The end of a flushed message, which the wire leaves out.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

thread_local! {
    static STATES: RefCell<States> = const { RefCell::new(States { deflate: None, inflate: None, used: false }) };
}

/// The states that no message uses now.
struct States {
    deflate: Option<Deflater>,
    inflate: Option<Inflater>,
    /// Since the last [`rest`].
    used: bool,
}

/// Called from time to time: frees state that was not used since the last time.
pub(in crate::server) fn rest(no_connection_left: bool) {
    STATES.with_borrow_mut(|states| {
        if !states.used || no_connection_left {
            states.deflate = None;
            states.inflate = None;
        }
        states.used = false;
    });
}

/// A compressor and its window in bits.
struct Deflater {
    state: Deflate,
    window: u8,
}

impl Deflater {
    fn new(window: u8) -> Self {
        let config = DeflateConfig {
            window_bits: -i32::from(window),
            mem_level: MEMORY_LEVEL,
            level: LEVEL,
            ..DeflateConfig::default()
        };
        Self {
            state: Deflate::new_with_config(config),
            window,
        }
    }
}

/// Compresses a message in a window of so many bits. Nothing if it would not be shorter.
pub(super) fn deflate(message: &[u8], window: u8) -> Option<Vec<u8>> {
    let kept = STATES.with_borrow_mut(|states| {
        states.used = true;
        states.deflate.take()
    });
    let kept = kept.filter(|deflater| deflater.window == window);
    let mut deflater = kept.unwrap_or_else(|| Deflater::new(window));
    let state = &mut deflater.state;
    // Incompressible data is stored, in blocks with 5 bytes of their own each.
    let room = message.len() + message.len() / 64 + 64;
    let mut compressed = vec![0; room];
    let done = state.compress(message, &mut compressed, DeflateFlush::SyncFlush);
    let is_whole = state.total_in() == message.len() as u64 && state.total_out() < room as u64;
    let length = usize::try_from(state.total_out()).unwrap_or(usize::MAX);
    if done != Ok(Status::Ok) || !is_whole {
        // zlib-rs does not forget what such a state still had to write: it is not used again.
        return None;
    }
    state.reset();
    STATES.with_borrow_mut(|states| states.deflate = Some(deflater));
    compressed.truncate(length);
    if !compressed.ends_with(&TAIL) || length >= message.len() + TAIL.len() {
        return None;
    }
    compressed.truncate(length - TAIL.len());
    Some(compressed)
}

/// Inflates one message.
pub(super) struct Inflater(Inflate);

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inflater")
    }
}

impl Inflater {
    /// An unused one.
    pub(super) fn take() -> Self {
        let kept = STATES.with_borrow_mut(|states| {
            states.used = true;
            states.inflate.take()
        });
        kept.unwrap_or_else(|| Self(Inflate::new(false, RECEIVED_WINDOW_BITS)))
    }

    /// For the next message.
    pub(super) fn give_back(mut self) {
        self.0.reset(false);
        STATES.with_borrow_mut(|states| states.inflate = Some(self));
    }

    /// Appends what `compressed` inflates to, as long as `message` does not exceed `limit` bytes.
    pub(super) fn inflate(
        &mut self,
        mut compressed: &[u8],
        message: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), Violation> {
        loop {
            let before = (self.0.total_in(), self.0.total_out());
            let start = message.len();
            message.resize(start + STEP, 0);
            let done =
                self.0
                    .decompress(compressed, &mut message[start..], InflateFlush::SyncFlush);
            // Both are at most what was given.
            let read = (self.0.total_in() - before.0) as usize;
            let written = (self.0.total_out() - before.1) as usize;
            message.truncate(start + written);
            compressed = &compressed[read..];
            if message.len() > limit {
                return Err(TOO_BIG);
            }
            match done {
                // A final block may be followed by more of the message (section 7.2.3.4).
                Ok(Status::StreamEnd) => {
                    self.0.reset(false);
                    if compressed.is_empty() {
                        return Ok(());
                    }
                }
                Ok(Status::Ok | Status::BufError) if written == STEP => {}
                Ok(_) if compressed.is_empty() => return Ok(()),
                Ok(_) if read > 0 => {}
                Ok(_) | Err(_) => {
                    return Err(Violation::invalid("a message is not in deflate's format"));
                }
            }
        }
    }

    /// The message has arrived: what the wire left out is added.
    pub(super) fn finish(&mut self, message: &mut Vec<u8>, limit: usize) -> Result<(), Violation> {
        self.inflate(&TAIL, message, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflated(compressed: &[u8], limit: usize) -> Result<Vec<u8>, Violation> {
        let mut inflater = Inflater::take();
        let mut message = Vec::new();
        inflater.inflate(compressed, &mut message, limit)?;
        inflater.finish(&mut message, limit)?;
        inflater.give_back();
        Ok(message)
    }

    #[test]
    fn what_is_deflated_can_be_inflated() {
        for length in [200, 5_000, 200_000] {
            let message: Vec<u8> = (0..length).map(|n| (n / 7 % 11) as u8).collect();
            let compressed = deflate(&message, 12).unwrap();
            assert!(compressed.len() < message.len() / 2);
            assert_eq!(inflated(&compressed, length).unwrap(), message);
        }
    }

    #[test]
    fn what_would_not_become_shorter_is_left_as_it_is() {
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        let noise: Vec<u8> = (0..4000).map(|_| random()).collect();
        assert_eq!(deflate(&noise, 12), None);
        assert_eq!(deflate(b"a", 12), None);
    }

    #[test]
    fn messages_that_can_and_cannot_be_compressed_take_turns() {
        let mut state = 7_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for length in (1..40).map(|n| n * 731) {
            let noise: Vec<u8> = (0..length).map(|_| random()).collect();
            let half: Vec<u8> = (0..length)
                .map(|n| if n % 3 == 0 { random() } else { 7 })
                .collect();
            assert_eq!(deflate(&noise, 9 + (length % 4) as u8), None);
            let compressed = deflate(&half, 12).expect("shorter");
            assert_eq!(inflated(&compressed, length).unwrap(), half);
        }
    }

    #[test]
    fn a_bomb_is_noticed_on_the_way() {
        let compressed = deflate(&vec![0; 2_000_000], 9).unwrap();
        assert!(compressed.len() < 50_000);
        assert_eq!(inflated(&compressed, 1_000_000), Err(TOO_BIG));
        assert_eq!(inflated(&compressed, 2_000_000).unwrap().len(), 2_000_000);
    }

    #[test]
    fn states_are_given_back_after_a_rest() {
        assert!(deflate(&[b'x'; 500], 12).is_some());
        let held = || STATES.with_borrow(|states| states.deflate.is_some());
        rest(false);
        assert!(held());
        rest(false);
        assert!(!held());
    }
}
