//! A trial: an application served for real, as a child of this process, so that it can be measured.
//!
//! The child is this very executable or, to compare, another server. It listens on a free port of
//! 127.0.0.1, is asked for pages, and is stopped with SIGTERM. What it writes is kept and shown if
//! it fails. Knows nothing of what is measured.

mod output;
mod request;
mod servers;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::sys::process;

use self::output::{Output, Woken};

pub use request::{Answers, Request, Warmth};
pub use servers::{Peer, PeerMissing, Served};

/// The time for an application to be ready. Longer than any import that a user would wait for.
const STARTUP: Duration = Duration::from_secs(120);

/// For a server to stop by itself. Beyond it the whole of it is killed.
const STOP: Duration = Duration::from_secs(30);

/// For the output of an ended server to be read. What it has forked may hold the pipe open for longer.
const LAST_LINES: Duration = Duration::from_millis(200);

/// Between two looks at a server that does not say so: whether it listens, or has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A server that is ready.
#[derive(Debug)]
pub struct Trial {
    child: Child,
    output: Output,
    address: SocketAddr,
}

/// Why a trial came to nothing.
#[derive(Debug)]
pub enum Failed {
    /// The system did not start the process.
    Start(io::Error),
    /// It ended before it was ready; what it wrote.
    Ended(ExitStatus, String),
    /// It is served otherwise than over plain HTTP.
    NotPlain,
    /// It was not ready in time; what it wrote.
    TooLate(String),
    /// A request was not answered; what the server wrote.
    Request(String, io::Error, String),
}

/// How a started server tells that it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    /// By a line on stderr that has its address.
    Line,
    /// By listening on the port that it was given.
    Port(u16),
}

impl Trial {
    /// Starts this executable on an application, and waits until it is ready.
    ///
    /// # Errors
    /// It does not start; [`Failed`] says why.
    pub fn start(served: &Served) -> Result<Self, Failed> {
        Self::run(served.command(), Readiness::Line)
    }

    /// Starts another server on it.
    ///
    /// # Errors
    /// It does not start, or no port is free.
    pub fn start_peer(served: &Served, peer: Peer) -> Result<Self, Failed> {
        let port = free_port().map_err(Failed::Start)?;
        Self::run(served.peer_command(peer, port), Readiness::Port(port))
    }

    fn run(mut command: Command, readiness: Readiness) -> Result<Self, Failed> {
        let (output, writer) = Output::pipe().map_err(Failed::Start)?;
        let second = writer.try_clone().map_err(Failed::Start)?;
        command.stdin(std::process::Stdio::null());
        command.stdout(writer).stderr(second);
        process::end_with_parent(&mut command);
        let child = command.spawn().map_err(Failed::Start)?;
        // Only now the child alone has the writing ends, so that the pipe ends with it.
        drop(command);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut trial = Self {
            child,
            output,
            address,
        };
        trial.address = trial.wait_until_ready(readiness)?;
        Ok(trial)
    }

    /// The root of the server's process tree.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks for something a number of times, on one connection after the other.
    ///
    /// # Errors
    /// There is no answer.
    pub fn ask(&self, request: &Request, count: u32) -> Result<Answers, Failed> {
        let mut answers = Answers::to(request);
        for _ in 0..count {
            let status = request
                .send(self.address)
                .map_err(|error| Failed::Request(request.to_string(), error, self.output.text()))?;
            answers.add(status);
        }
        Ok(answers)
    }

    /// Lets a time pass; whether the server still runs after it.
    pub fn rest(&self, time: Duration) -> bool {
        self.output.wait_for_end(time) == Woken::NotYet
    }

    /// Stops the server, and collects it; what it has written.
    ///
    /// # Errors
    /// The process is not there any more.
    pub fn stop(mut self) -> io::Result<(ExitStatus, String)> {
        process::terminate(self.child.id());
        // The process, and not its output: what the application has forked may hold that open.
        if !process::ends_within(&self.child, STOP) && self.child.try_wait()?.is_none() {
            self.child.kill()?;
        }
        let status = self.child.wait()?;
        // The last lines, which a thread reads.
        self.output.wait_for_end(LAST_LINES);
        Ok((status, self.output.text()))
    }

    fn wait_until_ready(&mut self, readiness: Readiness) -> Result<SocketAddr, Failed> {
        let deadline = Instant::now() + STARTUP;
        while Instant::now() < deadline {
            let woken = match readiness {
                Readiness::Line => self.output.wait_for_address(LOOK),
                Readiness::Port(port) => {
                    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                    if TcpStream::connect(address).is_ok() {
                        return Ok(address);
                    }
                    self.output.wait_for_end(LOOK)
                }
            };
            match woken {
                Woken::Address(address) => return Ok(address),
                Woken::Elsewhere => return Err(Failed::NotPlain),
                Woken::NotYet | Woken::Ended => {}
            }
            // Without a writer left there is nothing to wait for but the process itself.
            let time = if woken == Woken::Ended {
                LOOK
            } else {
                Duration::ZERO
            };
            if process::ends_within(&self.child, time) {
                let status = self.child.wait().map_err(Failed::Start)?;
                self.output.wait_for_end(LAST_LINES);
                return Err(Failed::Ended(status, self.output.text()));
            }
        }
        Err(Failed::TooLate(self.output.text()))
    }
}

/// A trial that is given up takes its server with it.
impl Drop for Trial {
    fn drop(&mut self) {
        // Both fail only where it has been collected already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Free now: another process may take it before the server does, which then says so.
fn free_port() -> io::Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrote = match self {
            Self::Start(error) => return write!(f, "the server cannot be started: {error}"),
            Self::NotPlain => {
                return f.write_str(
                    "the server is asked over plain HTTP on one port; leave out flags for TLS and for \
                     other places to listen on",
                );
            }
            Self::Ended(status, wrote) => {
                write!(f, "the server ended before it was ready ({status})")?;
                wrote
            }
            Self::TooLate(wrote) => {
                write!(f, "the server was not ready after {} s", STARTUP.as_secs())?;
                wrote
            }
            Self::Request(request, error, wrote) => {
                write!(f, "no answer to {request}: {error}")?;
                wrote
            }
        };
        match wrote.trim_end() {
            "" => Ok(()),
            wrote => write!(f, ". It wrote:\n{wrote}"),
        }
    }
}

impl std::error::Error for Failed {}
