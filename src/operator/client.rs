//! Asking a server.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Reply, Request};

/// The supervisor answers in milliseconds, also while every worker hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// The server is gone, or does not answer.
    Io(PathBuf, io::Error),
    /// It answers something else: another version of lowmem-serve, perhaps.
    Unreadable(PathBuf, serde_json::Error),
}

/// Asks the server behind a socket and waits for its reply.
///
/// # Errors
/// There is none.
pub fn ask(socket: &Path, request: &Request) -> Result<Reply, Unanswered> {
    let io = |error| Unanswered::Io(socket.to_owned(), error);
    let mut connected = UnixStream::connect(socket).map_err(io)?;
    connected.set_read_timeout(Some(PATIENCE)).map_err(io)?;
    connected.set_write_timeout(Some(PATIENCE)).map_err(io)?;
    let mut line = serde_json::to_string(request).map_err(|error| io(error.into()))?;
    line.push('\n');
    connected.write_all(line.as_bytes()).map_err(io)?;
    let mut reply = Vec::new();
    connected.read_to_end(&mut reply).map_err(io)?;
    serde_json::from_slice(&reply).map_err(|error| Unanswered::Unreadable(socket.to_owned(), error))
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => {
                write!(
                    f,
                    "the server behind {} does not answer: {error}",
                    path.display()
                )
            }
            Self::Unreadable(path, error) => write!(
                f,
                "the answer of the server behind {} cannot be read ({error}); it may be another \
                 version of lowmem-serve",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Unanswered {}
