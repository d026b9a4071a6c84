//! Writing a response: its head, its framing, and what waits to be written.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes};

use super::files::FilePiece;
use crate::status::reason_phrase;
use crate::worker::asgi::http::{Declared, Framing, Refusal};

/// What every response of this worker gets, unless its application says otherwise.
#[derive(Debug)]
pub struct Defaults {
    /// `server: lowmem-serve`
    pub server: bool,
    /// `date: …`
    pub date: bool,
    /// Further fields, as they stand on the wire.
    pub fields: Vec<u8>,
    /// Each response closes its connection: the worker drains, and has no successor.
    pub closing: AtomicBool,
}

/// Why a header field of the application is refused (RFC 9110 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadField {
    /// The name is no token.
    Name,
    /// The value has a control character, such as CR, LF or NUL.
    Value,
    /// A `content-length` that is no number, or two that differ.
    Length,
    /// One that the server writes itself into the answer to a WebSocket's handshake.
    Reserved,
}

impl std::fmt::Display for BadField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "Invalid HTTP header name",
            Self::Value => "Invalid HTTP header value",
            Self::Length => "Invalid HTTP content-length header",
            Self::Reserved => "The server itself writes this header of a WebSocket's handshake",
        })
    }
}

/// The head of a response while its application's fields are added.
#[derive(Debug)]
pub struct ResponseHead {
    bytes: Vec<u8>,
    /// Where the fields begin, after the status line.
    fields: usize,
    /// The status, not checked yet.
    pub(super) status: i64,
    declared: Declared,
    close: bool,
    has_date: bool,
    has_server: bool,
}

impl ResponseHead {
    /// Writes the status line into `buffer`, which must be empty.
    #[must_use]
    pub fn new(buffer: Vec<u8>, status: i64) -> Self {
        Self::begin(buffer, status, reason_phrase(status).as_bytes())
    }

    /// The same with a reason phrase of the application's own (RFC 9112 section 4).
    ///
    /// # Errors
    /// The phrase has a control character.
    pub fn with_reason(buffer: Vec<u8>, status: i64, reason: &[u8]) -> Result<Self, BadField> {
        if reason.iter().all(|b| is_text(*b)) {
            Ok(Self::begin(buffer, status, reason))
        } else {
            Err(BadField::Value)
        }
    }

    fn begin(mut buffer: Vec<u8>, status: i64, reason: &[u8]) -> Self {
        buffer.extend_from_slice(b"HTTP/1.1 ");
        buffer.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        buffer.push(b' ');
        buffer.extend_from_slice(reason);
        buffer.extend_from_slice(b"\r\n");
        Self {
            fields: buffer.len(),
            bytes: buffer,
            status,
            declared: Declared::default(),
            close: false,
            has_date: false,
            has_server: false,
        }
    }

    /// Adds a field. Those that frame the body are remembered, and written by [`Self::finish`].
    ///
    /// # Errors
    /// The field could not stand on the wire.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
            return Err(BadField::Name);
        }
        if !value.iter().all(|b| is_text(*b)) {
            return Err(BadField::Value);
        }
        let value = value.trim_ascii();
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"date") => self.has_date = true,
            6 if name.eq_ignore_ascii_case(b"server") => self.has_server = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                // We say `close` ourselves, once; `keep-alive` is ours to decide.
                let mut options = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
                self.close |= options.clone().any(|o| o.eq_ignore_ascii_case(b"close"));
                if options.all(|o| {
                    o.eq_ignore_ascii_case(b"close") || o.eq_ignore_ascii_case(b"keep-alive")
                }) {
                    return Ok(());
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => return self.length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.declared.chunked = true;
                return Ok(());
            }
            _ => {}
        }
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn length(&mut self, value: &[u8]) -> Result<(), BadField> {
        let length = std::str::from_utf8(value)
            .ok()
            .filter(|v| !v.starts_with('+'));
        let length = length
            .and_then(|v| v.parse().ok())
            .ok_or(BadField::Length)?;
        match self.declared.length.replace(length) {
            Some(other) if other != length => Err(BadField::Length),
            _ => Ok(()),
        }
    }

    /// The `content-length` among the fields.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.declared.length
    }

    /// What the fields said of the body.
    pub(super) fn declared(&self) -> Declared {
        self.declared
    }

    /// Whether the application wants the connection closed.
    pub(super) fn wants_close(&self) -> bool {
        self.close
    }

    /// The parts, for a version of HTTP that writes them in another way.
    pub(super) fn take_apart(self) -> Told {
        Told {
            status: self.status,
            bytes: self.bytes,
            fields: self.fields,
            has_date: self.has_date,
            has_server: self.has_server,
        }
    }

    /// Ends the head: framing, defaults, the connection option.
    #[must_use]
    pub fn finish(self, framing: Framing, defaults: &Defaults, option: Persist) -> Vec<u8> {
        let mut bytes = self.bytes;
        match framing {
            Framing::Length(length) | Framing::Bodiless(Some(length)) => {
                bytes.extend_from_slice(b"content-length: ");
                bytes.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                bytes.extend_from_slice(b"\r\n");
            }
            Framing::Chunked => bytes.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Framing::UntilClose | Framing::Bodiless(None) => {}
        }
        bytes.extend_from_slice(match option {
            Persist::Default => b"",
            Persist::Close => b"connection: close\r\n",
            Persist::KeepAlive => b"connection: keep-alive\r\n",
        });
        bytes.extend_from_slice(b"\r\n");
        let end = bytes.len();
        if defaults.date && !self.has_date {
            write_date(&mut bytes);
        }
        if defaults.server && !self.has_server {
            bytes.extend_from_slice(b"server: lowmem-serve\r\n");
        }
        bytes.extend_from_slice(&defaults.fields);
        // Uvicorn's order: the server's own fields first. Which those are is known only now.
        let own = bytes.len() - end;
        bytes[self.fields..].rotate_right(own);
        bytes
    }
}

/// What an application told of its response's head.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: i64,
    bytes: Vec<u8>,
    fields: usize,
    pub(super) has_date: bool,
    pub(super) has_server: bool,
}

impl Told {
    /// The fields as HTTP/1.1 writes them, but for those that frame the body.
    pub(super) fn lines(&self) -> &[u8] {
        &self.bytes[self.fields..]
    }
}

/// What the head says of the connection (RFC 9112 section 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persist {
    /// Nothing: HTTP/1.1 stays open.
    Default,
    /// It closes.
    Close,
    /// An HTTP/1.0 connection that stays open.
    KeepAlive,
}

/// RFC 9110 section 5.6.2: the characters of a token.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

/// Whether a byte may stand in a field's value or a reason phrase.
pub(super) fn is_text(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

/// Whether a byte may stand in a token, such as a field's name.
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

thread_local! {
    /// The date line of the current second: formatting it takes longer than all else in a head.
    static DATE: RefCell<(u64, Vec<u8>)> = const { RefCell::new((0, Vec::new())) };
}

fn write_date(bytes: &mut Vec<u8>) {
    with_date(|line| bytes.extend_from_slice(line));
}

/// Hands the date line of the current second to `then`.
pub(super) fn with_date(then: impl FnOnce(&[u8])) {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    DATE.with_borrow_mut(|(cached, line)| {
        if *cached != second || line.is_empty() {
            *cached = second;
            *line = format!("date: {}\r\n", httpdate::fmt_http_date(now)).into_bytes();
        }
        then(line);
    });
}

/// What waits to be written to a connection, in order.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Pieces large enough not to be copied, with what stood before each.
    queue: VecDeque<Queued>,
    /// The end of it.
    tail: Vec<u8>,
    /// Bytes of `tail` already written (only while `queue` is empty).
    written: usize,
}

/// Capacity in bytes of an output that has outgrown its first buffer: the 64 KiB that may wait
/// before `send()` does, and the piece that goes beyond them.
const GROWN: usize = 80 * 1024;

/// Capacity in bytes for a head where no buffer is at hand: most are shorter.
const HEAD: usize = 512;

/// A piece that waits.
#[derive(Debug)]
enum Queued {
    Bytes(Bytes),
    File(FilePiece),
}

impl Queued {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(file) => usize::try_from(file.left()).unwrap_or(usize::MAX),
        }
    }
}

/// At most this many pieces go into one `writev`; more would be waiting for the socket anyway.
const MAX_SLICES: usize = 16;

impl Outgoing {
    pub(super) fn with_buffer(tail: Vec<u8>) -> Self {
        Self {
            tail,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.written == self.tail.len()
    }

    pub(super) fn len(&self) -> usize {
        let queued = self.queue.iter().map(Queued::len);
        queued.fold(0, usize::saturating_add) + self.tail.len() - self.written
    }

    /// Takes the buffer to write a head into it; give it back by [`Self::put_head`].
    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        if self.is_empty() && self.tail.capacity() > 0 {
            self.written = 0;
            self.tail.clear();
            std::mem::take(&mut self.tail)
        } else {
            Vec::with_capacity(HEAD)
        }
    }

    /// Takes the buffer if there is nothing in it: whoever waits holds none.
    pub(super) fn take_idle_buffer(&mut self) -> Vec<u8> {
        if self.is_empty() {
            std::mem::take(self).tail
        } else {
            Vec::new()
        }
    }

    pub(super) fn put_head(&mut self, head: Vec<u8>) {
        if self.tail.is_empty() {
            self.tail = head;
        } else {
            self.tail.extend_from_slice(&head);
        }
    }

    /// Adds a piece of a body in its framing.
    pub(super) fn put_body(&mut self, framing: Framing, content: Content<'_>, last: bool) {
        match framing {
            Framing::Bodiless(_) => {}
            Framing::Length(_) | Framing::UntilClose => self.put_content(content),
            Framing::Chunked => {
                if content.len() > 0 {
                    let mut size = [0; 18];
                    self.tail
                        .extend_from_slice(chunk_size(content.len(), &mut size));
                    self.put_content(content);
                    self.tail.extend_from_slice(b"\r\n");
                }
                if last {
                    self.tail.extend_from_slice(b"0\r\n\r\n");
                }
            }
        }
    }

    pub(super) fn put(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Small(bytes) => {
                let length = self.tail.len();
                if self.tail.capacity() - length < bytes.len() {
                    // At once to what a stream fills before it has to wait, not by doubling.
                    self.tail
                        .reserve(bytes.len().max(GROWN.saturating_sub(length)));
                }
                self.tail.extend_from_slice(bytes);
            }
            Piece::Shared(bytes) => self.queue(Queued::Bytes(bytes)),
        }
    }

    fn put_content(&mut self, content: Content<'_>) {
        match content {
            Content::Piece(piece) => self.put(piece),
            Content::File(file) if file.left() == 0 => {}
            Content::File(file) => self.queue(Queued::File(file)),
        }
    }

    fn queue(&mut self, piece: Queued) {
        let mut before = Bytes::from(std::mem::take(&mut self.tail));
        before.advance(std::mem::take(&mut self.written));
        if !before.is_empty() {
            self.queue.push_back(Queued::Bytes(before));
        }
        self.queue.push_back(piece);
    }

    /// Moves everything of `other` behind what is here.
    pub(super) fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            let mut spare = std::mem::take(&mut self.tail);
            *self = std::mem::take(other);
            spare.clear();
            other.tail = spare;
            return;
        }
        for piece in other.queue.drain(..) {
            self.queue(piece);
        }
        self.tail.extend_from_slice(&other.tail[other.written..]);
        other.tail.clear();
        other.written = 0;
    }

    /// The pieces to be written next, up to the next file.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut count = 0;
        for (slot, piece) in slices.iter_mut().zip(&self.queue) {
            let Queued::Bytes(bytes) = piece else {
                return count;
            };
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        let tail = &self.tail[self.written..];
        if count < MAX_SLICES && !tail.is_empty() {
            slices[count] = IoSlice::new(tail);
            count += 1;
        }
        count
    }

    /// The file that is to be sent next, if it is a file's turn.
    pub(super) fn file(&mut self) -> Option<&mut FilePiece> {
        match self.queue.front_mut() {
            Some(Queued::File(file)) => Some(file),
            _ => None,
        }
    }

    /// Takes the beginning of a file whose turn it is into memory, for streams that can't send from
    /// files. Call it before [`Self::slices`].
    pub(super) fn poll_load(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(file) = self.file() {
            ready!(file.poll_ready(cx))?;
            let bytes = file.load()?;
            self.drop_sent_file();
            self.queue.push_front(Queued::Bytes(bytes));
        }
        Poll::Ready(Ok(()))
    }

    /// Forgets the first piece, if it is a file that has been sent.
    pub(super) fn drop_sent_file(&mut self) {
        if self.file().is_some_and(|file| file.left() == 0) {
            self.queue.pop_front();
        }
    }

    /// `n` bytes have been written.
    pub(super) fn advance(&mut self, mut n: usize) {
        while let Some(Queued::Bytes(first)) = self.queue.front_mut() {
            if n < first.len() {
                first.advance(n);
                return;
            }
            n -= first.len();
            self.queue.pop_front();
        }
        self.written += n;
    }

    /// Takes up to `max` bytes, as they are: less where a piece ends before, and nothing where it is
    /// a file's turn, which [`Self::poll_load`] takes into memory first.
    pub(super) fn take(&mut self, max: usize) -> Bytes {
        if self.queue.is_empty() {
            let mut tail = Bytes::from(std::mem::take(&mut self.tail));
            tail.advance(std::mem::take(&mut self.written));
            self.queue.push_back(Queued::Bytes(tail));
        }
        let Some(Queued::Bytes(first)) = self.queue.front_mut() else {
            return Bytes::new();
        };
        let taken = first.split_to(max.min(first.len()));
        if first.is_empty() {
            self.queue.pop_front();
        }
        taken
    }

    /// The first piece, as far as it is in memory.
    pub(super) fn peek(&self) -> &[u8] {
        match self.queue.front() {
            Some(Queued::Bytes(bytes)) => bytes,
            Some(Queued::File(_)) => &[],
            None => &self.tail[self.written..],
        }
    }

    /// Gives the buffer back for the next use.
    pub(super) fn into_buffer(mut self) -> Vec<u8> {
        self.tail.clear();
        self.tail
    }
}

/// A piece of a body.
#[derive(Debug)]
pub enum Piece<'a> {
    /// Copied: cheaper than to keep its owner alive.
    Small(&'a [u8]),
    /// Kept until it has been written.
    Shared(Bytes),
}

impl Piece<'_> {
    /// Its length in bytes.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // Nobody asks.
    pub fn len(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }
}

/// What a message adds to a body.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Piece(Piece<'a>),
    /// Sent from where it is.
    File(FilePiece),
}

impl Content<'_> {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Piece(piece) => piece.len() as u64,
            Self::File(file) => file.left(),
        }
    }
}

/// The size line of a chunk.
fn chunk_size(len: u64, line: &mut [u8; 18]) -> &[u8] {
    let mut at = line.len() - 2;
    line[at..].copy_from_slice(b"\r\n");
    let mut left = len;
    while left > 0 {
        at -= 1;
        line[at] = b"0123456789abcdef"[(left % 16) as usize];
        left /= 16;
    }
    &line[at..]
}

/// An answer of the server itself, after which the connection closes.
pub(super) fn plain(status: u16, text: &str, defaults: &Defaults, head_only: bool) -> Vec<u8> {
    let framing = Framing::Length(text.len() as u64);
    let mut bytes = plain_head(status).finish(framing, defaults, Persist::Close);
    if !head_only {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The head of an answer of the server itself.
pub(super) fn plain_head(status: u16) -> ResponseHead {
    let mut head = ResponseHead::new(Vec::new(), i64::from(status));
    let legal = head.field(b"content-type", b"text/plain; charset=utf-8");
    debug_assert!(legal.is_ok());
    let more: &[(&[u8], &[u8])] = match status {
        405 => &[(b"allow", b"GET")],
        // RFC 9110 section 15.5.22, RFC 6455 section 4.4.
        426 => &[
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-version", b"13"),
        ],
        503 => &[(b"retry-after", b"1")],
        _ => &[],
    };
    for (name, value) in more {
        let legal = head.field(name, value);
        debug_assert!(legal.is_ok());
    }
    head
}

impl From<BadField> for Refused {
    fn from(bad: BadField) -> Self {
        Self::Field(bad)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Message(refusal)
    }
}

/// Why a message of the application is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Out of order, or a broken promise.
    Message(Refusal),
    /// A header field that could not stand on the wire.
    Field(BadField),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_defaults() -> Defaults {
        Defaults {
            server: true,
            date: false,
            fields: Vec::new(),
            closing: AtomicBool::new(false),
        }
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn a_head_keeps_the_order_of_its_fields() {
        let mut head = ResponseHead::new(Vec::new(), 200);
        for (name, value) in [
            ("a", "1"),
            ("b", "2"),
            ("A", " 3 "),
            ("content-length", "5"),
        ] {
            head.field(name.as_bytes(), value.as_bytes())
                .expect("a good field");
        }
        assert_eq!(head.declared().length, Some(5));
        let bytes = head.finish(Framing::Length(5), &plain_defaults(), Persist::Default);
        let expected = "HTTP/1.1 200 OK\r\nserver: lowmem-serve\r\n\
                        a: 1\r\nb: 2\r\nA: 3\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(text(&bytes), expected);
    }

    #[test]
    fn the_application_may_name_the_server_and_close() {
        let mut head = ResponseHead::new(Vec::new(), 299);
        head.field(b"Server", b"mine").expect("a good field");
        head.field(b"Connection", b"Close").expect("a good field");
        assert!(head.wants_close());
        let bytes = head.finish(Framing::Chunked, &plain_defaults(), Persist::Close);
        let expected = "HTTP/1.1 299 \r\nServer: mine\r\ntransfer-encoding: chunked\r\n\
                        connection: close\r\n\r\n";
        assert_eq!(text(&bytes), expected);
    }

    #[test]
    fn fields_that_could_split_a_response_are_refused() {
        let mut head = ResponseHead::new(Vec::new(), 200);
        for name in ["", "a b", "a:", "a\r\nb", "é"] {
            assert_eq!(
                head.field(name.as_bytes(), b"x"),
                Err(BadField::Name),
                "{name:?}"
            );
        }
        for value in ["a\r\nb: c", "a\nb", "a\rb", "a\0b", "\x7f"] {
            assert_eq!(
                head.field(b"x", value.as_bytes()),
                Err(BadField::Value),
                "{value:?}"
            );
        }
        for value in ["x", "-1", "+1", "1, 1", ""] {
            let refused = head.field(b"content-length", value.as_bytes());
            assert_eq!(refused, Err(BadField::Length), "{value:?}");
        }
        assert_eq!(head.field(b"x", "é\t".as_bytes()), Ok(()));
    }

    #[test]
    fn small_pieces_are_copied_and_large_ones_shared() {
        let mut out = Outgoing::default();
        out.put_head(b"head ".to_vec());
        let content = Content::Piece(Piece::Small(b"abc"));
        out.put_body(Framing::Chunked, content, false);
        out.put_body(
            Framing::Chunked,
            Content::Piece(Piece::Shared(Bytes::from_static(b"0123456789abcdef"))),
            true,
        );
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = out.slices(&mut slices);
        let wire: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
        assert_eq!(
            text(&wire),
            "head 3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
        );
        assert_eq!(out.len(), wire.len());
        out.advance(20);
        out.advance(wire.len() - 20);
        assert!(out.is_empty());
    }
}
