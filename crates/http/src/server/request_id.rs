//! `--request-id`: a name for each request, which the application, the access log and the client
//! all know.
//!
//! A proxy that has named the request is believed, as every server does it: the name says nothing
//! about rights. But it goes into logs, so one that is long or strange is replaced.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use httparse::Header;

use super::RequestHead;

/// The field that proxies and tracing tools agree on.
pub(super) const NAME: &str = "x-request-id";

/// Longer than any UUID, ULID or trace context.
const LONGEST: usize = 128;

/// Names requests.
#[derive(Debug, Default)]
pub(super) struct RequestIds {
    /// Another one in each process, so that no two workers give the same names.
    random: [RandomState; 2],
    given: Cell<u64>,
}

impl RequestIds {
    /// The request's name: the one that it brings, or 32 hexadecimal digits.
    pub(super) fn of(&self, head: &RequestHead<'_>) -> Box<[u8]> {
        if let Some(brought) = head.header(NAME).filter(|id| is_harmless(id)) {
            return Box::from(brought);
        }
        let number = self.given.get();
        self.given.set(number + 1);
        let [first, second] = self.random.each_ref().map(|random| random.hash_one(number));
        format!("{first:016x}{second:016x}").into_bytes().into()
    }
}

/// The fields with this name for the request instead of any other.
pub(super) fn renamed<'a>(headers: &[Header<'a>], id: &'a [u8]) -> Vec<Header<'a>> {
    let others = headers
        .iter()
        .filter(|header| !header.name.eq_ignore_ascii_case(NAME));
    let own = Header {
        name: NAME,
        value: id,
    };
    others.copied().chain([own]).collect()
}

/// Adds the name to a response's head, unless the application has said one.
pub(super) fn announce(head: &mut Vec<u8>, id: &[u8]) {
    let first_line = head.iter().position(|byte| *byte == b'\n');
    let (false, Some(at)) = (is_named(head), first_line) else {
        return;
    };
    let field = [NAME.as_bytes(), b": ", id, b"\r\n"].concat();
    head.splice(at + 1..at + 1, field);
}

/// Whether there is a line of the application's own about it.
pub(super) fn is_named(lines: &[u8]) -> bool {
    lines.split(|byte| *byte == b'\n').any(|line| {
        let name = line.split(|byte| *byte == b':').next();
        name.is_some_and(|name| name.eq_ignore_ascii_case(NAME.as_bytes()))
    })
}

fn is_harmless(id: &[u8]) -> bool {
    let may_be = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    !id.is_empty() && id.len() <= LONGEST && id.iter().all(may_be)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_told_the_name_once() {
        let mut head = b"HTTP/1.1 200 OK\r\na: 1\r\n\r\n".to_vec();
        announce(&mut head, b"abc");
        assert_eq!(
            head,
            b"HTTP/1.1 200 OK\r\nx-request-id: abc\r\na: 1\r\n\r\n"
        );
        announce(&mut head, b"def");
        assert!(!head.windows(3).any(|three| three == b"def"));
    }

    #[test]
    fn strange_names_are_not_taken() {
        assert!(is_harmless(b"0af7651916cd43dd-8448eb211c80319c"));
        for strange in [&b""[..], b"a b", b"a\"", b"\x1b[2J", &[b'a'; 129]] {
            assert!(!is_harmless(strange));
        }
    }
}
