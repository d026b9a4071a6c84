//! The application's side of a WebSocket as a value (ASGI "HTTP & WebSocket" 2.4).
//!
//! [`Session`] says which messages are legal when. It writes nothing: the caller performs the returned
//! step.

/// A message that an application may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// `websocket.accept`
    Accept,
    /// `websocket.send`
    Send,
    /// `websocket.close`
    Close,
    /// `websocket.http.response.start`
    ResponseStart,
    /// `websocket.http.response.body`
    ResponseBody,
}

impl Message {
    /// The message with this type, if it is one of a WebSocket's.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Accept,
            Self::Send,
            Self::Close,
            Self::ResponseStart,
            Self::ResponseBody,
        ];
        all.into_iter().find(|message| message.name() == name)
    }

    /// Its type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "websocket.accept",
            Self::Send => "websocket.send",
            Self::Close => "websocket.close",
            Self::ResponseStart => "websocket.http.response.start",
            Self::ResponseBody => "websocket.http.response.body",
        }
    }
}

/// A WebSocket as its application knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// The client waits for the answer to its handshake.
    Connecting,
    /// The answer is a response of HTTP, which the application is sending.
    Denied,
    /// Messages go both ways.
    Accepted,
    /// The application has closed it.
    Closed,
    /// The client or the server has closed it, or the connection is lost.
    Disconnected,
}

/// The step that a message leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Answer the handshake: the connection is a WebSocket from here on.
    Accept,
    /// Answer the handshake 403.
    Reject,
    /// Pass the message to the response of HTTP that answers the handshake.
    Respond,
    /// Send a message.
    Send,
    /// Send a close frame.
    Close,
}

/// Why a message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Out of order; which would be legal.
    Expected(&'static str),
    /// After the application's own `websocket.close`.
    Closed,
    /// The client has gone. ASGI: `send()` raises a subclass of `OSError`.
    Disconnected,
}

impl Session {
    /// Takes a message.
    ///
    /// # Errors
    /// It is not legal now, and nothing has changed.
    pub fn take(&mut self, message: Message) -> Result<Step, Refusal> {
        let (next, step) = match (*self, message) {
            (Self::Disconnected, _) => return Err(Refusal::Disconnected),
            (Self::Closed, _) => return Err(Refusal::Closed),
            (Self::Connecting, Message::Accept) => (Self::Accepted, Step::Accept),
            (Self::Connecting, Message::Close) => (Self::Closed, Step::Reject),
            (Self::Connecting, Message::ResponseStart) => (Self::Denied, Step::Respond),
            (Self::Denied, Message::ResponseBody) => (Self::Denied, Step::Respond),
            (Self::Accepted, Message::Send) => (Self::Accepted, Step::Send),
            (Self::Accepted, Message::Close) => (Self::Closed, Step::Close),
            (Self::Connecting | Self::Denied | Self::Accepted, _) => {
                return Err(Refusal::Expected(self.expected()));
            }
        };
        *self = next;
        Ok(step)
    }

    /// The types of the messages that are legal now.
    #[must_use]
    pub fn expected(self) -> &'static str {
        match self {
            Self::Connecting => {
                "'websocket.accept', 'websocket.close' or 'websocket.http.response.start'"
            }
            Self::Denied => "'websocket.http.response.body'",
            Self::Accepted => "'websocket.send' or 'websocket.close'",
            Self::Closed | Self::Disconnected => "nothing",
        }
    }
}

/// The end of a WebSocket: a code, and a reason in words (RFC 6455 section 7.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The status code.
    pub code: u16,
    /// At most [`MAX_REASON`] bytes.
    pub reason: String,
}

/// A control frame has 125 bytes of payload at most, of which a code takes two (RFC 6455 section 5.5).
pub const MAX_REASON: usize = 123;

/// Why an application's close is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadClose {
    /// No code that may be sent (RFC 6455 section 7.4.1).
    Code(i64),
    /// So many bytes of reason do not fit.
    Reason(usize),
}

impl std::fmt::Display for BadClose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(
                f,
                "{code} is not a close code that may be sent: \
                 1000 to 1014 without 1004, 1005 and 1006, or 3000 to 4999"
            ),
            Self::Reason(length) => write!(
                f,
                "a close reason has at most {MAX_REASON} bytes of UTF-8, not {length}"
            ),
        }
    }
}

impl Close {
    /// The end of a normal conversation.
    pub const NORMAL: u16 = 1000;
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// Never sent: the close frame had no code.
    pub const NO_CODE: u16 = 1005;
    /// Never sent: there was no close frame.
    pub const ABNORMAL: u16 = 1006;
    /// A text that is not UTF-8, or a compressed message that is not in the format.
    pub const INVALID_DATA: u16 = 1007;
    /// A message is too large.
    pub const TOO_BIG: u16 = 1009;
    /// The server met something that it did not expect.
    pub const INTERNAL_ERROR: u16 = 1011;
    /// The server restarts: come back.
    pub const RESTART: u16 = 1012;

    /// A close without words.
    #[must_use]
    pub fn code(code: u16) -> Self {
        Self {
            code,
            reason: String::new(),
        }
    }

    /// Checks the code and the reason that an application gives.
    ///
    /// # Errors
    /// It could not stand in a close frame.
    pub fn checked(code: i64, reason: String) -> Result<Self, BadClose> {
        let code = u16::try_from(code)
            .ok()
            .filter(|code| is_legal_code(*code))
            .ok_or(BadClose::Code(code))?;
        if reason.len() > MAX_REASON {
            return Err(BadClose::Reason(reason.len()));
        }
        Ok(Self { code, reason })
    }
}

/// Whether a code may stand in a close frame: those of RFC 6455 section 7.4.1 and of IANA's
/// registry since, and those that libraries and applications may choose.
#[must_use]
pub fn is_legal_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Message; 5] = [
        Message::Accept,
        Message::Send,
        Message::Close,
        Message::ResponseStart,
        Message::ResponseBody,
    ];

    fn legal(session: Session) -> Vec<&'static str> {
        ALL.into_iter()
            .filter(|message| { session }.take(*message).is_ok())
            .map(Message::name)
            .collect()
    }

    #[test]
    fn each_state_takes_what_the_specification_says() {
        assert_eq!(
            legal(Session::Connecting),
            [
                "websocket.accept",
                "websocket.close",
                "websocket.http.response.start"
            ]
        );
        assert_eq!(legal(Session::Denied), ["websocket.http.response.body"]);
        assert_eq!(
            legal(Session::Accepted),
            ["websocket.send", "websocket.close"]
        );
        assert!(legal(Session::Closed).is_empty());
        assert!(legal(Session::Disconnected).is_empty());
    }

    #[test]
    fn closing_before_accepting_is_a_rejection() {
        let mut session = Session::Connecting;
        assert_eq!(session.take(Message::Close), Ok(Step::Reject));
        assert_eq!(session.take(Message::Accept), Err(Refusal::Closed));
    }

    #[test]
    fn a_refused_message_changes_nothing() {
        let mut session = Session::Accepted;
        assert!(matches!(
            session.take(Message::Accept),
            Err(Refusal::Expected(_))
        ));
        assert_eq!(session, Session::Accepted);
    }

    #[test]
    fn after_a_disconnect_everything_is_refused_as_such() {
        for message in ALL {
            let refused = { Session::Disconnected }.take(message);
            assert_eq!(refused, Err(Refusal::Disconnected));
        }
    }

    #[test]
    fn only_codes_that_may_stand_in_a_frame_are_sent() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_536, -1] {
            let refused = Close::checked(code, String::new());
            assert_eq!(refused, Err(BadClose::Code(code)));
        }
        for code in [1000, 1003, 1007, 1012, 1014, 3000, 4999] {
            assert!(Close::checked(code, String::new()).is_ok());
        }
        let long = Close::checked(1000, "é".repeat(62));
        assert_eq!(long, Err(BadClose::Reason(124)));
    }

    #[test]
    fn messages_are_found_by_their_type() {
        for message in ALL {
            assert_eq!(Message::named(message.name()), Some(message));
        }
        assert_eq!(Message::named("http.response.start"), None);
    }
}
