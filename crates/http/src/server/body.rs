//! Decoding a request body, without I/O (RFC 9112 sections 6 and 7).

use super::head::BodyLength;
use super::response::is_token;

/// Bytes of chunk extensions and trailer fields that a body may bring; they are dropped, so more
/// is only an attack.
const MAX_OVERHEAD: usize = 16 * 1024;

/// A body that is being received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyDecoder {
    /// So many bytes are still to come.
    Sized(u64),
    /// In the chunked coding.
    Chunked {
        /// Where in the coding.
        at: Chunk,
        /// Bytes of extensions and trailers so far.
        overhead: usize,
        /// Bytes that chunks still to come may have.
        allowed: u64,
    },
    /// All of it has been decoded.
    Done,
}

/// A place in the chunked coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk {
    /// In the size, with this value after so many digits.
    Size(u64, u8),
    /// In a chunk extension.
    Extension(u64, Extension),
    /// At the LF of the size line.
    SizeLf(u64),
    /// In the data, with so many bytes to come.
    Data(u64),
    /// At the CR after the data.
    DataCr,
    /// At the LF after the data.
    DataLf,
    /// At the start of a trailer line, or of the last line.
    TrailerStart,
    /// In the name of a trailer field.
    TrailerName,
    /// In the value of a trailer field.
    Trailer,
    /// At the LF of a trailer line.
    TrailerLf,
    /// At the LF of the last line.
    EndLf,
}

/// A place in a chunk extension (RFC 9112 section 7.1.1): `;name`, `;name=token` or `;name="text"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// Before the name.
    Start,
    /// In the name.
    Name,
    /// In the blanks behind the name.
    Named,
    /// Before the value.
    Equals,
    /// In a value without quotes.
    Value,
    /// In a value with quotes.
    Quoted,
    /// Behind a backslash within quotes.
    Escaped,
    /// Behind the value.
    Valued,
}

impl Extension {
    /// Whether the line may end here.
    fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Named | Self::Value | Self::Valued)
    }

    /// The place after `byte`, which may not end the line; `None` where it may not stand here.
    fn step(self, byte: u8) -> Option<Self> {
        let is_blank = matches!(byte, b' ' | b'\t');
        let is_text = is_blank || byte.is_ascii_graphic() || byte >= 0x80;
        match self {
            Self::Start | Self::Equals if is_blank => Some(self),
            Self::Start | Self::Name if is_token(byte) => Some(Self::Name),
            Self::Name | Self::Named if is_blank => Some(Self::Named),
            Self::Name | Self::Named if byte == b'=' => Some(Self::Equals),
            Self::Equals | Self::Value if is_token(byte) => Some(Self::Value),
            Self::Equals if byte == b'"' => Some(Self::Quoted),
            Self::Quoted if byte == b'"' => Some(Self::Valued),
            Self::Quoted if byte == b'\\' => Some(Self::Escaped),
            Self::Quoted | Self::Escaped if is_text => Some(Self::Quoted),
            Self::Value | Self::Valued if is_blank => Some(Self::Valued),
            _ if self.may_end() && byte == b';' => Some(Self::Start),
            _ => None,
        }
    }
}

/// Why a body is not read on. The connection can't be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRefused {
    /// It is not framed as the RFC writes it.
    Malformed(&'static str),
    /// It is larger than allowed.
    TooLarge,
    /// Too little of it has come for too long.
    TooSlow,
}

impl BodyRefused {
    /// The status of the answer, and its text.
    pub(super) fn answer(self) -> (u16, &'static str) {
        match self {
            Self::Malformed(_) => (400, "Invalid HTTP request received."),
            Self::TooLarge => (413, "Content Too Large"),
            Self::TooSlow => (408, "Request Timeout"),
        }
    }
}

impl BodyDecoder {
    /// For a body that is framed so and may have at most `limit` bytes.
    ///
    /// # Errors
    /// It is known to have more.
    pub fn new(length: BodyLength, limit: u64) -> Result<Self, BodyRefused> {
        match length {
            BodyLength::Sized(0) => Ok(Self::Done),
            BodyLength::Sized(length) if length > limit => Err(BodyRefused::TooLarge),
            BodyLength::Sized(length) => Ok(Self::Sized(length)),
            BodyLength::Chunked => Ok(Self::Chunked {
                at: Chunk::Size(0, 0),
                overhead: 0,
                allowed: limit,
            }),
        }
    }

    /// Whether the whole body has been decoded.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// How many bytes of the body come next as they are, without framing between them.
    #[must_use]
    pub fn plain_bytes(&self) -> u64 {
        match self {
            Self::Sized(left) => *left,
            _ => 0,
        }
    }

    /// So many of [`Self::plain_bytes`] have been received.
    pub fn skip(&mut self, received: usize) {
        if let Self::Sized(left) = self {
            *left = left.saturating_sub(received as u64);
            if *left == 0 {
                *self = Self::Done;
            }
        }
    }

    /// Decodes from `input`, appending at most `room` bytes to `body`; says how much was consumed.
    ///
    /// # Errors
    /// The framing is broken, or the body too large.
    pub fn decode(
        &mut self,
        input: &[u8],
        body: &mut Vec<u8>,
        room: usize,
    ) -> Result<usize, BodyRefused> {
        match self {
            Self::Done => Ok(0),
            Self::Sized(left) => {
                let take = take(input, *left, room);
                body.extend_from_slice(&input[..take]);
                self.skip(take);
                Ok(take)
            }
            Self::Chunked { .. } => self.decode_chunked(input, body, room),
        }
    }

    fn decode_chunked(
        &mut self,
        input: &[u8],
        body: &mut Vec<u8>,
        room: usize,
    ) -> Result<usize, BodyRefused> {
        let full = body.len().saturating_add(room);
        let mut pos = 0;
        while let Self::Chunked {
            at,
            overhead,
            allowed,
        } = self
        {
            if pos == input.len() {
                break;
            }
            if let Chunk::Data(left) = *at {
                let take = take(&input[pos..], left, full - body.len());
                if take == 0 {
                    break;
                }
                body.extend_from_slice(&input[pos..pos + take]);
                pos += take;
                let left = left - take as u64;
                *at = if left == 0 {
                    Chunk::DataCr
                } else {
                    Chunk::Data(left)
                };
                continue;
            }
            *overhead += usize::from(at.is_overhead());
            if *overhead > MAX_OVERHEAD {
                let why = "chunk extensions or trailers are too large";
                return Err(BodyRefused::Malformed(why));
            }
            match at.step(input[pos])? {
                Some(next) => {
                    if let (Chunk::SizeLf(_), Chunk::Data(size)) = (*at, next) {
                        *allowed = allowed.checked_sub(size).ok_or(BodyRefused::TooLarge)?;
                    }
                    *at = next;
                }
                None => *self = Self::Done,
            }
            pos += 1;
        }
        Ok(pos)
    }
}

impl Chunk {
    /// Whether a byte here is dropped.
    fn is_overhead(self) -> bool {
        matches!(
            self,
            Self::Extension(..) | Self::TrailerName | Self::Trailer
        )
    }

    /// The place after `byte`, or `None` after the last one. Never called within data.
    fn step(self, byte: u8) -> Result<Option<Self>, BodyRefused> {
        let next = match (self, byte) {
            (Self::Size(size, digits), _) if byte.is_ascii_hexdigit() => {
                // 15 hex digits are beyond any chunk and cannot overflow.
                if digits == 15 {
                    return Err(BodyRefused::Malformed("a chunk size is too large"));
                }
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                Self::Size(size * 16 + u64::from(digit), digits + 1)
            }
            (Self::Size(_, 0), _) => return Err(BodyRefused::Malformed("a chunk size is missing")),
            (Self::Size(size, _), b'\r') => Self::SizeLf(size),
            (Self::Size(size, _), b';') => Self::Extension(size, Extension::Start),
            (Self::Size(..), _) => return Err(BodyRefused::Malformed("a chunk size is malformed")),
            (Self::Extension(size, at), b'\r') if at.may_end() => Self::SizeLf(size),
            (
                Self::Extension(..) | Self::Trailer | Self::TrailerName | Self::TrailerStart,
                b'\n',
            ) => {
                return Err(BodyRefused::Malformed("a line ends with a bare LF"));
            }
            (Self::Extension(size, at), _) => match at.step(byte) {
                Some(at) => Self::Extension(size, at),
                None => return Err(BodyRefused::Malformed("a chunk extension is malformed")),
            },
            (Self::SizeLf(0), b'\n') => Self::TrailerStart,
            (Self::SizeLf(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size(0, 0),
            (Self::DataCr | Self::DataLf, _) => {
                return Err(BodyRefused::Malformed(
                    "chunk data does not end where its size says",
                ));
            }
            (Self::TrailerStart, b'\r') => Self::EndLf,
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::TrailerStart | Self::TrailerName, _) if is_token(byte) => Self::TrailerName,
            (Self::TrailerName, b':') => Self::Trailer,
            (Self::TrailerStart | Self::TrailerName, _) => {
                return Err(BodyRefused::Malformed("a trailer field is malformed"));
            }
            (Self::Trailer, b'\t' | b' '..=b'~' | 0x80..) => Self::Trailer,
            (Self::Trailer, _) => {
                return Err(BodyRefused::Malformed("a trailer field is malformed"));
            }
            (Self::TrailerLf, b'\n') => Self::TrailerStart,
            (Self::EndLf, b'\n') => return Ok(None),
            (Self::SizeLf(_) | Self::TrailerLf | Self::EndLf, _) => {
                return Err(BodyRefused::Malformed("a CR is not followed by an LF"));
            }
            (Self::Data(_), _) => return Err(BodyRefused::Malformed("chunk data out of place")),
        };
        Ok(Some(next))
    }
}

fn take(input: &[u8], left: u64, room: usize) -> usize {
    usize::try_from(left)
        .unwrap_or(usize::MAX)
        .min(input.len())
        .min(room)
}

#[cfg(test)]
mod tests;
