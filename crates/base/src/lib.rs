//! The base that the supervisor and its workers share: the operating system behind safe functions, the
//! messages between them, the words of the configuration, and log lines. Knows no HTTP and no Python.

pub mod config;
pub mod control;
pub mod counters;
pub mod figures;
pub mod growth;
pub mod import_string;
pub mod percent;
pub mod routes;
pub mod status;
pub mod sys;
pub mod telemetry;
