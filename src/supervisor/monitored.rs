//! The supervisor's side of the status server: what it is shown, and what it orders.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use tracing::info;

use super::application::Application;
use super::pool::Event;
use super::{Member, Supervisor};
use crate::config::BoundListener;
use crate::monitor::{self, Board, Order, Orders, Running, Settings, Watched, orders};
use crate::telemetry::paint::bold;

/// A running status server.
#[derive(Debug)]
pub(super) struct Monitored {
    board: Arc<Board>,
    orders: Orders,
    /// Holds the file of a Unix socket.
    _running: Running,
}

impl Monitored {
    /// Starts it, and has the applications counted.
    pub(super) fn start(
        settings: &Settings,
        applications: &mut [Application<'_>],
        watched: Vec<Watched>,
    ) -> io::Result<Self> {
        let board = Arc::new(Board::default());
        for application in applications {
            board.add(application.tally());
        }
        let (orderer, orders) = orders::pair()?;
        let running = monitor::start(settings, Arc::clone(&board), orderer, watched);
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
            _running: running,
        })
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
                Order::Recycle => Event::Recycle,
                Order::Grow => Event::Grow,
                Order::Shrink => Event::Shrink,
            };
            for application in &mut self.applications {
                application.on(event);
            }
        }
    }

    /// Shows how everything is.
    pub(super) fn publish(&self) {
        if let Some(monitored) = &self.monitored {
            self.applications.iter().for_each(Application::tell_tally);
            monitored.board.publish(self.status(false));
        }
    }
}

/// The TCP listeners, for a look at their queues. A Unix socket's is not told by the kernel.
pub(super) fn watched(members: &[Member]) -> io::Result<Vec<Watched>> {
    let mut watched = Vec::new();
    for member in members.iter().filter(|own| own.config.status.is_some()) {
        let kinds = member.listeners.kinds();
        let sockets = kinds.iter().zip(member.listeners.descriptors());
        for (_, socket) in sockets.filter(|(kind, _)| **kind == BoundListener::Tcp) {
            watched.push(Watched {
                app: member.config.worker.app.clone(),
                place: place(socket),
                socket: socket.try_clone_to_owned()?,
            });
        }
    }
    Ok(watched)
}

fn place(socket: BorrowedFd<'_>) -> String {
    let address = socket2::SockRef::from(&socket).local_addr();
    let address = address.ok().and_then(|address| address.as_socket());
    address.map_or_else(String::new, |address| address.to_string())
}
