//! lowmem-serve without Python: everything but the bridge.
//!
//! The `lowmem-serve` executable (supervisor) and the worker's shared object are both built on this
//! crate; neither the crate nor the executable knows of an interpreter. ARCHITECTURE.md has the map.

pub mod cli;
pub mod commands;
pub mod config;
pub mod control;
pub mod environment;
pub mod exit;
pub mod figures;
pub mod growth;
pub mod import_string;
pub mod imports;
pub mod launch;
pub mod net;
pub mod operator;
pub mod status;
pub mod supervisor;
pub mod sys;
pub mod telemetry;
pub mod tls;
pub mod trial;
pub mod weighing;
pub mod worker;
