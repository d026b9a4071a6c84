//! The status server's thread: it accepts, and serves with hyper.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::LocalSet;
use tokio::time::{interval, sleep, timeout};

use super::board::Board;
use super::history;
use super::orders::Orderer;
use super::report::Samples;
use super::rest::Rest;
use super::view::Monitor;
use crate::net::unix::{self, UnixPath};

/// Connections at once: probes, a Prometheus, and a few pages.
const MOST_CONNECTIONS: usize = 64;

/// How long a head may take, and an idle connection is held.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest life of a connection: one that does not read must not hold a place for ever. A page
/// connects again by itself.
const LONGEST: Duration = Duration::from_secs(300);

/// After accepting has failed: no descriptor is left.
const PAUSE: Duration = Duration::from_secs(1);

/// For the owner, and for root.
const MODE: u32 = 0o600;

const BACKLOG: i32 = 128;

/// hyper, the answers and the runtime; what is deepest is the formatting of figures.
const STACK: usize = 256 * 1024;

/// Where the status server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// `127.0.0.1:9090`
    Tcp(String),
    /// `unix:PATH`
    Unix(PathBuf),
}

/// `--status-bind`, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub bind: Bind,
    /// With this token, workers may be recycled, added and removed.
    pub token: Option<String>,
}

/// The running status server, until it is dropped at the end of the process.
#[derive(Debug)]
pub struct Running {
    /// Where it is reached.
    pub place: String,
    _file: Option<UnixPath>,
}

enum Listening {
    Tcp(StdTcpListener),
    Unix(StdUnixListener),
}

/// Binds, and starts the thread.
///
/// # Errors
/// The address cannot be bound, or there can be no thread.
pub fn start(settings: &Settings, board: Arc<Board>, orderer: Orderer) -> io::Result<Running> {
    let (listening, place, file) = bind(&settings.bind)?;
    let settings = settings.clone();
    thread::Builder::new()
        .name("status".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build();
            let monitor = Rc::new(Monitor {
                board,
                orderer,
                samples: Rc::new(Samples::default()),
                token: settings.token,
                rest: Rest::default(),
            });
            let served = runtime
                .and_then(|runtime| LocalSet::new().block_on(&runtime, serve(monitor, listening)));
            if let Err(reason) = served {
                tracing::error!("The status server has ended: {reason}");
            }
        })?;
    Ok(Running { place, _file: file })
}

fn bind(bind: &Bind) -> io::Result<(Listening, String, Option<UnixPath>)> {
    match bind {
        Bind::Tcp(address) => {
            let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
            let listener = StdTcpListener::bind(addresses.as_slice())?;
            listener.set_nonblocking(true)?;
            let place = format!("http://{}", listener.local_addr()?);
            Ok((Listening::Tcp(listener), place, None))
        }
        Bind::Unix(path) => {
            let (socket, file): (OwnedFd, _) = unix::bind(path, Some(MODE), BACKLOG)?;
            let listener = StdUnixListener::from(socket);
            let place = format!("unix socket {}", path.display());
            Ok((Listening::Unix(listener), place, Some(file)))
        }
    }
}

async fn serve(monitor: Rc<Monitor>, listening: Listening) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    tokio::task::spawn_local(sample(Rc::clone(&monitor)));
    let resting = Rc::clone(&monitor);
    tokio::task::spawn_local(async move { resting.rest.give_back().await });
    match listening {
        Listening::Tcp(listener) => {
            let listener = TcpListener::from_std(listener)?;
            let accept = async || Ok(listener.accept().await?.0);
            accept_all(&monitor, &places, accept).await
        }
        Listening::Unix(listener) => {
            let listener = UnixListener::from_std(listener)?;
            let accept = async || Ok(listener.accept().await?.0);
            accept_all(&monitor, &places, accept).await
        }
    }
}

/// Serves each connection that there is a place for.
async fn accept_all<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    monitor: &Rc<Monitor>,
    places: &Arc<Semaphore>,
    accept: impl AsyncFn() -> io::Result<S>,
) -> io::Result<()> {
    while let Ok(place) = Arc::clone(places).acquire_owned().await {
        match accept().await {
            Ok(stream) => attend(monitor, stream, place),
            Err(_) => sleep(PAUSE).await,
        }
    }
    Ok(())
}

/// Weighs the processes from time to time, and at once: a page that is opened first shows something.
async fn sample(monitor: Rc<Monitor>) {
    let mut ticks = interval(Duration::from_secs(history::FINE));
    loop {
        ticks.tick().await;
        monitor.samples.take(&monitor.board).await;
        monitor.rest.sampled();
    }
}

fn attend<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    monitor: &Rc<Monitor>,
    stream: S,
    place: OwnedSemaphorePermit,
) {
    let monitor = Rc::clone(monitor);
    tokio::task::spawn_local(async move {
        monitor.rest.used();
        let service = service_fn(|request| {
            let monitor = Rc::clone(&monitor);
            async move {
                monitor.rest.used();
                Ok::<_, Infallible>(monitor.answer(request).await)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        // A client may break off; that is no fault.
        let _ = timeout(LONGEST, connection).await;
        drop(place);
        monitor.rest.used();
    });
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
