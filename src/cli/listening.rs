//! Where to listen.

use std::path::PathBuf;

/// Options about sockets.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Listening")]
#[allow(missing_docs)]
pub struct Listening {
    /// Address or name; empty for every interface
    #[arg(long, default_value = "127.0.0.1", env = "LOWMEM_HOST")]
    pub host: String,
    /// 0 for a free one
    #[arg(long, default_value_t = 8000, env = "LOWMEM_PORT")]
    pub port: u16,
    /// Listen on a Unix socket instead
    #[arg(long, value_name = "PATH", env = "LOWMEM_UDS")]
    pub uds: Option<PathBuf>,
    /// Listen on an inherited socket instead
    #[arg(long, value_name = "NUMBER", env = "LOWMEM_FD")]
    pub fd: Option<i32>,
    /// Connections that may wait to be accepted
    #[arg(long, value_name = "N", default_value_t = 2048, env = "LOWMEM_BACKLOG")]
    pub backlog: u32,
}
