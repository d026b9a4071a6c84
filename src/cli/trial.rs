//! The options that the commands which measure an application have in common.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;

use super::values;
use crate::trial::Request;

/// An application to be measured, and what it is asked for meanwhile.
#[derive(Debug, clap::Args)]
pub struct OnTrial {
    /// The application: module:attribute
    #[arg(value_name = "APP", env = "LOWMEM_APP")]
    pub app: String,
    /// Where to look for APP [default: the working directory]
    #[arg(long, value_name = "DIR", env = "LOWMEM_APP_DIR")]
    pub app_dir: Option<PathBuf>,
    /// APP is a function that returns the application
    #[arg(long, env = "LOWMEM_FACTORY", value_parser = BoolishValueParser::new())]
    pub factory: bool,
    /// Python executable or venv [default: as for serving]
    #[arg(long, value_name = "PATH", env = "LOWMEM_PYTHON")]
    pub python: Option<PathBuf>,
    /// Ask for /path, or 'DELETE /path', repeatable [default: /]
    #[arg(long = "request", value_name = "REQUEST")]
    pub requests: Vec<Request>,
    /// The number of requests for each
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = values::at_least(1u32))]
    pub count: u32,
    /// Flags of the server, as for serving
    #[arg(last = true, value_name = "FLAGS")]
    pub flags: Vec<OsString>,
}
