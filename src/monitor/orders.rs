//! The status server's orders to the supervisor.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender};

use crate::operator;

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Turn the loop once, and do nothing else.
    Turn,
    /// Recycle every worker.
    Recycle,
    /// One worker more.
    Grow,
    /// One worker less.
    Shrink,
    /// For one application of several, by its name.
    Application(String, operator::Order),
}

/// The supervisor's end: readable when there is an order.
#[derive(Debug)]
pub struct Orders {
    receiver: Receiver<Order>,
    wake: UnixStream,
}

/// The status server's end.
#[derive(Debug)]
pub struct Orderer {
    sender: Sender<Order>,
    wake: UnixStream,
}

/// Both ends.
///
/// # Errors
/// No descriptor is left.
pub fn pair() -> io::Result<(Orderer, Orders)> {
    let (sender, receiver) = mpsc::channel();
    let (theirs, ours) = UnixStream::pair()?;
    theirs.set_nonblocking(true)?;
    ours.set_nonblocking(true)?;
    let orderer = Orderer {
        sender,
        wake: theirs,
    };
    let orders = Orders {
        receiver,
        wake: ours,
    };
    Ok((orderer, orders))
}

impl Orderer {
    /// Gives an order. Of a supervisor that is gone nothing can be had.
    pub fn give(&self, order: Order) {
        if self.sender.send(order).is_ok() {
            // Full of wake-ups it needs no further one.
            let _ = (&self.wake).write(&[0]);
        }
    }
}

impl Orders {
    /// The orders since the last call.
    pub fn take(&mut self) -> Vec<Order> {
        let mut bytes = [0; 64];
        // Emptied before the orders are taken: one that comes later wakes the loop again.
        while matches!(self.wake.read(&mut bytes), Ok(read) if read == bytes.len()) {}
        self.receiver.try_iter().collect()
    }
}

impl AsFd for Orders {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
