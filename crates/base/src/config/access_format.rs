//! `--access-log-format`: what an access line is made of.

use serde::{Deserialize, Serialize};

/// The Common Log Format of the first web servers; with referer and user agent it is "combined".
const COMMON: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s"#;
const COMBINED: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

/// How an access line looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessFormat {
    /// As Uvicorn writes it.
    #[default]
    Uvicorn,
    /// One JSON object a line.
    Json,
    /// These pieces, one after the other.
    Template(Vec<Piece>),
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// Constant text.
    Text(String),
    /// A value.
    Field(Field),
    /// A field of the request's head, by its name in lower case.
    Header(String),
}

/// A value of a request and its response that a line can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs)]
pub enum Field {
    /// The client's address, and the same with its port.
    Host,
    Client,
    /// The Common Log Format's places for what no server knows any more.
    Nothing,
    /// When the response ended, as the Common Log Format has it, and as RFC 3339 has it.
    Date,
    Time,
    /// `GET /path?query HTTP/1.1` and its parts.
    RequestLine,
    Method,
    Path,
    Query,
    Protocol,
    Status,
    /// Of the response's body; none is `-`, or 0.
    Bytes,
    BytesNumber,
    /// From the request's head to the end of the response.
    Seconds,
    DecimalSeconds,
    Milliseconds,
    Microseconds,
    /// The worker's.
    Pid,
    /// The request's `x-request-id`, or the one that it was given.
    RequestId,
    /// The trace and the caller's span, as `traceparent` says.
    TraceId,
    SpanId,
}

/// gunicorn's letters, and a word for each.
const NAMES: [(&str, Field); 37] = [
    ("h", Field::Host),
    ("host", Field::Host),
    ("client", Field::Client),
    ("l", Field::Nothing),
    ("u", Field::Nothing),
    ("t", Field::Date),
    ("date", Field::Date),
    ("time", Field::Time),
    ("r", Field::RequestLine),
    ("request", Field::RequestLine),
    ("m", Field::Method),
    ("method", Field::Method),
    ("U", Field::Path),
    ("path", Field::Path),
    ("q", Field::Query),
    ("query", Field::Query),
    ("H", Field::Protocol),
    ("protocol", Field::Protocol),
    ("s", Field::Status),
    ("status", Field::Status),
    ("b", Field::Bytes),
    ("B", Field::BytesNumber),
    ("bytes", Field::BytesNumber),
    ("T", Field::Seconds),
    ("L", Field::DecimalSeconds),
    ("seconds", Field::DecimalSeconds),
    ("M", Field::Milliseconds),
    ("ms", Field::Milliseconds),
    ("D", Field::Microseconds),
    ("us", Field::Microseconds),
    ("p", Field::Pid),
    ("pid", Field::Pid),
    ("id", Field::RequestId),
    ("request_id", Field::RequestId),
    ("request-id", Field::RequestId),
    ("trace_id", Field::TraceId),
    ("span_id", Field::SpanId),
];

impl AccessFormat {
    /// Reads a format's name, or a template like `%(h)s "%(r)s" %(s)s %({user-agent}i)s`.
    ///
    /// # Errors
    /// The fault in the format, in a text for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "uvicorn" => Ok(Self::Uvicorn),
            "json" => Ok(Self::Json),
            "common" => template(COMMON),
            "combined" => template(COMBINED),
            text if text.contains("%(") => template(text),
            other => Err(format!(
                "{other:?} is none of uvicorn, common, combined and json, and no template like %(h)s \"%(r)s\" %(s)s"
            )),
        }
    }

    /// Whether a line can be written only once the response has ended.
    pub fn waits_for_end(&self) -> bool {
        let Self::Template(pieces) = self else {
            return *self == Self::Json;
        };
        pieces.iter().any(|piece| {
            matches!(
                piece,
                Piece::Field(
                    Field::Bytes
                        | Field::BytesNumber
                        | Field::Seconds
                        | Field::DecimalSeconds
                        | Field::Milliseconds
                        | Field::Microseconds
                )
            )
        })
    }

    /// Whether a line names the request's trace.
    pub fn shows_trace(&self) -> bool {
        let is_traced =
            |piece: &Piece| matches!(piece, Piece::Field(Field::TraceId | Field::SpanId));
        match self {
            Self::Json => true,
            Self::Uvicorn => false,
            Self::Template(pieces) => pieces.iter().any(is_traced),
        }
    }

    /// The fields of a request's head that a line shows, in lower case, in the order of the line.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        let pieces: &[Piece] = match self {
            Self::Template(pieces) => pieces,
            Self::Uvicorn | Self::Json => &[],
        };
        pieces.iter().filter_map(|piece| match piece {
            Piece::Header(name) => Some(name.as_str()),
            Piece::Text(_) | Piece::Field(_) => None,
        })
    }
}

fn template(text: &str) -> Result<AccessFormat, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let (name, after) = rest
            .strip_prefix('(')
            .and_then(|rest| rest.split_once(')'))
            .and_then(|(name, after)| Some((name, after.strip_prefix('s')?)))
            .ok_or_else(|| {
                format!("after {literal:?}: a field is written %(name)s, a percent sign %%")
            })?;
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(piece(name)?);
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(AccessFormat::Template(pieces))
}

fn piece(name: &str) -> Result<Piece, String> {
    let header = name
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix("}i"));
    let header = match name {
        "f" | "referer" => Some("referer"),
        "a" | "user_agent" | "user-agent" => Some("user-agent"),
        _ => header,
    };
    if let Some(header) = header {
        return Ok(Piece::Header(header.to_ascii_lowercase()));
    }
    match NAMES.iter().find(|(known, _)| *known == name) {
        Some((_, field)) => Ok(Piece::Field(*field)),
        None if name.ends_with("}o") || name.ends_with("}e") => Err(format!(
            "%({name})s: of headers only the request's can be shown, as in %({{user-agent}}i)s"
        )),
        None => Err(format!(
            "%({name})s is not known; docs/logging.md has the names"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<Piece> {
        match AccessFormat::parse(text).unwrap() {
            AccessFormat::Template(pieces) => pieces,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_template_is_text_and_fields() {
        assert_eq!(
            pieces("100%% %(h)s: %({X-Forwarded-For}i)s."),
            [
                Piece::Text("100% ".to_owned()),
                Piece::Field(Field::Host),
                Piece::Text(": ".to_owned()),
                Piece::Header("x-forwarded-for".to_owned()),
                Piece::Text(".".to_owned()),
            ]
        );
    }

    #[test]
    fn the_common_format_is_a_template() {
        assert_eq!(pieces("combined").len(), pieces("common").len() + 5);
    }

    #[test]
    fn bytes_and_times_are_known_at_the_end() {
        let waits = |text| AccessFormat::parse(text).unwrap().waits_for_end();
        assert!(waits("common") && waits("json") && waits("%(ms)s"));
        assert!(!waits("uvicorn") && !waits("%(h)s %(t)s %({b}i)s"));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("apache", "none of uvicorn, common"),
            ("%(h)s %h", "written %(name)s"),
            ("%(h)d", "written %(name)s"),
            ("%(nope)s", "%(nope)s is not known"),
            ("%({server}o)s", "only the request's"),
        ] {
            let why = AccessFormat::parse(text).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
