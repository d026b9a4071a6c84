//! The words of the configuration: what a worker is told, in its meaning. Knows no flag.

mod access_format;
mod growth;
mod mounts;
mod tls;
mod trusted;
mod websockets;
mod worker;

pub use access_format::{AccessFormat, Field, Piece};
pub use growth::Growth;
pub use mounts::Mount;
pub use tls::{ClientCertificates, Tls};
pub use trusted::Trusted;
pub use websockets::WebSockets;
pub use worker::{
    AccessSettings, BoundListener, ForwardedField, HttpVersions, Interface, Lifespan,
    LimitSettings, LogConfig, LogFormat, LogLevel, LogSettings, Loop, Place, ProxySettings,
    TellsImports, WorkerConfig,
};
