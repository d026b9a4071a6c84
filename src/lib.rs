//! The `lowmem-serve` executable: what was typed, what it means, and the supervisor.
//!
//! Knows no interpreter, and of the HTTP server only how its certificates are read. ARCHITECTURE.md has
//! the map.
#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
pub mod config;
pub mod environment;
pub mod exit;
pub mod growth;
mod held;
pub mod imports;
pub mod jobs;
pub mod launch;
pub mod migration;
pub mod monitor;
pub mod net;
pub mod operator;
pub mod routing;
pub mod supervisor;
pub mod surroundings;
pub mod trial;
pub mod weighing;

pub use lowmem_base::{
    control, counters, figures, import_string, routes, status as http_status, sys, telemetry,
};
pub use lowmem_http::server::beginning;
pub use lowmem_http::tls;
