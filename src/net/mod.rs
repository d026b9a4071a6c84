//! Listening sockets: bound once by the supervisor, inherited by every worker.
//!
//! Workers share one socket and its accept queue (no SO_REUSEPORT, whose queue dies with its
//! socket), so a connection that has not been accepted yet survives any worker.

mod holder;
mod listen;
mod routed;
mod tcp;
pub(crate) mod unix;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use lowmem_base::config::BoundListener;
use socket2::{SockAddr, SockRef, Socket};

use crate::control::{MAX_DESCRIPTORS, Moved, Peers, ServerAddress};
use crate::sys::descriptor;

use holder::Holder;
pub(crate) use holder::listeners;
pub use listen::Listen;
use routed::Pair;
pub use unix::UnixPath;

/// A worker is sent them all in one message, with the page that it counts in.
const MOST_LISTENERS: usize = MAX_DESCRIPTORS - 1;

/// Everything the server listens on.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<(OwnedFd, BoundListener)>,
    places: Vec<Place>,
    /// Held for their drop, which removes the sockets' files.
    paths: Vec<UnixPath>,
    /// Connections of the places that applications share come over it.
    routed: Option<Pair>,
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub socket: OwnedFd,
    /// Its other end, unless it came through a Unix socket.
    pub client: Option<SocketAddr>,
    /// Its own end, unless that is a Unix socket, or the client has gone already.
    pub local: Option<SocketAddr>,
}

impl Accepted {
    /// The addresses of its ends, on a listening socket of this kind; `None` if the client has gone already.
    pub(crate) fn peers(&self, kind: Option<&BoundListener>, routed: bool) -> Option<Peers> {
        let server = match (kind, self.local) {
            (Some(BoundListener::Unix(path)), _) => ServerAddress::Unix(path.clone()),
            (_, Some(local)) => ServerAddress::Tcp(local),
            _ => return None,
        };
        Some(Peers {
            client: self.client,
            server,
            routed,
        })
    }
}

/// Whether an accept failed because no descriptor is left, or no memory for one. Other errors are those of the
/// connection (accept(2)), and another may follow.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error
        .raw_os_error()
        .is_some_and(|code| exhausted.contains(&code))
}

/// Where the server is reached, as its running line says it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Its authority: host and port.
    Url(String),
    UnixSocket(String),
    Socket(String),
}

/// Why nothing could be listened on.
#[derive(Debug)]
pub enum BindError {
    /// An address (as Uvicorn writes it) cannot be bound.
    Bind(String, io::Error),
    /// The same, of a privileged port.
    Privileged(Box<BindError>),
    /// The same, with the process that listens there.
    Taken(Box<BindError>, Holder),
    /// A host name has no address.
    Resolve(String, io::Error),
    /// An inherited descriptor is not a listening socket.
    Inherited(i32, String),
    /// More sockets than a worker can be given.
    TooMany(usize),
}

impl Listeners {
    /// Binds and listens. Nothing is accepted before a worker does.
    pub fn open(listen: &[Listen], mode: Option<u32>, backlog: i32) -> Result<Self, BindError> {
        let mut listeners = Self {
            sockets: Vec::new(),
            places: Vec::new(),
            paths: Vec::new(),
            routed: None,
        };
        for place in listen {
            listeners.add(place, mode, backlog)?;
        }
        match listeners.sockets.len() {
            0..=MOST_LISTENERS => Ok(listeners),
            count => Err(BindError::TooMany(count)),
        }
    }

    fn add(&mut self, listen: &Listen, mode: Option<u32>, backlog: i32) -> Result<(), BindError> {
        match listen {
            Listen::Tcp { host, port } => {
                let (sockets, port) = tcp::bind(host, *port, backlog)?;
                let authority = format!("{}:{port}", url_host(host));
                let sockets = sockets.into_iter().map(|s| (s, BoundListener::Tcp));
                self.sockets.extend(sockets);
                self.places.push(Place::Url(authority));
            }
            Listen::Unix(path) => {
                let text = path.to_string_lossy().into_owned();
                let (socket, path) = unix::bind(path, mode, backlog).map_err(|error| {
                    let holder = taken(&error).then(|| holder::of_unix(path)).flatten();
                    BindError::Bind(format!("'{text}'"), error).by(holder)
                })?;
                let kind = BoundListener::Unix(text.clone());
                self.sockets.push((socket, kind));
                self.places.push(Place::UnixSocket(text));
                self.paths.push(path);
            }
            Listen::Routed(_) => {
                let told = |error| BindError::Bind("the router".to_owned(), error);
                let pair = Pair::new().map_err(told)?;
                let own = pair.application().try_clone_to_owned().map_err(told)?;
                self.sockets.push((own, BoundListener::Routed));
                self.routed = Some(pair);
            }
            Listen::Inherited(number) => {
                let (socket, kind, name) =
                    inherit(*number).map_err(|why| BindError::Inherited(*number, why))?;
                self.sockets.push((socket, kind));
                self.places.push(Place::Socket(name));
            }
        }
        Ok(())
    }

    /// Where the server is reached with URLs of this scheme: `http://127.0.0.1:8000`,
    /// `unix socket /run/app.sock` or, where it was inherited, `socket 127.0.0.1:8000`.
    pub fn places(&self, scheme: &str) -> Vec<String> {
        self.places
            .iter()
            .map(|place| place.within(scheme))
            .collect()
    }

    /// The kind of each listener, in the order of `descriptors`.
    pub fn kinds(&self) -> Vec<BoundListener> {
        self.sockets.iter().map(|(_, kind)| kind.clone()).collect()
    }

    /// The number of listeners.
    pub fn count(&self) -> usize {
        self.sockets.len()
    }

    /// The kind of the listener with this number.
    pub fn kind(&self, number: usize) -> Option<&BoundListener> {
        self.sockets.get(number).map(|(_, kind)| kind)
    }

    /// Accepts a connection, if one waits. Only after a worker has been ready: it has made the
    /// listeners non-blocking, which they are for all processes.
    pub fn accept(&self, number: usize) -> io::Result<Option<Accepted>> {
        let Some((listener, kind)) = self.sockets.get(number) else {
            return Ok(None);
        };
        let (socket, peer) = match SockRef::from(listener).accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_tcp = *kind == BoundListener::Tcp;
        if is_tcp {
            // As a worker does; a socket that refuses is about to fail anyway.
            let _ = socket.set_tcp_nodelay(true);
        }
        Ok(Some(Accepted {
            client: peer.as_socket(),
            local: socket.local_addr().ok().and_then(|local| local.as_socket()),
            socket: socket.into(),
        }))
    }

    /// Goes on with the pair of others, in which connections may wait.
    pub fn go_on_from(&mut self, others: &Self) -> io::Result<()> {
        let (Some(own), Some(before)) = (&mut self.routed, &others.routed) else {
            return Ok(());
        };
        let pair = before.again()?;
        for (socket, kind) in &mut self.sockets {
            if *kind == BoundListener::Routed {
                *socket = pair.application().try_clone_to_owned()?;
            }
        }
        *own = pair;
        Ok(())
    }

    /// The end of the router, where there is one.
    pub fn router_end(&self) -> Option<&OwnedFd> {
        self.routed.as_ref().map(Pair::router)
    }

    /// A connection that the router has sent and no worker has taken.
    pub fn take_routed(&self) -> io::Result<Option<(Moved, OwnedFd)>> {
        self.routed.as_ref().map_or(Ok(None), Pair::take)
    }

    /// Sends a connection back to the router.
    pub fn give_back(&self, moved: &Moved, socket: BorrowedFd<'_>) -> io::Result<()> {
        match &self.routed {
            Some(pair) => pair.give_back(moved, socket),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Makes [`Self::accept`] never wait, where no worker does.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        let mut sockets = self.sockets.iter();
        sockets.try_for_each(|(socket, _)| SockRef::from(socket).set_nonblocking(true))
    }

    /// The descriptors to give to a worker.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets
            .iter()
            .map(|(socket, _)| socket.as_fd())
            .collect()
    }
}

impl Place {
    fn within(&self, scheme: &str) -> String {
        match self {
            Self::Url(authority) => format!("{scheme}://{authority}"),
            Self::UnixSocket(path) => format!("unix socket {path}"),
            Self::Socket(name) => format!("socket {name}"),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Bind(address, error) => {
                if let Some(number) = error.raw_os_error() {
                    write!(f, "[Errno {number}] ")?;
                }
                let reason = error.to_string();
                let reason = reason.split(" (os error").next().unwrap_or_default();
                let (first, rest) = reason.split_at_checked(1).unwrap_or((reason, ""));
                write!(
                    f,
                    "error while attempting to bind on address {address}: {}{rest}",
                    first.to_lowercase()
                )
            }
            BindError::Taken(error, holder) => write!(f, "{error}; {holder}"),
            BindError::Privileged(error) => {
                write!(
                    f,
                    "{error}; ports below 1024 are for root, or CAP_NET_BIND_SERVICE"
                )
            }
            BindError::Resolve(host, error) => {
                write!(f, "cannot resolve the host name \"{host}\": {error}")
            }
            BindError::Inherited(number, why) => {
                write!(f, "descriptor {number} is not a listening socket: {why}")
            }
            BindError::TooMany(count) => {
                write!(
                    f,
                    "{count} sockets to listen on, more than {MOST_LISTENERS}"
                )
            }
        }
    }
}

impl std::error::Error for BindError {}

impl BindError {
    /// The same, with the process that causes it, if it is known.
    fn by(self, holder: Option<Holder>) -> Self {
        match holder {
            Some(holder) => Self::Taken(Box::new(self), holder),
            None => self,
        }
    }
}

/// Whether another socket is bound there.
fn taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// The host as it stands in a URL; Uvicorn shows what was typed, not what it resolved to.
fn url_host(host: &str) -> String {
    match host {
        "" => "0.0.0.0".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    }
}

fn inherit(number: i32) -> Result<(OwnedFd, BoundListener, String), String> {
    let because = |error: io::Error| error.to_string();
    let socket = Socket::from(descriptor::adopt(number).map_err(because)?);
    let address = socket.local_addr().map_err(because)?;
    if !socket.is_listener().map_err(because)? {
        return Err("it does not listen".to_owned());
    }
    socket.set_nonblocking(true).map_err(because)?;
    socket.set_cloexec(true).map_err(because)?;
    let (kind, name) = inherited_name(&address);
    Ok((socket.into(), kind, name))
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
        Listeners::open(&[Listen::Tcp { host, port }], None, 16)
    }

    #[test]
    fn a_free_port_is_chosen_and_named() {
        let listeners = tcp("127.0.0.1", 0).unwrap();
        let name = listeners.places("http").remove(0);
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
        let said = tcp("127.0.0.1", port).unwrap_err().to_string();
        let (reason, holder) = said.split_once("; ").unwrap();
        assert_eq!(
            reason,
            format!(
                "[Errno 98] error while attempting to bind on address ('127.0.0.1', {port}): address already in use"
            )
        );
        let own = format!("process {} (", std::process::id());
        assert!(holder.starts_with(&own), "{holder}");
    }

    #[test]
    fn an_empty_host_is_every_interface_on_one_port() {
        let listeners = tcp("", 0).unwrap();
        assert!(listeners.places("http")[0].starts_with("http://0.0.0.0:"));
        assert!(!listeners.descriptors().is_empty());
    }

    #[test]
    fn a_descriptor_that_is_no_socket_is_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let number = std::os::fd::IntoRawFd::into_raw_fd(file);
        let error = Listeners::open(&[Listen::Inherited(number)], None, 16).unwrap_err();
        assert!(error.to_string().contains("is not a listening socket"));
    }
}
