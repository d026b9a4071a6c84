//! Access lines: one for each response, to stdout or to a file.
//!
//! On the hot path: lines are formatted into one buffer that is reused, and the worker flushes it
//! once a turn of its loop, so that a burst of responses costs one `write(2)`.

mod phrase;
mod template;

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use self::phrase::phrase;
use super::json::Object;
use super::lines;
use super::name;
use super::paint::RESET;
use super::printable::target;
use super::records;
use super::response::AccessLine;
use super::time::Rfc3339;
use super::trace::Trace;
use crate::config::{AccessFormat, AccessSettings};

/// A buffer of this size is written without waiting for the turn to end: half of what a pipe holds.
const FLUSH_AT: usize = 32 * 1024;

/// Formats access lines and writes them to stdout.
pub struct AccessLog {
    /// Not borrowed while records are written: a handler of the application's may lead back here.
    buffer: RefCell<Vec<u8>>,
    format: AccessFormat,
    colors: bool,
    /// The application's name, where there are several.
    application: Option<Arc<str>>,
    /// Where it goes, unless to stdout.
    file: Option<File>,
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unwritten = self.buffer.borrow().len();
        f.debug_struct("AccessLog")
            .field("unwritten", &unwritten)
            .finish_non_exhaustive()
    }
}

impl AccessLog {
    /// An empty buffer, which allocates with its first line.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn new(settings: &AccessSettings) -> io::Result<Self> {
        let open = |path: &PathBuf| File::options().append(true).create(true).open(path);
        Ok(Self {
            buffer: RefCell::default(),
            format: settings.format.clone(),
            colors: settings.colors && settings.file.is_none(),
            application: name::current(),
            file: settings.file.as_ref().map(open).transpose()?,
        })
    }

    /// The parts of a line: which of a request's fields it shows, and when it is complete.
    pub fn format(&self) -> &AccessFormat {
        &self.format
    }

    /// Adds a line.
    pub fn record(&self, line: &AccessLine<'_>) {
        if records::current().is_some_and(|records| records.access(line)) {
            return;
        }
        let application = self.application.as_deref();
        let mut buffer = self.buffer.borrow_mut();
        let out = &mut *buffer;
        append(out, &self.format, line, (application, self.colors));
        if out.len() >= FLUSH_AT {
            self.write_out(out);
        }
    }

    /// Whether there is anything to flush.
    pub fn is_empty(&self) -> bool {
        self.buffer.borrow().is_empty()
    }

    /// Writes what has gathered, in one call if stdout takes it.
    pub fn flush(&self) {
        let mut buffer = self.buffer.borrow_mut();
        if !buffer.is_empty() {
            self.write_out(&mut buffer);
        }
    }

    fn write_out(&self, buffer: &mut Vec<u8>) {
        let stdout = io::stdout();
        let place = self.file.as_ref().map_or(stdout.as_fd(), AsFd::as_fd);
        // When it is closed or full the lines are lost, which is no reason to stop serving.
        let _ = write_all(place, buffer);
        buffer.clear();
    }
}

/// A line of this format as it is written, for the fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
#[must_use]
pub fn written(format: &AccessFormat, line: &AccessLine<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, format, line, (None, false));
    out
}

fn append(
    out: &mut Vec<u8>,
    format: &AccessFormat,
    line: &AccessLine<'_>,
    (application, colors): (Option<&str>, bool),
) {
    match format {
        AccessFormat::Uvicorn => human(out, line, application, colors),
        AccessFormat::Json => json(out, line, application, SystemTime::now()),
        AccessFormat::Template(pieces) => template::write(out, pieces, line, SystemTime::now()),
    }
}

/// Not `std::io::Stdout`: its line buffer would write each line by itself.
fn write_all(place: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(place, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            // A pipe that some other process made non-blocking.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&place, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn human(out: &mut Vec<u8>, line: &AccessLine<'_>, application: Option<&str>, colors: bool) {
    let style = |code: &'static str| if colors { code } else { "" };
    let reset = style(RESET);
    lines::prefix(out, "INFO", colors.then_some("\x1b[32m"));
    lines::about(out, application);
    client(out, line.client);
    // Writing into memory does not fail.
    let _ = write!(out, " - \"{}{} ", style("\x1b[1m"), line.method);
    target(out, line.target);
    let status_color = style(color_of(line.status));
    let _ = write!(out, " HTTP/{}{reset}\" {status_color}", line.version);
    out.extend_from_slice(itoa::Buffer::new().format(line.status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(phrase(line.status).as_bytes());
    out.extend_from_slice(reset.as_bytes());
    out.push(b'\n');
}

fn json(out: &mut Vec<u8>, line: &AccessLine<'_>, application: Option<&str>, time: SystemTime) {
    let mut object = Object::begin(out);
    object.text("time", &Rfc3339(time).to_string());
    object.text("level", "info");
    if let Some(application) = application {
        object.text("app", application);
    }
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
    if let Some(id) = line.request_id {
        let mut escaped = Vec::new();
        template::escaped(&mut escaped, id);
        object.text("request_id", &String::from_utf8_lossy(&escaped));
    }
    if let Some(Trace { trace_id, span_id }) = line.trace() {
        object.text("trace_id", trace_id);
        object.text("span_id", span_id);
    }
    object.bare("pid", std::process::id());
    object.end();
}

/// Writes an address, which may be what a client had a trusted proxy pass on.
fn client(out: &mut Vec<u8>, client: &dyn fmt::Display) {
    let start = out.len();
    // Writing into memory does not fail.
    let _ = write!(out, "{client}");
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if !out[start..].iter().all(is_plain) {
        let forged = out.split_off(start);
        template::address(out, &forged);
    }
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::UNIX_EPOCH;

    use std::time::Duration;

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
            headers: &[],
            request_id: None,
            traceparent: Some(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        }
    }

    fn client() -> SocketAddr {
        "127.0.0.1:41462".parse().unwrap()
    }

    fn human_text(target: &[u8], status: u16, colors: bool) -> String {
        let mut out = Vec::new();
        human(&mut out, &line(&client(), target, status), None, colors);
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
    fn an_address_that_a_client_chose_forges_no_line() {
        let socket = client();
        let forged = AccessLine {
            client: &"evil - \"GET / HTTP/1.1\" 200 OK\n",
            ..line(&socket, b"/", 404)
        };
        let mut out = Vec::new();
        human(&mut out, &forged, None, false);
        let text = String::from_utf8(out).unwrap();
        let client = "evil\\x20-\\x20\\\"GET\\x20/\\x20HTTP/1.1\\\"\\x20200\\x20OK\\x0a";
        assert_eq!(
            text,
            format!("INFO:     {client} - \"GET / HTTP/1.1\" 404 Not Found\n")
        );
    }

    #[test]
    fn json_carries_duration_and_bytes() {
        let mut out = Vec::new();
        json(&mut out, &line(&client(), b"/x", 500), None, UNIX_EPOCH);
        let object: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(object["status"], 500);
        assert_eq!(object["duration_ms"], 1.5);
        assert_eq!(object["bytes"], 2);
        assert_eq!(object["path"], "/x");
        assert_eq!(object["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(object["span_id"], "b7ad6b7169203331");
    }
}
