//! The lifespan protocol as a value (ASGI "Lifespan Protocol" 2.0).

/// Where the conversation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// `lifespan.startup` is (about to be) delivered.
    Starting,
    /// The application said `startup.complete`.
    Started,
    /// The application said `startup.failed` with this message.
    StartupFailed(String),
    /// `lifespan.shutdown` has been delivered.
    Stopping,
    /// The application said `shutdown.complete`.
    Stopped,
    /// The application said `shutdown.failed` with this message.
    ShutdownFailed(String),
}

/// A message that an application may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// `lifespan.startup.complete`
    StartupComplete,
    /// `lifespan.startup.failed`
    StartupFailed(String),
    /// `lifespan.shutdown.complete`
    ShutdownComplete,
    /// `lifespan.shutdown.failed`
    ShutdownFailed(String),
}

/// The message does not belong here; the text is for the application's developer.
#[derive(Debug, PartialEq, Eq)]
pub struct OutOfOrder(pub &'static str);

impl State {
    /// The state after `message`.
    ///
    /// # Errors
    /// The message is not legal in this state.
    pub fn sent(&self, message: Message) -> Result<Self, OutOfOrder> {
        match (self, message) {
            (Self::Starting, Message::StartupComplete) => Ok(Self::Started),
            (Self::Starting, Message::StartupFailed(why)) => Ok(Self::StartupFailed(why)),
            (Self::Stopping, Message::ShutdownComplete) => Ok(Self::Stopped),
            (Self::Stopping, Message::ShutdownFailed(why)) => Ok(Self::ShutdownFailed(why)),
            (_, Message::StartupComplete | Message::StartupFailed(_)) => Err(OutOfOrder(
                "a lifespan.startup message was sent, but startup has already been answered",
            )),
            (Self::Started, _) => Err(OutOfOrder(
                "a lifespan.shutdown message was sent before lifespan.shutdown was received",
            )),
            (_, Message::ShutdownComplete | Message::ShutdownFailed(_)) => Err(OutOfOrder(
                "a lifespan.shutdown message was sent where none was expected",
            )),
        }
    }

    /// Whether startup has been answered, either way.
    #[must_use]
    pub fn startup_answered(&self) -> bool {
        !matches!(self, Self::Starting)
    }

    /// Whether shutdown has been answered, either way.
    #[must_use]
    pub fn shutdown_answered(&self) -> bool {
        matches!(self, Self::Stopped | Self::ShutdownFailed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_then_shutdown_is_the_legal_order() {
        let started = State::Starting.sent(Message::StartupComplete);
        assert_eq!(started, Ok(State::Started));
        let stopped = State::Stopping.sent(Message::ShutdownComplete);
        assert_eq!(stopped, Ok(State::Stopped));
    }

    #[test]
    fn startup_is_answered_once() {
        let again = State::Started.sent(Message::StartupComplete);
        assert!(again.is_err());
    }

    #[test]
    fn shutdown_is_not_answered_before_it_was_asked() {
        for state in [State::Starting, State::Started] {
            assert!(state.sent(Message::ShutdownComplete).is_err());
        }
    }
}
