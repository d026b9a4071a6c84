//! Connections that move to the worker's successor.
//!
//! The supervisor connects the two workers by a socket pair when it replaces one; descriptors go
//! over it directly (SCM_RIGHTS), in batches. The clients see nothing.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Poll, Waker};

use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

use crate::control::{Channel, Received};
use crate::sys::watch;
use crate::worker::application::Peers;

/// Descriptors in one message, well below the kernel's 253; with what has been read of each, a
/// message stays below the socket's buffer.
const BATCH: usize = 32;

/// What was read of a head that is not complete yet moves with the connection up to this many
/// bytes; one with more is served where it is.
pub(super) const MAX_INPUT: usize = 1024;

/// A connection on its way; its descriptor rides along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Who is at its ends.
    pub peers: Peers,
    /// It has not sent a request yet.
    pub fresh: bool,
    /// What has been read of the next request's head.
    pub input: Vec<u8>,
}

/// One end of the socket pair between a worker and its successor.
pub type HandOver = Channel<Vec<Moved>, Vec<Moved>>;

/// The worker's side: what waits to be sent.
#[derive(Debug)]
pub(super) struct Outbox {
    end: HandOver,
    writable: AsyncFd<OwnedFd>,
    queue: RefCell<VecDeque<(Moved, OwnedFd)>>,
    sender: RefCell<Option<Waker>>,
    /// Nothing more will come: the end closes when the queue is empty.
    closing: Cell<bool>,
    /// Waits for the end of [`Self::run`].
    ending: RefCell<Option<Waker>>,
    ended: Cell<bool>,
}

impl Outbox {
    pub(super) fn new(end: HandOver) -> io::Result<Self> {
        let descriptor = end.as_fd().try_clone_to_owned()?;
        Ok(Self {
            end,
            writable: watch::for_both(descriptor)?,
            queue: RefCell::default(),
            sender: RefCell::default(),
            closing: Cell::new(false),
            ending: RefCell::default(),
            ended: Cell::new(false),
        })
    }

    pub(super) fn put(&self, moved: Moved, socket: OwnedFd) {
        self.queue.borrow_mut().push_back((moved, socket));
        self.wake();
    }

    pub(super) fn close(&self) {
        self.closing.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
    }

    /// Sends what is put in, until closed. An error gives back what could not be sent.
    pub(super) async fn run(&self) -> Vec<(Moved, OwnedFd)> {
        let unsent = self.send_all().await;
        self.ended.set(true);
        if let Some(waiting) = self.ending.take() {
            waiting.wake();
        }
        unsent
    }

    /// Ready when [`Self::run`] has ended.
    pub(super) async fn closed(&self) {
        poll_fn(|cx| {
            if self.ended.get() {
                return Poll::Ready(());
            }
            *self.ending.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    async fn send_all(&self) -> Vec<(Moved, OwnedFd)> {
        while let Some(batch) = self.next_batch().await {
            if let Err(error) = self.send(&batch).await {
                tracing::warn!("Cannot hand connections over: {error}");
                let rest = self.queue.borrow_mut().drain(..).collect::<Vec<_>>();
                return batch.into_iter().chain(rest).collect();
            }
        }
        Vec::new()
    }

    async fn next_batch(&self) -> Option<Vec<(Moved, OwnedFd)>> {
        poll_fn(|cx| {
            let mut queue = self.queue.borrow_mut();
            if !queue.is_empty() {
                let count = queue.len().min(BATCH);
                return Poll::Ready(Some(queue.drain(..count).collect()));
            }
            if self.closing.get() {
                return Poll::Ready(None);
            }
            *self.sender.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    async fn send(&self, batch: &[(Moved, OwnedFd)]) -> io::Result<()> {
        let moved: Vec<Moved> = batch.iter().map(|(moved, _)| moved.clone()).collect();
        let descriptors: Vec<_> = batch.iter().map(|(_, socket)| socket.as_fd()).collect();
        loop {
            let mut writable = self.writable.writable().await?;
            match self.end.send(&moved, &descriptors) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => writable.clear_ready(),
                result => return result,
            }
        }
    }
}

/// The successor's side: calls `adopt` with each connection, until the other end closes.
pub(super) async fn receive(
    end: HandOver,
    mut adopt: impl FnMut(Moved, OwnedFd),
) -> io::Result<()> {
    let readable = watch::for_input(end.as_fd().try_clone_to_owned()?)?;
    loop {
        match end.receive()? {
            Received::Message(moved, sockets) => {
                moved
                    .into_iter()
                    .zip(sockets)
                    .for_each(|(moved, socket)| adopt(moved, socket));
            }
            Received::Closed => return Ok(()),
            Received::Nothing => readable.readable().await?.clear_ready(),
        }
    }
}
