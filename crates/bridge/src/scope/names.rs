//! Bytes objects that many requests share.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Names that most requests carry, as bytes objects made once. Found by length first.
pub struct Names {
    by_length: Vec<Vec<(&'static str, Py<PyBytes>)>>,
    /// `websocket`, `Upgrade` and `13`.
    values: [Py<PyBytes>; 3],
}

impl Names {
    const COMMON: [&'static str; 51] = [
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "authorization",
        "cache-control",
        "connection",
        "content-disposition",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "dnt",
        "expect",
        "forwarded",
        "from",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "origin",
        "pragma",
        "priority",
        "range",
        "referer",
        "sec-ch-ua",
        "sec-ch-ua-mobile",
        "sec-ch-ua-platform",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "te",
        "traceparent",
        "transfer-encoding",
        "upgrade",
        "upgrade-insecure-requests",
        "user-agent",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
    ];

    pub fn new(py: Python<'_>) -> Self {
        let longest = Self::COMMON
            .iter()
            .map(|name| name.len())
            .max()
            .unwrap_or(0);
        let mut by_length: Vec<Vec<_>> = (0..=longest).map(|_| Vec::new()).collect();
        for name in Self::COMMON {
            by_length[name.len()].push((name, PyBytes::new(py, name.as_bytes()).unbind()));
        }
        let values = [&b"websocket"[..], b"Upgrade", b"13"];
        Self {
            by_length,
            values: values.map(|value| PyBytes::new(py, value).unbind()),
        }
    }

    /// A value of a WebSocket's handshake, which lasts as long as it: those that all have are made
    /// once.
    pub fn value<'py>(&self, py: Python<'py>, value: &[u8]) -> Bound<'py, PyBytes> {
        let known = match value {
            b"websocket" => &self.values[0],
            b"Upgrade" => &self.values[1],
            b"13" => &self.values[2],
            _ => return PyBytes::new(py, value),
        };
        known.bind(py).clone()
    }

    /// The name in lower case.
    pub fn get<'py>(&self, py: Python<'py>, name: &str) -> Bound<'py, PyBytes> {
        let common = self.by_length.get(name.len()).into_iter().flatten();
        for (known, bytes) in common {
            if name.eq_ignore_ascii_case(known) {
                return bytes.bind(py).clone();
            }
        }
        PyBytes::new(py, name.to_ascii_lowercase().as_bytes())
    }
}
