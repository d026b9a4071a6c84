//! The configuration of a worker, as values with a meaning. Knows no flag.

mod access_format;
mod application;
mod growth;
mod log;
mod mounts;
mod server;
mod tls;
mod trusted;
mod websockets;
mod worker;

pub use access_format::{AccessFormat, Field, Piece};
pub use application::{ApplicationSettings, Interface, Lifespan, Loop};
pub use growth::Growth;
pub use log::{LogConfig, LogFormat, LogLevel, LogSettings};
pub use mounts::Mount;
pub use server::{
    AccessSettings, ForwardedField, HttpSettings, HttpVersions, LimitSettings, ProxySettings,
    ServerSettings,
};
pub use tls::{ClientCertificates, Tls};
pub use trusted::Trusted;
pub use websockets::WebSockets;
pub use worker::{
    BoundListener, Diagnosis, Place, StartFacts, StopSettings, TellsImports, WorkerConfig,
};
