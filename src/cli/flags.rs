//! The options of serving, a group each.

use std::path::PathBuf;

use super::{
    Application, Caches, Compatibility, Diagnosis, Files, Http, Jobs, Limits, Listening, Logging,
    Operation, Processes, Proxies, Recycling, Reload, Sleeping, Tls, WebSocket,
};

/// The flags that decide how an application is served.
#[derive(Debug, clap::Args)]
pub struct Flags {
    /// The application: module:attribute
    #[arg(value_name = "APP", env = "LOWMEM_APP")]
    pub app: Option<String>,

    /// Settings file [default: lowmem-serve.toml, else pyproject.toml with [tool.lowmem-serve]]
    #[arg(long, value_name = "FILE", env = "LOWMEM_CONFIG")]
    pub config: Option<PathBuf>,

    #[command(flatten)]
    #[expect(missing_docs)]
    pub application: Application,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub listening: Listening,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub processes: Processes,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub recycling: Recycling,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub sleeping: Sleeping,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub reload: Reload,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub tls: Tls,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub http: Http,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub limits: Limits,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub files: Files,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub proxies: Proxies,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub websocket: WebSocket,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub logging: Logging,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub caches: Caches,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub jobs: Jobs,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub diagnosis: Diagnosis,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub operation: Operation,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub compatibility: Compatibility,
}
