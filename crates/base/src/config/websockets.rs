//! How WebSockets are served.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits and options of a worker's WebSockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebSockets {
    /// Between two pings, if there are any.
    pub ping_interval: Option<Duration>,
    /// How long a ping may go unanswered, if there is a limit.
    pub ping_timeout: Option<Duration>,
    /// The longest message in bytes, after it is inflated.
    pub max_size: usize,
    /// Agree to permessage-deflate.
    pub per_message_deflate: bool,
}
