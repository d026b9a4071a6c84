//! How each server is started on the same application.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::environment::Environment;

/// This executable itself, whatever its path has become by now.
const THIS_EXECUTABLE: &str = "/proc/self/exe";

/// The settings that would make the trial listen elsewhere than on a free port of its own.
const LISTENING: [&str; 5] = ["BIND", "FD", "HOST", "PORT", "UDS"];

/// An application, and how it should be served.
#[derive(Debug, Clone)]
pub struct Served {
    /// `module:attribute`.
    pub app: String,
    /// Where it is, if not in the working directory.
    pub app_dir: Option<PathBuf>,
    /// Whether it is a function that returns the application.
    pub factory: bool,
    /// The Python it is served in.
    pub environment: Environment,
    /// argv\[0\] of this process: the child finds what belongs to it as this one did.
    pub called_as: String,
    /// More flags for our own server.
    pub flags: Vec<OsString>,
    /// Variables on top of this process's own.
    pub variables: Vec<(OsString, OsString)>,
}

/// A server to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
#[expect(missing_docs)]
pub enum Peer {
    Uvicorn,
    Granian,
}

/// A server that is not installed where the application is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerMissing {
    peer: Peer,
    python: PathBuf,
}

impl Served {
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(THIS_EXECUTABLE);
        command.arg0(&self.called_as).arg(&self.app);
        command.arg("--python").arg(&self.environment.python);
        if let Some(directory) = &self.app_dir {
            command.arg("--app-dir").arg(directory);
        }
        if self.factory {
            command.arg("--factory");
        }
        command.args(&self.flags);
        // The last one of a flag counts: nothing above changes where it listens and how it says so.
        command.args(["--host", "127.0.0.1", "--port", "0"]);
        command.args(["--log-level", "info", "--log-format", "human"]);
        command.arg("--no-use-colors");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        for name in LISTENING {
            command.env_remove(format!("LOWMEM_{name}"));
            command.env_remove(format!("UVICORN_{name}"));
        }
        command
    }

    /// One worker, no access log, and otherwise the peer's defaults.
    pub(super) fn peer_command(&self, peer: Peer, port: u16) -> Command {
        let mut command = Command::new(&self.environment.python);
        command.args(["-m", peer.module()]);
        let port = port.to_string();
        command.args(["--host", "127.0.0.1", "--port", &port]);
        match peer {
            Peer::Uvicorn => command.arg("--no-access-log"),
            Peer::Granian => command.args(["--interface", "asgi"]),
        };
        if let Some(directory) = &self.app_dir {
            command.arg(peer.app_dir()).arg(directory);
        }
        if self.factory {
            command.arg("--factory");
        }
        command.arg(&self.app);
        command
    }
}

impl Peer {
    /// Its version in this environment.
    ///
    /// # Errors
    /// It is not installed there, or does not run.
    pub fn version(self, environment: &Environment) -> Result<String, PeerMissing> {
        let asked = Command::new(&environment.python)
            .args(["-m", self.module(), "--version"])
            .stdin(Stdio::null())
            .output();
        let missing = PeerMissing {
            peer: self,
            python: environment.python.clone(),
        };
        let said = match asked {
            Ok(output) if output.status.success() => output.stdout,
            _ => return Err(missing),
        };
        // "Running uvicorn 0.54.0 with CPython 3.11.7 on Linux", "granian 2.8.7"
        let said = String::from_utf8_lossy(&said);
        let mut words = said.split_whitespace();
        let version = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        version.map(str::to_owned).ok_or(missing)
    }

    fn module(self) -> &'static str {
        match self {
            Self::Uvicorn => "uvicorn",
            Self::Granian => "granian",
        }
    }

    fn app_dir(self) -> &'static str {
        match self {
            Self::Uvicorn => "--app-dir",
            Self::Granian => "--working-dir",
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.module())
    }
}

impl fmt::Display for PeerMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, python) = (self.peer, self.python.display());
        write!(
            f,
            "{peer} does not run in this environment; install it with: {python} -m pip install {peer}"
        )
    }
}

impl std::error::Error for PeerMissing {}
