//! The supervisor's end of the operator socket: callers that ask, and what they are answered.
//!
//! Polled by the supervisor's own loop, so that it answers while every worker hangs. Nothing here
//! blocks: a caller that does not ask, or does not read, is dropped after [`PATIENCE`], and at most
//! [`MOST_CALLERS`] are connected; the others wait in the listen queue.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use tracing::debug;

use crate::net::unix::{self, UnixPath};
use crate::operator::{MOST_REQUEST, OperatorSocket, Reply, Request, place};

/// How long a caller may take to send its line, or to read its reply.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many callers are connected.
const MOST_CALLERS: usize = 16;

/// How many wait for that.
const BACKLOG: i32 = 64;

/// For the owner of the server.
const MODE: u32 = 0o600;

/// After accepting has failed (no descriptor is left): the socket stays readable, and the loop would spin.
const PAUSE: Duration = Duration::from_secs(1);

/// The socket and its callers.
#[derive(Debug)]
pub(super) struct Operator {
    listener: UnixListener,
    /// Removes the socket's file, if it has one, when dropped.
    _file: Option<UnixPath>,
    callers: Vec<Caller>,
    next_id: u64,
    /// Nothing is accepted before.
    pauses_until: Option<Instant>,
}

/// A caller whose request has been taken; it waits until [`Operator::answer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallerId(u64);

#[derive(Debug)]
struct Caller {
    id: CallerId,
    socket: UnixStream,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The part of its line that it has sent.
    Asking { line: Vec<u8>, deadline: Instant },
    /// Its request is with the supervisor.
    Waiting,
    /// The part of its reply that it has not read.
    Answering { rest: Vec<u8>, deadline: Instant },
}

/// The result of a turn with a caller.
enum Step {
    Asked(Request),
    Stays,
    Gone,
}

impl Operator {
    /// Binds the socket. Where one that was not named can have no file, on a read-only root, it is one
    /// without a file; where that cannot be had, too, the server goes without.
    pub(super) fn open(socket: Option<&OperatorSocket>) -> io::Result<Option<Self>> {
        let Some(OperatorSocket { path, is_named }) = socket else {
            return Ok(None);
        };
        let prepared = if *is_named {
            Ok(())
        } else {
            place::prepare(path)
        };
        let bound = prepared.and_then(|()| unix::bind(path, Some(MODE), BACKLOG));
        match bound {
            Ok((listener, file)) => Ok(Some(Self::new(listener.into(), Some(file)))),
            Err(reason) if *is_named => {
                let path = path.display();
                let why = format!("Cannot open the operator socket {path}: {reason}");
                Err(io::Error::new(reason.kind(), why))
            }
            Err(reason) => {
                debug!("No operator socket at {}: {reason}", path.display());
                let nameless = bind_nameless(path);
                if let Err(reason) = &nameless {
                    debug!("Nor one without a file: {reason}");
                }
                Ok(nameless.ok().map(|listener| Self::new(listener, None)))
            }
        }
    }

    fn new(listener: UnixListener, file: Option<UnixPath>) -> Self {
        Self {
            listener,
            _file: file,
            callers: Vec::new(),
            next_id: 0,
            pauses_until: None,
        }
    }

    /// The requests that have come in. Each caller waits for its answer.
    pub(super) fn take(&mut self, now: Instant) -> Vec<(CallerId, Request)> {
        self.accept(now);
        let mut taken = Vec::new();
        self.callers.retain_mut(|caller| match caller.step(now) {
            Step::Asked(request) => {
                taken.push((caller.id, request));
                true
            }
            Step::Stays => true,
            Step::Gone => false,
        });
        taken
    }

    /// Answers a caller, if it is still there.
    pub(super) fn answer(&mut self, id: CallerId, reply: &Reply, now: Instant) {
        let Some(caller) = self.callers.iter_mut().find(|caller| caller.id == id) else {
            return;
        };
        caller.begin_answer(reply, now);
        if matches!(caller.step(now), Step::Gone) {
            self.callers.retain(|caller| caller.id != id);
        }
    }

    /// The descriptors and events to wait for.
    pub(super) fn sources(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let accepts = self.callers.len() < MOST_CALLERS && self.pauses_until.is_none();
        let listener = accepts.then(|| (self.listener.as_fd(), PollFlags::IN));
        let callers = self.callers.iter().map(|caller| {
            let flags = match caller.state {
                State::Asking { .. } => PollFlags::IN,
                // epoll and poll report a hang-up without a request for it.
                State::Waiting => PollFlags::empty(),
                State::Answering { .. } => PollFlags::OUT,
            };
            (caller.socket.as_fd(), flags)
        });
        listener.into_iter().chain(callers)
    }

    /// When something is due though nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let callers = self.callers.iter().filter_map(|caller| match caller.state {
            State::Asking { deadline, .. } | State::Answering { deadline, .. } => Some(deadline),
            State::Waiting => None,
        });
        callers.chain(self.pauses_until).min()
    }

    fn accept(&mut self, now: Instant) {
        if self.pauses_until.is_some_and(|until| until > now) {
            return;
        }
        self.pauses_until = None;
        while self.callers.len() < MOST_CALLERS {
            match self.listener.accept() {
                Ok((socket, _)) => self.add(socket, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    debug!("Cannot accept on the operator socket: {error}");
                    self.pauses_until = Some(now + PAUSE);
                    return;
                }
            }
        }
    }

    fn add(&mut self, socket: UnixStream, now: Instant) {
        // The file's mode keeps others out; where it was changed, or there is none, this does.
        let is_allowed = socket_peercred(&socket)
            .is_ok_and(|peer| peer.uid.is_root() || peer.uid == rustix::process::geteuid());
        if !is_allowed || socket.set_nonblocking(true).is_err() {
            return;
        }
        let id = CallerId(self.next_id);
        self.next_id += 1;
        let state = State::Asking {
            line: Vec::new(),
            deadline: now + PATIENCE,
        };
        self.callers.push(Caller { id, socket, state });
    }
}

/// A socket without a file, in place of the one with this path.
fn bind_nameless(path: &Path) -> io::Result<UnixListener> {
    let name = place::pid_in(path).and_then(place::nameless);
    let name = name.as_deref().and_then(place::without_file);
    let name = name.ok_or(io::ErrorKind::NotFound)?;
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Caller {
    /// Goes as far as it can without waiting.
    fn step(&mut self, now: Instant) -> Step {
        match &mut self.state {
            State::Asking { line, deadline } => match read_line(&mut self.socket, line) {
                Ok(false) if *deadline > now => Step::Stays,
                Ok(false) | Err(_) => Step::Gone,
                Ok(true) => match serde_json::from_slice(line) {
                    Ok(request) => {
                        self.state = State::Waiting;
                        Step::Asked(request)
                    }
                    Err(why) => {
                        let why = format!("this is no request of this version: {why}");
                        self.begin_answer(&Reply::Refused(why), now);
                        self.step(now)
                    }
                },
            },
            State::Waiting if has_hung_up(&self.socket) => Step::Gone,
            State::Waiting => Step::Stays,
            State::Answering { rest, deadline } => match write_rest(&mut self.socket, rest) {
                Ok(()) if !rest.is_empty() && *deadline > now => Step::Stays,
                _ => Step::Gone,
            },
        }
    }

    fn begin_answer(&mut self, reply: &Reply, now: Instant) {
        // Texts, numbers and lists always serialise.
        let mut rest = serde_json::to_vec(reply).unwrap_or_default();
        rest.push(b'\n');
        self.state = State::Answering {
            rest,
            deadline: now + PATIENCE,
        };
    }
}

/// Reads on, and says whether the line is complete: at its end, or at the caller's.
fn read_line(socket: &mut UnixStream, line: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(0) => return Ok(true),
            Ok(read) => {
                line.extend_from_slice(&buffer[..read]);
                if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                    line.truncate(end);
                    return Ok(true);
                }
                if line.len() > MOST_REQUEST {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn write_rest(socket: &mut UnixStream, rest: &mut Vec<u8>) -> io::Result<()> {
    while !rest.is_empty() {
        match socket.write(rest) {
            Ok(written) => drop(rest.drain(..written)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A caller that only says that it sends no more still reads.
fn has_hung_up(socket: &UnixStream) -> bool {
    let mut source = [PollFd::new(socket, PollFlags::empty())];
    let ready = poll(&mut source, Some(&Timespec::default()));
    ready.is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("lowmem-operator-{name}-{}", std::process::id()))
    }

    fn opened(name: &str) -> (Operator, PathBuf) {
        let path = path(name);
        let socket = OperatorSocket {
            path: path.clone(),
            is_named: true,
        };
        (Operator::open(Some(&socket)).unwrap().unwrap(), path)
    }

    #[test]
    fn a_request_waits_until_it_is_answered() {
        let (mut operator, path) = opened("waits");
        let now = Instant::now();
        let mut caller = UnixStream::connect(path).unwrap();
        caller.write_all(b"\"rec").unwrap();
        assert_eq!(operator.take(now), []);
        caller.write_all(b"ycle\"\n").unwrap();
        let taken = operator.take(now);
        assert_eq!(taken[0].1, Request::Recycle);
        assert_eq!(operator.take(now + PATIENCE * 9), []);
        operator.answer(taken[0].0, &Reply::Done("yes".to_owned()), now);
        let mut reply = String::new();
        caller.read_to_string(&mut reply).unwrap();
        assert_eq!(reply, "{\"done\":\"yes\"}\n");
        assert!(operator.callers.is_empty());
    }

    #[test]
    fn a_caller_that_does_not_ask_is_dropped_and_so_is_one_that_is_gone() {
        let (mut operator, path) = opened("dropped");
        let now = Instant::now();
        let silent = UnixStream::connect(&path).unwrap();
        operator.take(now);
        assert_eq!(operator.deadline(), Some(now + PATIENCE));
        operator.take(now + PATIENCE);
        assert!(operator.callers.is_empty());
        drop(silent);
        let mut gone = UnixStream::connect(&path).unwrap();
        gone.write_all(b"\"status\"\n").unwrap();
        assert_eq!(operator.take(now).len(), 1);
        drop(gone);
        assert!(operator.take(now).is_empty() && operator.callers.is_empty());
    }

    #[test]
    fn nonsense_is_answered_and_too_much_of_it_is_not_read() {
        let (mut operator, path) = opened("nonsense");
        let now = Instant::now();
        let mut caller = UnixStream::connect(&path).unwrap();
        caller.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        assert_eq!(operator.take(now), []);
        let mut reply = String::new();
        caller.read_to_string(&mut reply).unwrap();
        assert!(reply.contains("no request of this version"), "{reply}");
        let mut endless = UnixStream::connect(&path).unwrap();
        endless.write_all(&vec![b' '; MOST_REQUEST + 1]).unwrap();
        operator.take(now);
        assert!(operator.callers.is_empty());
    }

    #[test]
    fn the_number_of_callers_is_bounded() {
        let (mut operator, path) = opened("bounded");
        let callers: Vec<_> = (0..=MOST_CALLERS)
            .map(|_| UnixStream::connect(&path).unwrap())
            .collect();
        operator.take(Instant::now());
        assert_eq!(operator.callers.len(), MOST_CALLERS);
        let listens = operator.sources().count() > MOST_CALLERS;
        assert!(!listens);
        drop(callers);
    }
}
