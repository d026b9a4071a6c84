//! What Uvicorn has and means nothing here.

/// Options of Uvicorn's that choose among its implementations or tune one of them: taken, so that
/// a command line that is right there works here, and answered with a notice.
#[derive(Debug, clap::Args)]
#[allow(missing_docs)]
pub struct Compatibility {
    #[arg(long = "http", hide = true)]
    pub http: Option<String>,
    #[arg(long, hide = true)]
    pub ws: Option<String>,
    #[arg(long, hide = true)]
    pub ws_max_queue: Option<String>,
}
