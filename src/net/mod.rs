//! Listening sockets: bound once by the supervisor, inherited by every worker.
//!
//! Workers share one socket and its accept queue (no SO_REUSEPORT, whose queue dies with its
//! socket), so a connection that nobody has accepted yet survives any worker.

mod tcp;
mod unix;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::{SockAddr, Socket};

use crate::config::{BoundListener, Listen};
use crate::sys::descriptor;

pub use unix::UnixPath;

/// Everything the server listens on.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<(OwnedFd, BoundListener)>,
    place: Place,
    /// Held for its drop, which removes the socket's file.
    _path: Option<UnixPath>,
}

/// Where the server is reached, as its running line says it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Url(String),
    UnixSocket(String),
    Socket(String),
}

/// Why nothing could be listened on.
#[derive(Debug)]
pub enum BindError {
    /// An address (as Uvicorn writes it) cannot be bound.
    Bind(String, io::Error),
    /// A host name has no address.
    Resolve(String, io::Error),
    /// `--fd` is not a listening socket.
    Inherited(i32, String),
}

impl Listeners {
    /// Binds and listens. Nothing is accepted before a worker does.
    pub fn open(listen: &Listen, backlog: i32) -> Result<Self, BindError> {
        match listen {
            Listen::Tcp { host, port } => {
                let (sockets, port) = tcp::bind(host, *port, backlog)?;
                let url = format!("http://{}:{port}", url_host(host));
                let sockets = sockets.into_iter().map(|s| (s, BoundListener::Tcp));
                Ok(Self::new(sockets.collect(), Place::Url(url), None))
            }
            Listen::Unix(path) => {
                let text = path.to_string_lossy().into_owned();
                let (socket, path) = unix::bind(path, backlog)
                    .map_err(|error| BindError::Bind(format!("'{text}'"), error))?;
                let sockets = vec![(socket, BoundListener::Unix(text.clone()))];
                Ok(Self::new(sockets, Place::UnixSocket(text), Some(path)))
            }
            Listen::Inherited(number) => {
                inherit(*number).map_err(|why| BindError::Inherited(*number, why))
            }
        }
    }

    fn new(sockets: Vec<(OwnedFd, BoundListener)>, place: Place, path: Option<UnixPath>) -> Self {
        Self {
            sockets,
            place,
            _path: path,
        }
    }

    /// What each one is, in the order of `descriptors`.
    pub fn kinds(&self) -> Vec<BoundListener> {
        self.sockets.iter().map(|(_, kind)| kind.clone()).collect()
    }

    /// The descriptors to give to a worker.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets
            .iter()
            .map(|(socket, _)| socket.as_fd())
            .collect()
    }
}

/// `http://127.0.0.1:8000`, `unix socket /run/app.sock` or `socket 127.0.0.1:8000`.
impl fmt::Display for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Url(url) => f.write_str(url),
            Place::UnixSocket(path) => write!(f, "unix socket {path}"),
            Place::Socket(name) => write!(f, "socket {name}"),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Bind(address, error) => {
                let number = error.raw_os_error().unwrap_or(0);
                let reason = error.to_string();
                let reason = reason.split(" (os error").next().unwrap_or_default();
                let reason = reason.to_lowercase();
                write!(
                    f,
                    "[Errno {number}] error while attempting to bind on address {address}: {reason}"
                )
            }
            BindError::Resolve(host, error) => {
                write!(f, "cannot resolve the host name \"{host}\": {error}")
            }
            BindError::Inherited(number, why) => {
                write!(f, "--fd {number} is not a listening socket: {why}")
            }
        }
    }
}

impl std::error::Error for BindError {}

/// The host as it stands in a URL; Uvicorn shows what was typed, not what it resolved to.
fn url_host(host: &str) -> String {
    match host {
        "" => "0.0.0.0".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    }
}

fn inherit(number: i32) -> Result<Listeners, String> {
    let because = |error: io::Error| error.to_string();
    let socket = Socket::from(descriptor::adopt(number).map_err(because)?);
    let address = socket.local_addr().map_err(because)?;
    if !socket.is_listener().map_err(because)? {
        return Err("it does not listen".to_owned());
    }
    socket.set_nonblocking(true).map_err(because)?;
    socket.set_cloexec(true).map_err(because)?;
    let (kind, name) = inherited_name(&address);
    Ok(Listeners::new(
        vec![(socket.into(), kind)],
        Place::Socket(name),
        None,
    ))
}

fn inherited_name(address: &SockAddr) -> (BoundListener, String) {
    match address.as_socket() {
        Some(address) => (BoundListener::Tcp, address.to_string()),
        None => {
            let path = address
                .as_pathname()
                .map(|p| p.to_string_lossy().into_owned());
            let path = path.unwrap_or_default();
            (BoundListener::Unix(path.clone()), path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Result<Listeners, BindError> {
        let host = host.to_owned();
        Listeners::open(&Listen::Tcp { host, port }, 16)
    }

    #[test]
    fn a_free_port_is_chosen_and_named() {
        let listeners = tcp("127.0.0.1", 0).unwrap();
        let name = listeners.to_string();
        let port: u16 = name
            .strip_prefix("http://127.0.0.1:")
            .unwrap()
            .parse()
            .unwrap();
        assert_ne!(port, 0);
    }

    #[test]
    fn a_taken_port_is_reported_in_uvicorns_words() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_eq!(
            tcp("127.0.0.1", port).unwrap_err().to_string(),
            format!(
                "[Errno 98] error while attempting to bind on address ('127.0.0.1', {port}): address already in use"
            )
        );
    }

    #[test]
    fn an_empty_host_is_every_interface_on_one_port() {
        let listeners = tcp("", 0).unwrap();
        assert!(listeners.to_string().starts_with("http://0.0.0.0:"));
        assert!(!listeners.descriptors().is_empty());
    }

    #[test]
    fn a_descriptor_that_is_no_socket_is_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let number = std::os::fd::IntoRawFd::into_raw_fd(file);
        let error = Listeners::open(&Listen::Inherited(number), 16).unwrap_err();
        assert!(error.to_string().contains("is not a listening socket"));
    }
}
