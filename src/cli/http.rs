//! HTTP.

use std::time::Duration;

use clap::ArgAction;
use clap::builder::BoolishValueParser;

use super::values;

/// HTTP/2 numbers streams with 31 bits (RFC 9113 section 5.1.1).
const MOST_STREAMS: u32 = 0x7fff_ffff;

/// Options about HTTP.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "HTTP")]
#[expect(missing_docs)]
pub struct Http {
    /// Versions of HTTP: 1, 2, or both (auto)
    #[arg(
        long,
        value_name = "VERSIONS",
        default_value = "auto",
        env = "LOWMEM_HTTP"
    )]
    pub http: String,
    /// Requests that one HTTP/2 connection may have open
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = values::number(1..=MOST_STREAMS))]
    #[arg(env = "LOWMEM_HTTP2_MAX_STREAMS")]
    pub http2_max_streams: u32,
    /// Seconds an idle connection is kept
    #[arg(long, value_name = "S", default_value = "5", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_TIMEOUT_KEEP_ALIVE")]
    pub timeout_keep_alive: Duration,
    /// Seconds for a request's head to arrive
    #[arg(long, value_name = "S", default_value = "30", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_TIMEOUT_HEADER_READ")]
    pub timeout_header_read: Duration,
    /// Answer 503 while N requests are open [default: no limit]
    #[arg(long, value_name = "N", value_parser = values::at_least(0usize))]
    #[arg(env = "LOWMEM_LIMIT_CONCURRENCY")]
    pub limit_concurrency: Option<usize>,
    /// Largest request head in bytes; beyond it the answer is 431
    #[arg(long, value_name = "BYTES", default_value_t = 65_536)]
    #[arg(value_parser = values::at_least(0usize))]
    #[arg(alias = "h11-max-incomplete-event-size", env = "LOWMEM_MAX_HEAD_SIZE")]
    pub max_head_size: usize,
    /// A header for every response, repeatable; in the environment separated by spaces
    #[arg(long = "header", value_name = "NAME:VALUE", action = ArgAction::Append)]
    #[arg(env = "LOWMEM_HEADERS")]
    pub headers: Vec<String>,
    /// Give each request an x-request-id, unless it has one, for the application, the response and the log
    #[arg(long, env = "LOWMEM_REQUEST_ID", value_parser = BoolishValueParser::new())]
    pub request_id: bool,
    /// Send a server header (--no-server-header)
    #[arg(
        long,
        env = "LOWMEM_SERVER_HEADER",
        overrides_with = "no_server_header"
    )]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true")]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub server_header: Option<bool>,
    #[arg(long, hide = true, overrides_with = "server_header")]
    pub no_server_header: bool,
    /// Send a date header (--no-date-header)
    #[arg(long, env = "LOWMEM_DATE_HEADER", overrides_with = "no_date_header")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true")]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub date_header: Option<bool>,
    #[arg(long, hide = true, overrides_with = "date_header")]
    pub no_date_header: bool,
}
