//! Where to listen.

use std::path::PathBuf;

use clap::ArgAction;

use super::values;

/// Options about sockets.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Listening")]
pub struct Listening {
    /// Address or name; empty for every interface [default: 127.0.0.1]
    #[arg(long, env = "LOWMEM_HOST")]
    pub host: Option<String>,
    /// 0 for a free one [default: 8000]
    #[arg(long, value_parser = values::number(0..=u16::MAX), env = "LOWMEM_PORT")]
    pub port: Option<u16>,
    /// One more place, repeatable: host:port, [v6]:port, unix:PATH, fd://N
    #[arg(long, value_name = "PLACE", env = "LOWMEM_BIND", action = ArgAction::Append)]
    pub bind: Vec<String>,
    /// Listen on a Unix socket instead
    #[arg(long, value_name = "PATH", env = "LOWMEM_UDS")]
    pub uds: Option<PathBuf>,
    /// Mode of Unix sockets' files, octal [default: 666, or that of the file replaced]
    #[arg(long, value_name = "MODE", value_parser = values::mode, env = "LOWMEM_UDS_MODE")]
    pub uds_mode: Option<u32>,
    /// Listen on an inherited socket instead
    #[arg(long, value_name = "NUMBER", value_parser = values::at_least(0i32), env = "LOWMEM_FD")]
    pub fd: Option<i32>,
    /// Connections that may wait to be accepted
    #[arg(long, value_name = "N", default_value_t = 2048, env = "LOWMEM_BACKLOG")]
    #[arg(value_parser = values::number(0..=i32::MAX))]
    pub backlog: i32,
}
