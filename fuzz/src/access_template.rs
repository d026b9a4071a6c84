//! Access lines: every template has a meaning or an error, and no value that a client chose makes a
//! second line or a byte that a terminal would obey.

use std::time::Duration;

use lowmem_base::config::{AccessFormat, Piece, Trusted};
use lowmem_base::telemetry::{AccessLine, written};

/// A template, and behind the first line end what the client says.
pub fn run(bytes: &[u8]) {
    let place = bytes.iter().position(|byte| *byte == b'\n');
    let (template, said) = bytes.split_at(place.unwrap_or(bytes.len()));
    let Ok(template) = std::str::from_utf8(template) else {
        return;
    };
    let _ = Trusted::parse(template);
    for format in [template, "uvicorn", "json", "combined"] {
        if let Ok(format) = AccessFormat::parse(format) {
            line(&format, said);
        }
    }
}

fn line(format: &AccessFormat, said: &[u8]) {
    let names: Vec<&str> = format.headers().collect();
    assert!(names.iter().all(|name| *name == name.to_ascii_lowercase()));
    let headers: Vec<_> = names.iter().map(|_| Some(Box::from(said))).collect();
    let client = said
        .iter()
        .map(|byte| char::from(*byte))
        .collect::<String>();
    let _ = format.waits_for_end();
    let line = AccessLine {
        traceparent: Some(said),
        client: &client,
        method: "GET",
        target: said,
        version: "1.1",
        status: 200,
        duration: Some(Duration::from_micros(1)),
        bytes: Some(said.len() as u64),
        headers: &headers,
        request_id: Some(said),
    };
    let written = written(format, &line);
    let text = written.strip_suffix(b"\n").expect("a line has an end");
    let own = match format {
        AccessFormat::Template(pieces) => own_text(pieces),
        AccessFormat::Uvicorn | AccessFormat::Json => String::new(),
    };
    let text = std::str::from_utf8(text).expect("a line is text");
    let bad = text.chars().find(|c| c.is_control() && !own.contains(*c));
    assert_eq!(bad, None, "{text}");
}

/// The text that the template itself has.
fn own_text(pieces: &[Piece]) -> String {
    let texts = pieces.iter().filter_map(|piece| match piece {
        Piece::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}
