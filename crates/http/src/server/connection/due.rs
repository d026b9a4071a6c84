//! The deadlines of the request that is being answered.

use std::time::Instant;

/// When its time is up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// The client has to send some of the body.
    pub(super) body: Option<Instant>,
    /// The application has to begin its response.
    pub(super) response: Option<Instant>,
    /// The client is waited for, and not the application.
    pub(super) is_clients_turn: bool,
}

impl Due {
    /// The application is about to be called.
    pub(super) fn begun(&mut self, response: Option<Instant>) {
        self.response = response;
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.body.into_iter().chain(self.response).min()
    }
}
