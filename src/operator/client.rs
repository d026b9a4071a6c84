//! Asking a server.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use super::{Reply, Request, place};

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
    let mut connected = connect(socket).map_err(io)?;
    connected.set_read_timeout(Some(PATIENCE)).map_err(io)?;
    connected.set_write_timeout(Some(PATIENCE)).map_err(io)?;
    let mut line = serde_json::to_string(request).map_err(|error| io(error.into()))?;
    line.push('\n');
    connected.write_all(line.as_bytes()).map_err(io)?;
    let mut reply = Vec::new();
    connected.read_to_end(&mut reply).map_err(io)?;
    serde_json::from_slice(&reply).map_err(|error| Unanswered::Unreadable(socket.to_owned(), error))
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let Some(name) = place::without_file(socket) else {
        return UnixStream::connect(socket);
    };
    let connected = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    // No directory keeps others from taking the name.
    let peer = socket_peercred(&connected)?;
    let is_whole = peer.uid == geteuid() || peer.uid.is_root() || geteuid().is_root();
    let is_it = place::pid_in(socket) == u32::try_from(peer.pid.as_raw_nonzero().get()).ok();
    if is_whole && is_it {
        Ok(connected)
    } else {
        let why = "another process has taken its name";
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    }
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
