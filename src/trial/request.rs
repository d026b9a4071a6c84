//! The requests that an application is warmed with.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// For the application to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request without a body: `/path`, or `DELETE /path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: String,
    target: String,
}

/// The requests to a server on trial before it is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warmth {
    /// Each of them …
    pub requests: Vec<Request>,
    /// … so many times.
    pub count: u32,
}

/// How a request was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// The request, as it was typed.
    pub request: String,
    /// How often each status came.
    pub statuses: BTreeMap<u16, u32>,
}

impl Request {
    /// Sends it on a connection of its own; the answer's status, once all of it has come.
    pub(super) fn send(&self, address: SocketAddr) -> io::Result<u16> {
        let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let Self { method, target } = self;
        write!(
            connection,
            "{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             user-agent: lowmem-serve\r\naccept: */*\r\ncontent-length: 0\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer)?;
        status_of(&answer).ok_or_else(|| io::Error::other("the answer is not HTTP"))
    }
}

/// `HTTP/1.1 200 OK`, where nothing that comes before the answer itself (1xx) counts.
fn status_of(answer: &[u8]) -> Option<u16> {
    let mut rest = answer;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(rest).ok()? else {
            return None;
        };
        match head.code? {
            100..200 => rest = &rest[length..],
            status => return Some(status),
        }
    }
}

impl Answers {
    pub(super) fn to(request: &Request) -> Self {
        Self {
            request: request.to_string(),
            statuses: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, status: u16) {
        *self.statuses.entry(status).or_default() += 1;
    }

    /// Whether the application failed in one of them.
    pub fn failed(&self) -> bool {
        self.statuses.keys().any(|status| *status >= 500)
    }
}

impl FromStr for Request {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (method, target) = text.split_once(' ').unwrap_or(("GET", text));
        let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
        let is_target = target.starts_with('/') && target.bytes().all(|b| b.is_ascii_graphic());
        if !is_method || !is_target {
            return Err("not a request like /path or 'DELETE /path'".to_owned());
        }
        Ok(Self {
            method: method.to_owned(),
            target: target.to_owned(),
        })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

/// `GET / (200 ×10)`.
impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.request)?;
        for (at, (status, count)) in self.statuses.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{status} ×{count}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_path_with_or_without_a_method() {
        let shown = |text: &str| text.parse::<Request>().map(|r| r.to_string());
        assert_eq!(shown("/a?b=c").as_deref(), Ok("GET /a?b=c"));
        assert_eq!(shown("DELETE /a").as_deref(), Ok("DELETE /a"));
        for wrong in ["", "a", "get /", "GET a", "GET /a b", "/a\r\nx: y"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_status_is_that_of_the_final_answer() {
        let early = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 404 No\r\n\r\nbody";
        assert_eq!(status_of(early), Some(404));
        assert_eq!(status_of(b"HTTP/1.1 200"), None);
        assert_eq!(status_of(b""), None);
    }

    #[test]
    fn answers_are_counted_by_status() {
        let mut answers = Answers::to(&"/".parse().unwrap());
        for status in [200, 200, 503] {
            answers.add(status);
        }
        assert_eq!(answers.to_string(), "GET / (200 ×2, 503 ×1)");
        assert!(answers.failed());
    }
}
