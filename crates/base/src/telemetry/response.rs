//! A response, as a line of the access log shows it.

use std::fmt;
use std::time::Duration;

use super::printable::printable;
use super::trace::Trace;

/// One response. Human lines show what Uvicorn's show; JSON has the rest.
pub struct AccessLine<'a> {
    /// The client's address: a `SocketAddr`, a text, or `""` when there is none.
    pub client: &'a dyn fmt::Display,
    /// The request's method.
    pub method: &'a str,
    /// Path and query as they came.
    pub target: &'a [u8],
    /// `1.0`, `1.1` or `2`.
    pub version: &'a str,
    /// The response's status.
    pub status: u16,
    /// From the request's head to the end of the response, if it was measured.
    pub duration: Option<Duration>,
    /// The body's length, if it is known.
    pub bytes: Option<u64>,
    /// The request's fields that the format names, in its order.
    pub headers: &'a [Option<Box<[u8]>>],
    /// The request's id in other logs.
    pub request_id: Option<&'a [u8]>,
    /// Its `traceparent`, where the format shows it.
    pub traceparent: Option<&'a [u8]>,
}

impl AccessLine<'_> {
    /// The trace that the request belongs to, if it says so.
    pub fn trace(&self) -> Option<Trace<'_>> {
        self.traceparent.and_then(Trace::parse)
    }

    /// Path and query, without what could forge a line.
    pub fn path(&self) -> String {
        printable(self.target)
    }
}
