//! Access lines that are made of pieces.

use std::io::Write;
use std::time::SystemTime;

use crate::config::{Field, Piece};
use crate::telemetry::printable::target;
use crate::telemetry::response::AccessLine;
use crate::telemetry::time::{CommonDate, Rfc3339};

/// The sign for an absent value, as in the Common Log Format.
const NOTHING: &[u8] = b"-";

/// Writes a line. The headers of `line` are those of the pieces, in their order.
pub(super) fn write(out: &mut Vec<u8>, pieces: &[Piece], line: &AccessLine<'_>, time: SystemTime) {
    let mut headers = line.headers.iter();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Field(which) => field(out, *which, line, time),
            Piece::Header(_) => match headers.next() {
                Some(Some(value)) => escaped(out, value),
                _ => out.extend_from_slice(NOTHING),
            },
        }
    }
    out.push(b'\n');
}

fn field(out: &mut Vec<u8>, which: Field, line: &AccessLine<'_>, time: SystemTime) {
    let (path, query) = match line.target.iter().position(|byte| *byte == b'?') {
        Some(at) => (&line.target[..at], &line.target[at + 1..]),
        None => (line.target, &b""[..]),
    };
    let duration = line.duration.unwrap_or_default();
    // Writing into memory does not fail.
    let _ = match which {
        Field::Host => {
            address(out, host(&line.client.to_string()).as_bytes());
            Ok(())
        }
        Field::Client => {
            address(out, or_nothing(line.client.to_string().as_bytes()));
            Ok(())
        }
        Field::Nothing => out.write_all(NOTHING),
        Field::Date => write!(out, "{}", CommonDate(time)),
        Field::Time => write!(out, "{}", Rfc3339(time)),
        Field::RequestLine => {
            out.extend_from_slice(line.method.as_bytes());
            out.push(b' ');
            target(out, line.target);
            write!(out, " HTTP/{}", line.version)
        }
        Field::Method => out.write_all(line.method.as_bytes()),
        Field::Path => {
            target(out, path);
            Ok(())
        }
        Field::Query => {
            target(out, query);
            Ok(())
        }
        Field::Protocol => write!(out, "HTTP/{}", line.version),
        Field::Status => write!(out, "{}", line.status),
        Field::Bytes => match line.bytes {
            Some(bytes) if bytes > 0 => write!(out, "{bytes}"),
            _ => out.write_all(NOTHING),
        },
        Field::BytesNumber => write!(out, "{}", line.bytes.unwrap_or(0)),
        Field::Seconds => write!(out, "{}", duration.as_secs()),
        Field::DecimalSeconds => write!(out, "{:.6}", duration.as_secs_f64()),
        Field::Milliseconds => write!(out, "{}", duration.as_millis()),
        Field::Microseconds => write!(out, "{}", duration.as_micros()),
        Field::Pid => write!(out, "{}", std::process::id()),
        Field::TraceId => {
            let trace = line.trace().map(|trace| trace.trace_id.as_bytes());
            out.write_all(trace.unwrap_or(NOTHING))
        }
        Field::SpanId => {
            let trace = line.trace().map(|trace| trace.span_id.as_bytes());
            out.write_all(trace.unwrap_or(NOTHING))
        }
        Field::RequestId => {
            escaped(out, or_nothing(line.request_id.unwrap_or_default()));
            Ok(())
        }
    };
}

/// An address, which may be what a client had a trusted proxy pass on: it ends at the next blank, so
/// it has none, and no quotes.
pub(super) fn address(out: &mut Vec<u8>, address: &[u8]) {
    for part in address.split_inclusive(|byte| *byte == b' ') {
        let (text, blank) = match part.strip_suffix(b" ") {
            Some(text) => (text, true),
            None => (part, false),
        };
        escaped(out, text);
        if blank {
            out.extend_from_slice(b"\\x20");
        }
    }
}

/// An address without its port.
fn host(client: &str) -> &str {
    let host = client.rsplit_once(':').map_or(client, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() { "-" } else { host }
}

fn or_nothing(value: &[u8]) -> &[u8] {
    if value.is_empty() { NOTHING } else { value }
}

/// A value that the client chose, so that it cannot end its quotes or its line (as Apache does).
pub(super) fn escaped(out: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b' ' => out.push(b' '),
            byte if byte.is_ascii_graphic() => out.push(*byte),
            byte => {
                // Writing into memory does not fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::config::AccessFormat;

    fn written(format: &str, headers: &[Option<Box<[u8]>>]) -> String {
        let line = AccessLine {
            client: &"[::1]:4000",
            method: "GET",
            target: b"/a\"b?c=d",
            version: "1.1",
            status: 200,
            duration: Some(Duration::from_micros(1_234_567)),
            bytes: Some(0),
            headers,
            request_id: Some(b"abc"),
            traceparent: None,
        };
        let AccessFormat::Template(pieces) = AccessFormat::parse(format).unwrap() else {
            panic!("{format} is no template");
        };
        let mut out = Vec::new();
        write(&mut out, &pieces, &line, UNIX_EPOCH);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn combined_lines_are_those_of_every_tool() {
        let headers = [None, Some(b"curl \"8\"\n".to_vec().into_boxed_slice())];
        assert_eq!(
            written("combined", &headers),
            "::1 - - [01/Jan/1970:00:00:00 +0000] \"GET /a%22b?c=d HTTP/1.1\" 200 - \"-\" \"curl \\\"8\\\"\\x0a\"\n"
        );
    }

    #[test]
    fn an_address_that_a_client_chose_forges_no_field() {
        let mut out = Vec::new();
        address(&mut out, b"evil - - \"x\"\n");
        assert_eq!(out, b"evil\\x20-\\x20-\\x20\\\"x\\\"\\x0a");
    }

    #[test]
    fn each_unit_of_time_has_its_name() {
        assert_eq!(
            written("%(T)s %(L)s %(M)s %(D)s", &[]),
            "1 1.234567 1234 1234567\n"
        );
        assert_eq!(
            written("%(client)s %(path)s %(q)s %(bytes)s %(id)s", &[]),
            "[::1]:4000 /a%22b c=d 0 abc\n"
        );
        assert_eq!(written("%(trace_id)s %(span_id)s", &[]), "- -\n");
    }
}
