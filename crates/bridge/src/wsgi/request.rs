//! A request on its way to a thread of the pool.

use std::sync::Arc;

use lowmem_http::asgi::http::Version;
use lowmem_http::peers::Peers;
use lowmem_http::server::{Exchange, Forwarded, RequestHead};

/// The facts of a connection that its requests show.
pub struct Link {
    pub peers: Peers,
    /// It is encrypted.
    pub secure: bool,
}

impl Link {
    pub fn new(peers: &Peers, secure: bool) -> Self {
        Self {
            peers: peers.clone(),
            secure,
        }
    }
}

/// A request for a thread, without a Python object in it: the server's thread does not hold the interpreter,
/// and a queued request should be small.
pub struct Request {
    /// Method, path, query, then the names and values of the fields, one behind the other.
    text: Box<[u8]>,
    /// Where each of them ends.
    ends: Box<[u32]>,
    /// How many bytes of the path the application is mounted at.
    pub root: usize,
    pub version: Version,
    pub link: Arc<Link>,
    /// The client's address and scheme according to a trusted proxy.
    pub forwarded: Option<Box<Forwarded>>,
    pub exchange: Arc<Exchange>,
}

impl Request {
    pub fn new(head: &RequestHead<'_>, link: &Arc<Link>, exchange: Arc<Exchange>) -> Self {
        let fields = head.headers.iter().flat_map(|field| {
            let value = match head.authority {
                Some(authority) if field.name.eq_ignore_ascii_case("host") => authority,
                _ => field.value.trim_ascii(),
            };
            [field.name.as_bytes(), value]
        });
        let parts = [head.method.as_bytes(), head.path, head.query].into_iter();
        let mut text = Vec::new();
        let mut ends = Vec::with_capacity(3 + 2 * head.headers.len());
        for part in parts.chain(fields) {
            text.extend_from_slice(part);
            // A head is far smaller than four gigabytes.
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        Self {
            text: text.into(),
            ends: ends.into(),
            root: head.root,
            version: head.version,
            link: Arc::clone(link),
            forwarded: head.forwarded.clone().map(Box::new),
            exchange,
        }
    }

    fn part(&self, number: usize) -> &[u8] {
        let begin = number.checked_sub(1).map_or(0, |last| self.ends[last]);
        &self.text[begin as usize..self.ends[number] as usize]
    }

    pub fn method(&self) -> &[u8] {
        self.part(0)
    }

    /// Still percent-encoded.
    pub fn path(&self) -> &[u8] {
        self.part(1)
    }

    pub fn query(&self) -> &[u8] {
        self.part(2)
    }

    /// Names in the case sent, and values.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let count = (self.ends.len() - 3) / 2;
        (0..count).map(|field| (self.part(3 + 2 * field), self.part(4 + 2 * field)))
    }
}
