//! WebSockets.

use clap::builder::BoolishValueParser;

use super::values;

/// Options about WebSockets.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "WebSockets")]
pub struct WebSocket {
    /// auto, or none: serve the handshake of a WebSocket as plain HTTP
    #[arg(long, value_name = "WORD", default_value = "auto", env = "LOWMEM_WS")]
    pub ws: String,
    /// Largest message in bytes; beyond it the WebSocket is closed with 1009
    #[arg(long, value_name = "BYTES", default_value_t = 16_777_216)]
    #[arg(value_parser = values::at_least(1usize))]
    #[arg(env = "LOWMEM_WS_MAX_SIZE")]
    pub ws_max_size: usize,
    /// Seconds between two pings to a client; 0 for none
    #[arg(long, value_name = "S", default_value_t = 20.0)]
    #[arg(env = "LOWMEM_WS_PING_INTERVAL")]
    pub ws_ping_interval: f64,
    /// Seconds for its answer, before the WebSocket is closed with 1011; 0 for no limit
    #[arg(long, value_name = "S", default_value_t = 20.0)]
    #[arg(env = "LOWMEM_WS_PING_TIMEOUT")]
    pub ws_ping_timeout: f64,
    /// Compress messages for clients that offer it
    #[arg(
        long,
        value_name = "BOOL",
        default_value = "true",
        env = "LOWMEM_WS_PER_MESSAGE_DEFLATE"
    )]
    #[arg(value_parser = BoolishValueParser::new(), action = clap::ArgAction::Set)]
    pub ws_per_message_deflate: bool,
}
