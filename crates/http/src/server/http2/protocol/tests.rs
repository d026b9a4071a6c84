//! Frames right, wrong and random, against the protocol as a value.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use super::frame::{self, HEAD, Head};
use super::*;
use crate::server::hpack::encode;

const TERMS: Terms = Terms {
    streams: 10,
    head_size: 4096,
    connect: true,
};

fn framed(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = Head {
        length: payload.len(),
        kind,
        flags,
        stream,
    };
    [&head.bytes()[..], payload].concat()
}

fn block(path: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (&b":method"[..], &b"GET"[..]),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"a"),
    ] {
        encode::raw_field(&mut block, name, value);
    }
    block
}

/// A connection whose client has said what it has to begin with.
fn begun() -> Protocol {
    let mut protocol = Protocol::new(TERMS);
    let hello = [PREFACE, &framed(frame::SETTINGS, 0, 0, &[])].concat();
    feed(&mut protocol, &hello).unwrap();
    protocol
}

/// The kind of an event, without its data.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Request(u32),
    Data(u32, Vec<u8>, bool),
    Trailers(u32),
    Reset(u32),
}

fn feed(protocol: &mut Protocol, mut input: &[u8]) -> Result<Vec<Came>, Violation> {
    let mut fields = FieldList::default();
    let mut came = Vec::new();
    while let Some((consumed, event)) = protocol.advance(input, &mut fields)? {
        input = &input[consumed..];
        came.extend(match event {
            Event::Request { stream, .. } => Some(Came::Request(stream)),
            Event::Data {
                stream,
                data,
                ended,
            } => Some(Came::Data(stream, data.to_vec(), ended)),
            Event::Trailers { stream } => Some(Came::Trailers(stream)),
            Event::Reset { stream } => Some(Came::Reset(stream)),
            Event::None | Event::Answer | Event::Farewell => None,
        });
    }
    Ok(came)
}

/// The frames that wait to be written: kind, stream and payload.
fn written(protocol: &mut Protocol) -> Vec<(u8, u32, Vec<u8>)> {
    let mut slices = [std::io::IoSlice::new(&[]); MAX_SLICES];
    let count = protocol.wire.slices(&mut slices);
    let bytes: Vec<u8> = slices[..count].iter().flat_map(|it| it.to_vec()).collect();
    protocol.wire.advance(bytes.len());
    let mut frames = Vec::new();
    let mut rest = &bytes[..];
    while let Some(head) = rest.first_chunk().map(Head::parse) {
        let (payload, behind) = rest[HEAD..].split_at(head.length);
        frames.push((head.kind, head.stream, payload.to_vec()));
        rest = behind;
    }
    frames
}

#[test]
fn the_split_of_the_input_does_not_matter() {
    let end = frame::END_HEADERS;
    let fields = block(b"/");
    let (first, second) = fields.split_at(9);
    let input = [
        framed(frame::HEADERS, 0, 1, first),
        framed(frame::CONTINUATION, end, 1, second),
        framed(frame::DATA, frame::PADDED, 1, b"\x03abcxxx"),
        framed(frame::DATA, frame::END_STREAM, 1, b"de"),
        framed(frame::HEADERS, end | frame::END_STREAM, 3, &fields),
    ]
    .concat();
    let mut protocol = begun();
    let (mut waiting, mut body, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for byte in &input {
        waiting.push(*byte);
        let mut list = FieldList::default();
        while let Some((consumed, event)) = protocol.advance(&waiting, &mut list).unwrap() {
            match event {
                Event::Data { data, ended, .. } => body.push((data.to_vec(), ended)),
                Event::Request { stream, ended } => others.push((stream, ended)),
                _ => {}
            }
            waiting.drain(..consumed);
        }
    }
    assert_eq!(others, [(1, false), (3, true)]);
    let bytes: Vec<u8> = body.iter().flat_map(|(data, _)| data.clone()).collect();
    assert_eq!(bytes, b"abcde");
    assert!(body.last().is_some_and(|(_, ended)| *ended));
    assert!(waiting.is_empty());
}

#[test]
fn windows_hold_what_is_sent() {
    let mut protocol = begun();
    let head = framed(frame::HEADERS, frame::END_HEADERS | 1, 1, &block(b"/"));
    feed(&mut protocol, &head).unwrap();
    written(&mut protocol);
    let mut sent = 0;
    while let room @ 1.. = protocol.room(1) {
        protocol.send_data(1, &vec![0; room], false);
        sent += room;
        written(&mut protocol);
    }
    assert_eq!(sent, FIRST_WINDOW as usize);
    let more = 10_u32.to_be_bytes();
    feed(&mut protocol, &framed(frame::WINDOW_UPDATE, 0, 1, &more)).unwrap();
    assert_eq!(protocol.room(1), 0, "the connection's window is closed");
    feed(&mut protocol, &framed(frame::WINDOW_UPDATE, 0, 0, &more)).unwrap();
    assert_eq!(protocol.room(1), 10);
    // Section 6.9.2: a smaller window makes that of an open stream negative.
    let small = [&frame::INITIAL_WINDOW_SIZE.to_be_bytes()[..], &[0; 4]].concat();
    feed(&mut protocol, &framed(frame::SETTINGS, 0, 0, &small)).unwrap();
    assert_eq!(protocol.room(1), 0);
}

#[test]
fn what_is_used_up_is_granted_again() {
    let mut protocol = begun();
    for stream in [1, 3] {
        let head = framed(frame::HEADERS, frame::END_HEADERS, stream, &block(b"/"));
        feed(&mut protocol, &head).unwrap();
        let piece = framed(frame::DATA, 0, stream, &[0; MAX_PAYLOAD]);
        for _ in 0..STREAM_WINDOW as usize / MAX_PAYLOAD {
            feed(&mut protocol, &piece).unwrap();
        }
    }
    written(&mut protocol);
    protocol.release(1, 1000);
    assert_eq!(written(&mut protocol), []);
    protocol.release(1, STREAM_WINDOW as usize / 2);
    let granted = written(&mut protocol);
    assert!(matches!(granted[..], [(frame::WINDOW_UPDATE, 1, _)]));
    let came = feed(&mut protocol, &framed(frame::DATA, 0, 3, b"x")).unwrap();
    assert_eq!(came, [Came::Reset(3)], "more than the stream's window");
    written(&mut protocol);
    protocol.release_connection(STREAM_WINDOW as usize * 2);
    let granted = written(&mut protocol);
    assert!(matches!(granted[..], [(frame::WINDOW_UPDATE, 0, _)]));
}

#[test]
fn a_large_head_is_sent_in_pieces() {
    let mut protocol = begun();
    written(&mut protocol);
    protocol.send_fields(1, &vec![0; 2 * MAX_PAYLOAD], true);
    let kinds: Vec<(u8, usize)> = written(&mut protocol)
        .into_iter()
        .map(|(kind, _, payload)| (kind, payload.len()))
        .collect();
    let continued = frame::CONTINUATION;
    assert_eq!(
        kinds,
        [
            (frame::HEADERS, MAX_PAYLOAD),
            (continued, MAX_PAYLOAD),
            (continued, 1)
        ]
    );
}

#[test]
fn the_abuse_budget_is_used_up_and_refilled() {
    let ping = framed(frame::PING, 0, 0, &[0; 8]);
    let mut protocol = begun();
    let mut taken = 0;
    let end = loop {
        match feed(&mut protocol, &ping) {
            Ok(_) => taken += 1,
            Err(violation) => break violation.code,
        }
        written(&mut protocol);
    };
    assert_eq!((end, taken), (Code::EnhanceYourCalm, ABUSE_BUDGET));
    protocol.refill_abuse_budget();
    assert_eq!(feed(&mut protocol, &ping), Ok(vec![]));
}

#[test]
fn updates_are_paid_for_by_data_unless_they_are_tiny() {
    let head = framed(frame::HEADERS, frame::END_HEADERS | 1, 1, &block(b"/"));
    let exchange = |increment: u32, sent: usize| {
        let mut protocol = begun();
        let closed = [&frame::INITIAL_WINDOW_SIZE.to_be_bytes()[..], &[0; 4]].concat();
        feed(&mut protocol, &framed(frame::SETTINGS, 0, 0, &closed)).unwrap();
        feed(&mut protocol, &head).unwrap();
        for _ in 0..3 * ABUSE_BUDGET {
            for stream in [0, 1] {
                let update = framed(frame::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
                feed(&mut protocol, &update)?;
            }
            assert!(protocol.room(1) >= sent);
            protocol.send_data(1, &vec![0; sent], false);
            written(&mut protocol);
        }
        Ok::<(), Violation>(())
    };
    assert_eq!(exchange(1000, 1000), Ok(()));
    // Small pieces, each of which is acknowledged.
    assert_eq!(exchange(21, 20), Ok(()));
    let abusive = exchange(1, 1).map_err(|violation| violation.code);
    assert_eq!(abusive, Err(Code::EnhanceYourCalm));
}

/// Random numbers that can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most))
            .map(|_| self.below(256) as u8)
            .collect()
    }

    /// A frame that may make sense.
    fn frame(&mut self) -> Vec<u8> {
        let kind = [0, 0, 1, 1, 1, 2, 3, 4, 6, 7, 8, 8, 9, self.below(12) as u8][self.below(14)];
        let stream = match kind {
            frame::SETTINGS | frame::PING | frame::GOAWAY => 0,
            _ => [0, 1, 3, 5, 2 * self.below(40) as u32 + 1][self.below(5)],
        };
        let payload = match kind {
            frame::HEADERS if self.below(4) > 0 => block(&[&b"/"[..], &self.bytes(9)].concat()),
            frame::PING => vec![7; 8],
            frame::RST_STREAM | frame::WINDOW_UPDATE => self.word(),
            frame::SETTINGS => [&[0, self.below(9) as u8][..], &self.word()].concat(),
            _ => self.bytes(300),
        };
        let flags = [0, 1, 4, 5, 5, self.below(256) as u8][self.below(6)];
        let mut bytes = framed(kind, flags, stream, &payload);
        if self.below(8) == 0 {
            let place = self.below(bytes.len());
            bytes[place] = self.below(256) as u8;
        }
        bytes
    }

    fn word(&mut self) -> Vec<u8> {
        (self.below(1 << 20) as u32).to_be_bytes().to_vec()
    }
}

/// One connection with a client that says anything, and a server that answers some of it.
fn converse(random: &mut Random) {
    let mut protocol = begun();
    let mut fields = FieldList::default();
    let mut waiting = Vec::new();
    for _ in 0..200 {
        waiting.extend(random.frame());
        let ready = random.below(waiting.len() + 1);
        let mut used = 0;
        loop {
            match protocol.advance(&waiting[used..ready], &mut fields) {
                Ok(None) => break,
                Ok(Some((consumed, event))) => {
                    used += consumed;
                    assert!(used <= ready);
                    respond(random, &mut protocol, &event);
                }
                Err(violation) => return protocol.go_away(violation.code),
            }
        }
        waiting.drain(..used);
        assert!(protocol.streams() <= TERMS.streams as usize);
        assert!(fields.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>() <= TERMS.head_size);
        assert!(waiting.len() <= 2 * (HEAD + MAX_PAYLOAD));
        written(&mut protocol);
    }
}

fn respond(random: &mut Random, protocol: &mut Protocol, event: &Event<'_>) {
    match *event {
        Event::Request { stream, .. } if random.below(2) == 0 => {
            protocol.send_fields(stream, &[0x88], false);
            let room = protocol.room(stream).min(random.below(2000));
            protocol.send_data(stream, &vec![0; room], true);
            protocol.finish(stream);
        }
        Event::Data { stream, data, .. } => protocol.release(stream, data.len()),
        Event::Trailers { stream } if random.below(2) == 0 => protocol.reset(stream, Code::Cancel),
        _ => {}
    }
}

#[test]
fn whatever_comes_is_survived_in_bounded_memory() {
    // Every run has another seed, which a failure names.
    let seed = RandomState::new().build_hasher().finish() | 1;
    let mut random = Random(seed);
    let end = Instant::now() + Duration::from_secs(1);
    let mut rounds = 0;
    while rounds < 100 || Instant::now() < end {
        let before = random.0;
        let survived = std::panic::catch_unwind(move || {
            let mut random = Random(before);
            converse(&mut random);
            random.0
        });
        random.0 = survived.unwrap_or_else(|_| panic!("the seed was {before:#x}"));
        rounds += 1;
    }
}

#[test]
fn blocks_of_random_bytes_are_decoded_or_refused() {
    let mut random = Random(RandomState::new().build_hasher().finish() | 1);
    for _ in 0..2000 {
        let mut decoder = Decoder::default();
        for _ in 0..20 {
            let mut fields = FieldList::default();
            fields.reset(1000);
            if decoder.decode(&random.bytes(200), &mut fields).is_err() {
                break;
            }
            assert!(fields.len() <= 1000 / 32);
        }
    }
}
