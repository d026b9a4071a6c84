//! `--timeout-request`: requests whose application does not begin a response in time.
//!
//! The time runs from the call of the application, and stands still while the client is waited for: what
//! a slow upload takes is `--timeout-body-read`'s affair. It ends with the response's first byte, so a
//! response that has begun may take as long as it wants.

use std::sync::Arc;

use super::application::Application;
use super::exchange::Exchange;
use super::shared::Shared;
use super::websocket::Conversation;

impl<A: Application> Shared<A> {
    /// Answers 504 in the application's place, tells it that its client is gone, and cancels it. Says
    /// whether that was so: a response may have begun in this moment, on a thread of its own.
    pub(super) fn time_out(
        &self,
        exchange: &Exchange,
        conversation: Option<&Arc<Conversation>>,
    ) -> bool {
        if !exchange.time_out() {
            return false;
        }
        let seconds = self.limits.request.unwrap_or_default().as_secs_f64();
        tracing::error!("No response within {seconds} s: answered 504 (--timeout-request)");
        match conversation {
            Some(conversation) => {
                conversation.lost();
                self.application.cancel_websocket(conversation);
            }
            None => self.application.cancel(exchange),
        }
        true
    }
}
