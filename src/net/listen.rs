//! The places that a server listens on.

use std::path::PathBuf;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs)]
pub enum Listen {
    /// On every address of a host; an empty one is every interface.
    Tcp { host: String, port: u16 },
    /// On a Unix socket with this path.
    Unix(PathBuf),
    /// On the listening socket that this process inherited under a number.
    Inherited(i32),
    /// On the places that several applications share, for these hosts and paths.
    Routed(Vec<String>),
}
