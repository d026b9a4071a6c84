//! An answer about a file, before it is written.

use std::fs::{File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::asked::{Asked, Method};
use super::codings::Coding;
use super::conditions::{Validators, Verdict};
use super::ranges::Ranges;
use super::root::Patience;
use crate::server::exchange::Exchange;
use crate::server::response::{FilePiece, Piece, ResponseHead, read_cached};
use lowmem_base::status::reason_phrase;

/// A body of so many bytes is read and written together with its head: one system call more to send
/// it from the file, and one packet more, would cost more.
const SMALL: u64 = 16 * 1024;

/// Status, fields and body.
#[derive(Debug)]
pub(super) struct Reply {
    status: u16,
    fields: Vec<(&'static str, String)>,
    /// Of the body, which HEAD does not get.
    length: Option<u64>,
    body: Vec<Part>,
}

/// A part of a body.
#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    File(FilePiece),
}

/// A file that was found for a request.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: File,
    pub(super) about: Metadata,
    pub(super) media_type: String,
    pub(super) coding: Option<Coding>,
    /// Other codings of it exist, and clients get them as they ask.
    pub(super) varies: bool,
}

impl Reply {
    /// A plain answer.
    pub(super) fn plain(status: u16) -> Self {
        let text = reason_phrase(i64::from(status));
        Self {
            status,
            fields: vec![("content-type", "text/plain; charset=utf-8".to_owned())],
            length: Some(text.len() as u64),
            body: vec![Part::Bytes(text.into())],
        }
    }

    /// RFC 9110 section 15.5.6
    pub(super) fn method_not_allowed() -> Self {
        Self::plain(405).with("allow", "GET, HEAD".to_owned())
    }

    pub(super) fn moved(location: String) -> Self {
        Self::plain(301).with("location", location)
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.fields.push((name, value));
        self
    }

    /// The reply to a request for a file.
    ///
    /// # Errors
    /// A small one cannot be read, or not without waiting.
    pub(super) fn of(
        found: Found,
        asked: &Asked,
        cache_control: Option<&str>,
        patience: Patience,
    ) -> io::Result<Self> {
        let size = found.about.len();
        let validators = validators(&found);
        let mut reply = Self {
            status: 200,
            fields: about(&found, &validators, cache_control),
            length: None,
            body: Vec::new(),
        };
        match asked.conditions.verdict(&validators) {
            Verdict::Serve => {}
            Verdict::Failed => return Ok(Self::plain(412)),
            Verdict::NotModified => {
                reply.status = 304;
                return Ok(reply);
            }
        }
        let ranges = match &asked.range {
            Some(range) if asked.conditions.allow_range(&validators) => Ranges::parse(range, size),
            _ => Ranges::Whole,
        };
        let media_type = found.media_type;
        let source = Source {
            file: Arc::new(found.file),
            size,
            patience,
        };
        match ranges {
            Ranges::Unsatisfiable => {
                let range = format!("bytes */{size}");
                return Ok(Self::plain(416).with("content-range", range));
            }
            Ranges::Whole if asked.method == Method::Head => reply.length = Some(size),
            Ranges::Whole => reply.set_body(vec![source.part(0..size)?]),
            Ranges::Parts(parts) => match parts.as_slice() {
                [part] => reply.set_part(&source, part)?,
                _ => return reply.in_parts(&source, parts, &media_type),
            },
        }
        Ok(reply.with("content-type", media_type))
    }

    fn set_body(&mut self, body: Vec<Part>) {
        self.length = Some(body.iter().map(Part::len).sum());
        self.body = body;
    }

    /// One range (RFC 9110 section 14.2).
    fn set_part(&mut self, source: &Source, part: &Range<u64>) -> io::Result<()> {
        self.status = 206;
        let range = source.content_range(part);
        self.fields.push(("content-range", range));
        self.set_body(vec![source.part(part.clone())?]);
        Ok(())
    }

    /// Several ranges (RFC 9110 section 14.6).
    fn in_parts(
        mut self,
        source: &Source,
        parts: Vec<Range<u64>>,
        media_type: &str,
    ) -> io::Result<Self> {
        // Another one each time: the file's own bytes cannot know it.
        let boundary = format!("{:016x}", RandomState::new().hash_one(()));
        let mut body = Vec::new();
        for part in parts {
            let range = source.content_range(&part);
            let head = format!(
                "\r\n--{boundary}\r\ncontent-type: {media_type}\r\ncontent-range: {range}\r\n\r\n"
            );
            body.push(Part::Bytes(head.into()));
            body.push(source.part(part)?);
        }
        body.push(Part::Bytes(format!("\r\n--{boundary}--\r\n").into()));
        self.status = 206;
        let kind = format!("multipart/byteranges; boundary={boundary}");
        self.set_body(body);
        Ok(self.with("content-type", kind))
    }

    /// Writes it as the response of a request, for which nothing more is done.
    pub(super) fn deliver(self, exchange: &Exchange) {
        self.write(exchange);
        let _ = exchange.finish();
    }

    fn write(self, exchange: &Exchange) {
        // Refused, the client has been answered in another way, or has gone.
        let Ok(buffer) = exchange.begin() else { return };
        let mut head = ResponseHead::new(buffer, i64::from(self.status));
        let length = self
            .length
            .map(|length| ("content-length", length.to_string()));
        for (name, value) in self.fields.iter().chain(&length) {
            if let Err(bad) = head.field(name.as_bytes(), value.as_bytes()) {
                tracing::debug!("{name}: {value:?}: {bad}");
            }
        }
        if exchange.start(head).is_err() {
            return;
        }
        let mut parts = self.body.into_iter().peekable();
        if parts.peek().is_none() {
            let _ = exchange.body(Piece::Small(b""), false);
        }
        while let Some(part) = parts.next() {
            let more = parts.peek().is_some();
            let _ = match part {
                Part::Bytes(bytes) => exchange.body(Piece::Small(&bytes), more),
                Part::File(file) => exchange.file(file, more),
            };
        }
    }
}

/// An opened file, to take parts from.
struct Source {
    file: Arc<File>,
    size: u64,
    patience: Patience,
}

impl Source {
    fn content_range(&self, part: &Range<u64>) -> String {
        format!("bytes {}-{}/{}", part.start, part.end - 1, self.size)
    }

    fn part(&self, range: Range<u64>) -> io::Result<Part> {
        let length = range.end - range.start;
        let Some(small) = usize::try_from(length).ok().filter(|_| length <= SMALL) else {
            let file = Arc::clone(&self.file);
            return Ok(Part::File(FilePiece::new(file, range.start, length)));
        };
        let mut bytes = vec![0; small];
        match self.patience {
            Patience::None => {
                if read_cached(&self.file, range.start, &mut bytes)? < small {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Patience::Disk => self.file.read_exact_at(&mut bytes, range.start)?,
        }
        Ok(Part::Bytes(bytes))
    }
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.left(),
        }
    }
}

fn validators(found: &Found) -> Validators {
    let seconds = u64::try_from(found.about.mtime()).unwrap_or(0);
    let nanos = u32::try_from(found.about.mtime_nsec()).unwrap_or(0);
    let coding = found.coding.map(Coding::name);
    Validators::new(found.about.len(), Duration::new(seconds, nanos), coding)
}

/// The fields that a 304 has, too (RFC 9110 section 15.4.5).
fn about(
    found: &Found,
    validators: &Validators,
    cache_control: Option<&str>,
) -> Vec<(&'static str, String)> {
    // RFC 9110 section 8.8.2.1: no date that is still to come.
    let modified = validators.modified.min(SystemTime::now()).max(UNIX_EPOCH);
    let mut fields = vec![
        ("accept-ranges", "bytes".to_owned()),
        ("etag", validators.etag.clone()),
        ("last-modified", httpdate::fmt_http_date(modified)),
    ];
    let coding = found.coding.map(|coding| coding.name().to_owned());
    fields.extend(coding.map(|coding| ("content-encoding", coding)));
    if found.varies {
        fields.push(("vary", "accept-encoding".to_owned()));
    }
    fields.extend(cache_control.map(|value| ("cache-control", value.to_owned())));
    fields
}
