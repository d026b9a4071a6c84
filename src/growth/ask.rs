//! Asking a worker.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;

use lowmem_base::growth::{Answer, Question, socket_name};

/// For a worker to count a large heap between its requests.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why a worker gave no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// It is not there any more, or does not answer.
    Io(u32, io::Error),
    /// Its socket's name is held by another process.
    Impostor(u32, i32),
    /// It says why.
    Refused(u32, String),
}

/// A worker's error in place of an answer.
#[derive(serde::Deserialize)]
struct Refusal {
    error: String,
}

/// Asks a worker and waits for its answer.
///
/// # Errors
/// It does not answer.
pub fn ask(pid: u32, question: Question) -> Result<Answer, Unanswered> {
    let io = |error| Unanswered::Io(pid, error);
    let address = SocketAddr::from_abstract_name(socket_name(pid)).map_err(io)?;
    let mut socket = UnixStream::connect_addr(&address).map_err(io)?;
    let holder = socket_peercred(&socket).map_err(|error| io(error.into()))?;
    let holder = holder.pid.as_raw_nonzero().get();
    if u32::try_from(holder) != Ok(pid) {
        return Err(Unanswered::Impostor(pid, holder));
    }
    socket.set_read_timeout(Some(PATIENCE)).map_err(io)?;
    let asked = serde_json::to_string(&question).map_err(|error| io(error.into()))?;
    writeln!(socket, "{asked}").map_err(io)?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).map_err(io)?;
    if let Ok(refusal) = serde_json::from_slice::<Refusal>(&answer) {
        return Err(Unanswered::Refused(pid, refusal.error));
    }
    serde_json::from_slice(&answer).map_err(|error| io(error.into()))
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(pid, error) => write!(f, "worker {pid} does not answer: {error}"),
            Self::Impostor(pid, holder) => write!(
                f,
                "the socket of worker {pid} belongs to process {holder}, which is not asked"
            ),
            Self::Refused(pid, why) => write!(f, "worker {pid}: {why}"),
        }
    }
}

impl std::error::Error for Unanswered {}
