//! The protocol as the fuzz targets see it.

use std::io::IoSlice;

use super::protocol::{Event, MAX_SLICES, Protocol, Terms};
use crate::server::hpack::FieldList;

/// The result of a client's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// A stream was opened with so many fields; nothing follows if it has ended.
    Request {
        /// Its number.
        stream: u32,
        /// The number of its fields.
        fields: usize,
        /// Nothing follows.
        ended: bool,
    },
    /// Bytes of a stream.
    Data {
        /// The stream's number.
        stream: u32,
        /// The bytes.
        data: Vec<u8>,
        /// They are the last.
        ended: bool,
    },
    /// The fields that end a stream.
    Trailers(u32),
    /// A stream is no more.
    Reset(u32),
}

/// The server's side of a connection, without a socket.
#[derive(Debug)]
pub struct Connection {
    protocol: Protocol,
    input: Vec<u8>,
}

impl Connection {
    /// A connection of which nothing has come, and which allows so many streams.
    #[must_use]
    pub fn new(streams: u32) -> Self {
        let terms = Terms {
            streams,
            head_size: 4096,
            connect: true,
        };
        Self {
            protocol: Protocol::new(terms),
            input: Vec::new(),
        }
    }

    /// Takes more of what the client sends. DATA is granted again at once.
    ///
    /// # Errors
    /// The code of the error that ends the connection.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<Came>, u32> {
        self.input.extend_from_slice(bytes);
        let (mut came, mut used) = (Vec::new(), 0);
        let mut fields = FieldList::default();
        loop {
            let next = self.protocol.advance(&self.input[used..], &mut fields);
            let Some((consumed, event)) = next.map_err(|error| error.code as u32)? else {
                self.input.drain(..used);
                return Ok(came);
            };
            used += consumed;
            match event {
                Event::Request { stream, ended } => came.push(Came::Request {
                    stream,
                    fields: fields.len(),
                    ended,
                }),
                Event::Data {
                    stream,
                    data,
                    ended,
                } => {
                    let data = data.to_vec();
                    self.protocol.release(stream, data.len());
                    came.push(Came::Data {
                        stream,
                        data,
                        ended,
                    });
                }
                Event::Trailers { stream } => came.push(Came::Trailers(stream)),
                Event::Reset { stream } => came.push(Came::Reset(stream)),
                Event::None | Event::Answer | Event::Farewell => {}
            }
        }
    }

    /// Answers a request with a block of fields and as much of `body` as the windows take, and ends
    /// the stream.
    pub fn answer(&mut self, stream: u32, block: &[u8], body: &[u8]) {
        self.protocol.send_fields(stream, block, false);
        let room = self.protocol.room(stream);
        self.protocol
            .send_data(stream, &body[..body.len().min(room)], true);
        self.protocol.finish(stream);
    }

    /// The bytes that the server writes next.
    pub fn written(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !self.protocol.wire.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = self.protocol.wire.slices(&mut slices);
            let before = bytes.len();
            slices[..count]
                .iter()
                .for_each(|slice| bytes.extend_from_slice(slice));
            let n = bytes.len() - before;
            self.protocol.wire.advance(n);
        }
        bytes
    }

    /// The number of streams that are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.protocol.streams()
    }
}
