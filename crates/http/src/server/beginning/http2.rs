//! The first request of an HTTP/2 connection without TLS, whose client has known that it may begin so.

use super::Beginning;
use crate::server::head::PREFACE;
use crate::server::hpack::{Decoder, FieldList};
use crate::server::http2::protocol::frame::{self, HEAD, Head};

/// The bytes behind [`PREFACE`] (RFC 9113 section 3.4).
const REST: &[u8] = b"SM\r\n\r\n";

/// Fields of the first request: what there is space for to look at has no more.
const MOST: usize = 64 * 1024;

/// Whether it begins as HTTP/2 does, or could.
pub(super) fn may_be(bytes: &[u8]) -> bool {
    let known = bytes.len().min(PREFACE.len());
    // A P could become POST, but would by the second byte.
    bytes[..known] == PREFACE[..known]
}

pub(super) fn look(bytes: &[u8]) -> Beginning {
    let known = bytes.len().saturating_sub(PREFACE.len()).min(REST.len());
    if bytes.len() <= PREFACE.len() || known < REST.len() {
        return Beginning::Unfinished;
    }
    if bytes[PREFACE.len()..][..known] != *REST {
        return Beginning::Bad("malformed HTTP/2 preface");
    }
    match first_block(&bytes[PREFACE.len() + REST.len()..]) {
        Ok(Some(block)) => named(&block),
        Ok(None) => Beginning::Unfinished,
        Err(why) => Beginning::Bad(why),
    }
}

/// The field block of the first request, once it is whole.
fn first_block(mut rest: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut block = Vec::new();
    let mut has_begun = false;
    while let Some((head, after)) = rest.split_first_chunk::<HEAD>() {
        let head = Head::parse(head);
        let Some((payload, after)) = after.split_at_checked(head.length) else {
            return Ok(None);
        };
        rest = after;
        let part = match head.kind {
            frame::HEADERS if !has_begun => bare(&head, payload).ok_or("malformed HEADERS")?,
            frame::CONTINUATION if has_begun => payload,
            _ if has_begun => return Err("a frame within a field block"),
            frame::DATA => return Err("DATA before a request"),
            _ => continue,
        };
        has_begun = true;
        block.extend_from_slice(part);
        if head.has(frame::END_HEADERS) {
            return Ok(Some(block));
        }
    }
    Ok(None)
}

/// The payload of HEADERS without padding and priority (section 6.2).
fn bare<'a>(head: &Head, mut payload: &'a [u8]) -> Option<&'a [u8]> {
    let mut padding = 0;
    if head.has(frame::PADDED) {
        let (first, rest) = payload.split_first()?;
        (padding, payload) = (usize::from(*first), rest);
    }
    if head.has(frame::WITH_PRIORITY) {
        payload = payload.get(5..)?;
    }
    payload.get(..payload.len().checked_sub(padding)?)
}

fn named(block: &[u8]) -> Beginning {
    let mut fields = FieldList::default();
    fields.reset(MOST);
    if Decoder::default().decode(block, &mut fields).is_err() {
        return Beginning::Bad("a field block that cannot be decoded");
    }
    let value = |wanted: &[u8]| {
        let mut fields = fields.iter();
        let found = fields.find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value)
    };
    let Some(path) = value(b":path") else {
        return Beginning::Bad("a request without :path");
    };
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#'));
    Beginning::Request {
        host: value(b":authority")
            .or_else(|| value(b"host"))
            .unwrap_or_default()
            .to_vec(),
        path: path[..end.unwrap_or(path.len())].to_vec(),
        is_http2: true,
    }
}
