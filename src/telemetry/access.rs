//! Access lines: one for each response, to stdout.
//!
//! On the hot path: lines are formatted into one buffer that is reused, and the worker flushes it
//! once a turn of its loop, so that a burst of responses costs one `write(2)`.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::json::Object;
use super::lines;
use super::paint::RESET;
use super::records::{self, Records};
use super::time::Rfc3339;
use crate::config::{LogFormat, LogSettings};

/// A buffer of this size is written without waiting for the turn to end: half of what a pipe holds.
const FLUSH_AT: usize = 32 * 1024;

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
    /// From the request's head to the response's, if it was measured.
    pub duration: Option<Duration>,
    /// The body's length, if it is known.
    pub bytes: Option<u64>,
}

impl AccessLine<'_> {
    /// Path and query, without what could forge a line.
    pub fn path(&self) -> String {
        let mut path = Vec::with_capacity(self.target.len());
        target(&mut path, self.target);
        // `target` leaves ASCII only.
        String::from_utf8(path).unwrap_or_default()
    }
}

/// Formats access lines and writes them to stdout.
pub struct AccessLog {
    buffer: Vec<u8>,
    /// Who writes them instead.
    records: Option<Arc<dyn Records>>,
    format: LogFormat,
    colors: bool,
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unwritten = self.buffer.len();
        f.debug_struct("AccessLog")
            .field("unwritten", &unwritten)
            .finish_non_exhaustive()
    }
}

impl AccessLog {
    /// An empty buffer, which allocates with its first line.
    pub fn new(settings: &LogSettings) -> Self {
        Self {
            buffer: Vec::new(),
            records: records::current(),
            format: settings.format,
            colors: settings.stdout_colors,
        }
    }

    /// Adds a line.
    pub fn record(&mut self, line: &AccessLine<'_>) {
        if let Some(records) = &self.records {
            records.access(line);
            return;
        }
        match self.format {
            LogFormat::Human => human(&mut self.buffer, line, self.colors),
            LogFormat::Json => json(&mut self.buffer, line, SystemTime::now()),
        }
        if self.buffer.len() >= FLUSH_AT {
            self.flush();
        }
    }

    /// Whether there is anything to flush.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Writes what has gathered, in one call if stdout takes it.
    pub fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        // When stdout is closed there is nobody to read the lines, and no reason to stop serving.
        let _ = write_all(io::stdout().as_fd(), &self.buffer);
        self.buffer.clear();
    }
}

/// Not `std::io::Stdout`: its line buffer would write each line by itself.
fn write_all(stdout: std::os::fd::BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(stdout, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            // A pipe that some other process made non-blocking.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn human(out: &mut Vec<u8>, line: &AccessLine<'_>, colors: bool) {
    let style = |code: &'static str| if colors { code } else { "" };
    let reset = style(RESET);
    lines::prefix(out, "INFO", colors.then_some("\x1b[32m"));
    // Writing into memory does not fail.
    let _ = write!(
        out,
        "{} - \"{}{} ",
        line.client,
        style("\x1b[1m"),
        line.method
    );
    target(out, line.target);
    let status_color = style(color_of(line.status));
    let _ = write!(out, " HTTP/{}{reset}\" {status_color}", line.version);
    out.extend_from_slice(itoa::Buffer::new().format(line.status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(phrase(line.status).as_bytes());
    out.extend_from_slice(reset.as_bytes());
    out.push(b'\n');
}

fn json(out: &mut Vec<u8>, line: &AccessLine<'_>, time: SystemTime) {
    let mut object = Object::begin(out);
    object.text("time", &Rfc3339(time).to_string());
    object.text("level", "info");
    object.text("client", &line.client.to_string());
    object.text("method", line.method);
    object.text("path", &line.path());
    object.text("http_version", line.version);
    object.bare("status", line.status);
    if let Some(duration) = line.duration {
        let milli = duration.as_secs_f64() * 1000.0;
        object.bare("duration_ms", format_args!("{milli:.3}"));
    }
    if let Some(bytes) = line.bytes {
        object.bare("bytes", bytes);
    }
    object.bare("pid", std::process::id());
    object.end();
}

/// Writes a request target, percent-encoding what could forge a line or move a terminal's cursor.
fn target(out: &mut Vec<u8>, target: &[u8]) {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'"';
    let mut rest = target;
    while let Some(at) = rest.iter().position(|byte| !is_plain(byte)) {
        out.extend_from_slice(&rest[..at]);
        // Writing into memory does not fail.
        let _ = write!(out, "%{:02X}", rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// A request target as the lines show it.
pub fn printable(raw: &[u8]) -> String {
    let mut text = Vec::with_capacity(raw.len());
    target(&mut text, raw);
    // `target` leaves ASCII only.
    String::from_utf8(text).unwrap_or_default()
}

fn color_of(status: u16) -> &'static str {
    match status / 100 {
        1 => "\x1b[97m",
        2 => "\x1b[32m",
        3 => "\x1b[33m",
        4 => "\x1b[31m",
        5 => "\x1b[91m",
        _ => "",
    }
}

/// The phrases of Python's `http.HTTPStatus`, which Uvicorn prints; nothing for a status it does not know.
fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Requested Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a Teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Entity",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::UNIX_EPOCH;

    use super::*;

    fn line<'a>(client: &'a SocketAddr, target: &'a [u8], status: u16) -> AccessLine<'a> {
        AccessLine {
            client,
            method: "GET",
            target,
            version: "1.1",
            status,
            duration: Some(Duration::from_micros(1500)),
            bytes: Some(2),
        }
    }

    fn client() -> SocketAddr {
        "127.0.0.1:41462".parse().unwrap()
    }

    fn human_text(target: &[u8], status: u16, colors: bool) -> String {
        let mut out = Vec::new();
        human(&mut out, &line(&client(), target, status), colors);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_is_uvicorns() {
        assert_eq!(
            human_text(b"/a%20b?x=1", 200, false),
            "INFO:     127.0.0.1:41462 - \"GET /a%20b?x=1 HTTP/1.1\" 200 OK\n"
        );
        assert!(human_text(b"/", 299, false).ends_with("\" 299 \n"));
    }

    #[test]
    fn colours_are_uvicorns() {
        assert_eq!(
            human_text(b"/", 404, true),
            "\x1b[32mINFO\x1b[0m:     127.0.0.1:41462 - \"\x1b[1mGET / HTTP/1.1\x1b[0m\" \x1b[31m404 Not Found\x1b[0m\n"
        );
    }

    #[test]
    fn a_target_cannot_forge_a_line() {
        let text = human_text(b"/\"\n\x1b[2J\xff", 200, false);
        assert!(text.contains("/%22%0A%1B[2J%FF"));
    }

    #[test]
    fn json_carries_duration_and_bytes() {
        let mut out = Vec::new();
        json(&mut out, &line(&client(), b"/x", 500), UNIX_EPOCH);
        let object: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(object["status"], 500);
        assert_eq!(object["duration_ms"], 1.5);
        assert_eq!(object["bytes"], 2);
        assert_eq!(object["path"], "/x");
    }
}
