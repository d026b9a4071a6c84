//! Options of Uvicorn that have no effect here.

use clap::builder::BoolishValueParser;

/// Options of Uvicorn's that choose among its implementations or tune one of them: taken, so that
/// a command line that is right there works here, and answered with a notice.
#[derive(Debug, clap::Args)]
#[expect(missing_docs)]
pub struct Compatibility {
    /// HTTP/2 is spoken with every client that wants it, asked for or not.
    #[arg(long, hide = true, env = "LOWMEM_HTTP2")]
    #[arg(value_parser = BoolishValueParser::new())]
    pub http2: bool,
    #[arg(long, hide = true, env = "LOWMEM_WS_MAX_QUEUE")]
    pub ws_max_queue: Option<String>,
    /// Every request has a context of its own here, asked for or not.
    #[arg(long, hide = true, env = "LOWMEM_RESET_CONTEXTVARS")]
    #[arg(value_parser = BoolishValueParser::new())]
    pub reset_contextvars: bool,
    #[arg(long, hide = true, env = "LOWMEM_TIMEOUT_WORKER_HEALTHCHECK")]
    pub timeout_worker_healthcheck: Option<u32>,
}
