//! Places that several applications share: which of them a connection is for, by its first bytes.
//!
//! A thread of the supervisor's process, which exists only where there are such places. It accepts,
//! looks at the first bytes where they are (MSG_PEEK), and sends the descriptor to the application that
//! they name ([`judge`]); nothing is copied, and of what follows it sees nothing. Over HTTP/1.1 without
//! TLS the next request may name another application: then the worker sends the connection back, with
//! what it has read. TLS is the worker's, too: the router reads the name in the ClientHello.
//!
//! The supervisor sends it places, routes and applications ([`Table`]), and is never asked: an
//! application's end of a socket pair is there whether its workers run, sleep, are replaced or fail.

mod judge;
mod refusal;
mod serve;

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::control::{Moved, RoutedEnd};
use crate::net::Listeners;
use crate::routes::Routes;

/// The handshake's parser is what is deepest.
const STACK: usize = 256 * 1024;

/// The router's settings.
#[derive(Debug)]
pub struct Table {
    /// The places that applications share.
    pub places: Vec<Arc<Listeners>>,
    /// Which hosts and paths are whose.
    pub routes: Routes,
    /// The applications that can be had.
    pub targets: Vec<Target>,
    /// How long clients may take.
    pub patience: Patience,
}

/// An application.
#[derive(Debug)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// The router's end of the pair.
    pub end: RoutedEnd,
    /// It is served over TLS only.
    pub is_tls: bool,
    /// It takes nothing new, and sends back what it has.
    pub is_leaving: bool,
}

/// How long clients may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a client to name its application.
    pub head: Duration,
    /// To say something again.
    pub keep_alive: Duration,
}

/// A message to the router.
#[derive(Debug)]
enum News {
    Table(Box<Table>),
    /// A connection that an application which has gone has not taken.
    Back(Moved, OwnedFd),
}

/// The running router. It ends when this is dropped.
#[derive(Debug)]
pub struct Router {
    news: Option<Sender<News>>,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Router {
    /// Starts the thread.
    ///
    /// # Errors
    /// There can be no thread, or no descriptor is left.
    pub fn start(table: Table) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let serving = serve::Serving::new(table, receiver, theirs)?;
        let thread = thread::Builder::new()
            .name("router".to_owned())
            .stack_size(STACK)
            .spawn(move || serving.run())?;
        Ok(Self {
            news: Some(sender),
            wake: ours,
            thread: Some(thread),
        })
    }

    /// From now on it goes by this table.
    pub fn update(&self, table: Table) {
        self.tell(News::Table(Box::new(table)));
    }

    /// Has it find an application for a connection that one which has gone has not taken.
    pub fn take_back(&self, moved: Moved, socket: OwnedFd) {
        self.tell(News::Back(moved, socket));
    }

    fn tell(&self, news: News) {
        let is_told = self.news.as_ref().is_some_and(|to| to.send(news).is_ok());
        if is_told {
            // Full of wake-ups it needs no further one.
            let _ = (&self.wake).write(&[0]);
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.news = None;
        let _ = (&self.wake).write(&[0]);
        if let Some(thread) = self.thread.take() {
            // It never waits for anything but this.
            let _ = thread.join();
        }
    }
}
