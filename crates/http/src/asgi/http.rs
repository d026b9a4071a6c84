//! The response half of the HTTP protocol as a value (ASGI "HTTP & WebSocket" 2.3).
//!
//! [`Response`] says which messages are legal when, and how the body is framed (RFC 9112 section
//! 6). It writes nothing: [`Framing`] tells the encoder what to write.

/// The facts of a request that decide how its response is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// A HEAD request: the response has no body, whatever its headers say.
    pub head: bool,
    /// HTTP/1.0 has no chunked coding: the end of the connection ends an unsized body. HTTP/2 needs
    /// none: its frames say where a body ends.
    pub version: Version,
    /// The client takes fields behind a body (`te: trailers`), and the version can say them.
    pub trailers: bool,
    /// The client takes `103 Early Hints`.
    pub hints: bool,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// Its name, as ASGI's `http_version` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}

/// The body's length and framing according to the application's headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Declared {
    /// `content-length`
    pub length: Option<u64>,
    /// `transfer-encoding: chunked`
    pub chunked: bool,
    /// `http.response.trailers` follows the body.
    pub trailers: bool,
}

/// How the body goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Exactly as many bytes as announced.
    Length(u64),
    /// `transfer-encoding: chunked`
    Chunked,
    /// Bytes until the connection ends, or the stream of HTTP/2.
    UntilClose,
    /// No body is sent; a length is announced if known (HEAD, 304).
    Bodiless(Option<u64>),
}

/// A response as its application tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// Nothing has been sent.
    Awaited,
    /// `http.response.start` was sent; the head waits for the first body message, as the
    /// specification asks.
    Started {
        /// The final status.
        status: u16,
        /// The body according to its headers.
        declared: Declared,
    },
    /// The head is out; the body is being sent.
    Body {
        /// How.
        framing: Framing,
        /// Bytes sent of it.
        sent: u64,
        /// `http.response.trailers` follows it.
        trailers: bool,
    },
    /// The body was sent as a whole; its trailers are awaited.
    Trailers {
        /// How the body was sent.
        framing: Framing,
    },
    /// The last body message was sent.
    Complete,
}

/// The step that a body message leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct BodyStep {
    /// Write the head with this framing first.
    pub head: Option<Framing>,
    /// How to write this piece.
    pub framing: Framing,
    /// The response ends with it.
    pub last: bool,
}

/// Why a message was refused; the text is for the application's developer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `http.response.start` twice.
    AlreadyStarted,
    /// A body without a start.
    NotStarted,
    /// Anything after the end.
    AlreadyComplete,
    /// A body where trailers are due.
    BodyForTrailers,
    /// Trailers before the end of the body, or without a promise of them.
    EarlyTrailers,
    /// An early hint after the response has started.
    LateHint,
    /// Not a final status.
    Status(i64),
    /// The body would be longer than `content-length`.
    TooLong,
    /// The body ended before `content-length` was reached.
    TooShort,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AlreadyStarted => f.write_str(
                "Expected ASGI message 'http.response.body', but got 'http.response.start'.",
            ),
            Self::NotStarted => f.write_str(
                "Expected ASGI message 'http.response.start', but got 'http.response.body'.",
            ),
            Self::BodyForTrailers => f.write_str(
                "Expected ASGI message 'http.response.trailers', but got 'http.response.body'.",
            ),
            Self::EarlyTrailers => f.write_str(
                "Expected ASGI message 'http.response.body', but got 'http.response.trailers': trailers follow the \
                 last message of the body, and \"trailers\" is true in 'http.response.start'.",
            ),
            Self::LateHint => f.write_str(
                "Unexpected ASGI message 'http.response.early_hint' sent, after response already started.",
            ),
            Self::AlreadyComplete => {
                f.write_str("Unexpected ASGI message sent, after response already completed.")
            }
            Self::Status(status) => write!(
                f,
                "{status} is not a final HTTP status: it must be an int from 200 to 999."
            ),
            Self::TooLong => f.write_str("Response content longer than Content-Length"),
            Self::TooShort => f.write_str("Response content shorter than Content-Length"),
        }
    }
}

impl Response {
    /// Whether the body is discarded.
    #[must_use]
    pub fn is_bodiless(&self) -> bool {
        let Self::Body { framing, .. } = self else {
            return false;
        };
        matches!(framing, Framing::Bodiless(_))
    }

    /// Takes `http.response.start`.
    ///
    /// # Errors
    /// Out of order, or not a final status (RFC 9110 section 15: 1xx are interim).
    pub fn start(&mut self, status: i64, declared: Declared) -> Result<(), Refusal> {
        self.may_start()?;
        let Some(status) = u16::try_from(status)
            .ok()
            .filter(|s| (200..=999).contains(s))
        else {
            return Err(Refusal::Status(status));
        };
        *self = Self::Started { status, declared };
        Ok(())
    }

    /// Whether `http.response.start` would be legal now.
    ///
    /// # Errors
    /// It would not; why.
    pub fn may_start(&self) -> Result<(), Refusal> {
        match self {
            Self::Awaited => Ok(()),
            Self::Started { .. } | Self::Body { .. } | Self::Trailers { .. } => {
                Err(Refusal::AlreadyStarted)
            }
            Self::Complete => Err(Refusal::AlreadyComplete),
        }
    }

    /// Whether `http.response.early_hint` is legal now.
    ///
    /// # Errors
    /// It is not; why.
    pub fn may_hint(&self) -> Result<(), Refusal> {
        match self {
            Self::Awaited => Ok(()),
            Self::Complete => Err(Refusal::AlreadyComplete),
            _ => Err(Refusal::LateHint),
        }
    }

    /// The start said that trailers follow the body.
    pub fn promise_trailers(&mut self) {
        if let Self::Started { declared, .. } = self {
            declared.trailers = true;
        }
    }

    /// Takes `http.response.trailers`; says how the body before it was framed.
    ///
    /// # Errors
    /// It is not due.
    pub fn trailers(&mut self, more: bool) -> Result<Framing, Refusal> {
        match *self {
            Self::Trailers { framing } => {
                if !more {
                    *self = Self::Complete;
                }
                Ok(framing)
            }
            Self::Complete => Err(Refusal::AlreadyComplete),
            Self::Awaited | Self::Started { .. } | Self::Body { .. } => Err(Refusal::EarlyTrailers),
        }
    }

    /// Takes `http.response.body` with `len` bytes.
    ///
    /// # Errors
    /// Out of order, or at odds with the announced length. After [`Refusal::TooShort`] and
    /// [`Refusal::TooLong`] the connection can't be used again.
    pub fn body(&mut self, request: Request, len: u64, more: bool) -> Result<BodyStep, Refusal> {
        let (head, framing, before, trailers) = match *self {
            Self::Awaited => return Err(Refusal::NotStarted),
            Self::Trailers { .. } => return Err(Refusal::BodyForTrailers),
            Self::Complete => return Err(Refusal::AlreadyComplete),
            Self::Started { status, declared } => {
                let framing = frame(request, status, declared, (!more).then_some(len));
                (Some(framing), framing, 0, declared.trailers)
            }
            Self::Body {
                framing,
                sent,
                trailers,
            } => (None, framing, sent, trailers),
        };
        let sent = before + len;
        if let Framing::Length(length) = framing {
            if sent > length {
                return Err(Refusal::TooLong);
            }
            if !more && sent < length {
                return Err(Refusal::TooShort);
            }
        }
        *self = match (more, trailers) {
            (true, _) => Self::Body {
                framing,
                sent,
                trailers,
            },
            (false, true) => Self::Trailers { framing },
            (false, false) => Self::Complete,
        };
        Ok(BodyStep {
            head,
            framing,
            last: !more && !trailers,
        })
    }

    /// Whether the application has said anything yet.
    #[must_use]
    pub fn is_started(&self) -> bool {
        !matches!(self, Self::Awaited)
    }

    /// Whether the application has said everything.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Complete)
    }
}

/// How a response is framed; `whole` is the body's length where it came in one message.
fn frame(request: Request, status: u16, declared: Declared, whole: Option<u64>) -> Framing {
    // RFC 9112 section 7.1.2: in HTTP/1.1 only the chunked coding has room for trailers.
    let has_trailers = declared.trailers && request.trailers && request.version == Version::Http11;
    let chunked = declared.chunked || has_trailers;
    let length = if chunked { None } else { declared.length };
    match status {
        // RFC 9110 section 8.6: no content-length on a 204.
        204 => Framing::Bodiless(None),
        304 => Framing::Bodiless(length),
        // RFC 9110 section 9.3.2: the header fields that a GET would have had, where they are known.
        _ if request.head => Framing::Bodiless(length.or(whole.filter(|len| *len > 0))),
        _ => match length.or(if chunked { None } else { whole }) {
            Some(length) => Framing::Length(length),
            None if request.version == Version::Http11 => Framing::Chunked,
            None => Framing::UntilClose,
        },
    }
}

#[cfg(test)]
mod tests;
