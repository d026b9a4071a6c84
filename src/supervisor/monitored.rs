//! The supervisor's side of the status server: what it is shown, and what it orders.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tracing::{info, warn};

use super::Supervisor;
use super::application::Application;
use super::pool::Event;
use crate::config::BoundListener;
use crate::monitor::{self, Board, Order, Orders, Published, Running, Settings, Watched, orders};
use crate::net::Listeners;
use crate::operator::Reply;
use crate::telemetry::paint::bold;

/// A running status server.
#[derive(Debug)]
pub(super) struct Monitored {
    board: Arc<Board>,
    orders: Orders,
    /// The listeners whose queues are shown.
    watched: Arc<Vec<Watched>>,
    /// Whose they are.
    watched_of: Vec<Weak<Listeners>>,
    /// Holds the file of a Unix socket.
    _running: Running,
}

impl Monitored {
    /// Starts it.
    pub(super) fn start(settings: &Settings) -> io::Result<Self> {
        let board = Arc::new(Board::default());
        let (orderer, orders) = orders::pair()?;
        let running = monitor::start(settings, Arc::clone(&board), orderer);
        let running = running.map_err(|reason| {
            let why = format!(
                "Cannot open the status server on {}: {reason}",
                settings.bind
            );
            io::Error::new(reason.kind(), why)
        })?;
        info!("Status on {}", bold(&running.place));
        Ok(Self {
            board,
            orders,
            watched: Arc::default(),
            watched_of: Vec::new(),
            _running: running,
        })
    }

    /// Looks at the listeners that there are by now, and at no others.
    fn watch(&mut self, applications: &[Application<'_>]) {
        let is_same = |(known, own): (&Weak<Listeners>, &Application<'_>)| {
            Weak::ptr_eq(known, &Rc::downgrade(own.listeners()))
        };
        let known = self.watched_of.iter().zip(applications);
        if self.watched_of.len() == applications.len() && known.into_iter().all(is_same) {
            return;
        }
        let all = applications.iter();
        self.watched_of = all.map(|own| Rc::downgrade(own.listeners())).collect();
        let watched = applications.iter().flat_map(watched);
        self.watched = Arc::new(watched.collect());
    }
}

impl AsFd for Monitored {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.orders.as_fd()
    }
}

impl Supervisor<'_> {
    /// Does what the status server orders.
    pub(super) fn hear_monitor(&mut self) {
        let Some(monitored) = &mut self.monitored else {
            return;
        };
        for order in monitored.orders.take() {
            let event = match order {
                Order::Turn => continue,
                Order::Application(name, order) => {
                    if let Reply::Refused(why) = self.order(&name, order) {
                        warn!("An order from the status page cannot be carried out: {why}");
                    }
                    continue;
                }
                Order::Recycle => Event::Recycle,
                Order::Grow => Event::Grow,
                Order::Shrink => Event::Shrink,
            };
            self.tell_all(event);
        }
    }

    /// Shows how everything is.
    pub(super) fn publish(&mut self) {
        let Some(mut monitored) = self.monitored.take() else {
            return;
        };
        self.applications.iter().for_each(Application::tell_tally);
        monitored.watch(&self.applications);
        monitored.board.publish(Published {
            status: self.status(false),
            tallies: self
                .applications
                .iter_mut()
                .map(Application::tally)
                .collect(),
            listeners: Arc::clone(&monitored.watched),
            queues: self.jobs.queues(),
        });
        self.monitored = Some(monitored);
    }
}

/// An application's TCP listeners, for a look at their queues. A Unix socket's is not told by the kernel.
fn watched(application: &Application<'_>) -> Vec<Watched> {
    let listeners = application.listeners();
    let kinds = listeners.kinds();
    let sockets = kinds.iter().zip(listeners.descriptors());
    let sockets = sockets.filter(|(kind, _)| **kind == BoundListener::Tcp);
    // Without a descriptor left its queue is not shown.
    let watched = sockets.filter_map(|(_, socket)| {
        Some(Watched {
            app: application.shown_name().to_owned(),
            place: place(socket),
            socket: socket.try_clone_to_owned().ok()?,
        })
    });
    watched.collect()
}

fn place(socket: BorrowedFd<'_>) -> String {
    let address = socket2::SockRef::from(&socket).local_addr();
    let address = address.ok().and_then(|address| address.as_socket());
    address.map_or_else(String::new, |address| address.to_string())
}
