//! Connections that move to the worker's successor.
//!
//! The supervisor connects the two workers by a socket pair when it replaces one; descriptors go
//! over it directly (SCM_RIGHTS). The clients see nothing.
//!
//! A socket holds some two thousand connections until its peer reads, and in a sequential swap the
//! successor does not read before the old worker has gone. The supervisor's pair therefore carries only
//! the ends of further pairs, the *lanes*, and the connections are in those: a full lane is followed by
//! another. All of it waits in the kernel, in no process's memory or descriptor table; the supervisor
//! need not know what it holds.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Poll, Waker};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::unix::AsyncFd;

use lowmem_base::control::{BATCH, Channel, HandOver, Lane, LaneEnd, Moved, Received, socket_pair};
use lowmem_base::sys::watch;

/// The worker's side: what waits to be sent.
#[derive(Debug)]
pub(super) struct Outbox {
    end: HandOver,
    writable: AsyncFd<OwnedFd>,
    lane: RefCell<Option<LaneEnd>>,
    queue: RefCell<VecDeque<(Moved, OwnedFd)>>,
    sender: RefCell<Option<Waker>>,
    /// Nothing more will come: the end closes when the queue is empty.
    closing: Cell<bool>,
    /// Waits for the end of [`Self::run`].
    ending: RefCell<Option<Waker>>,
    ended: Cell<bool>,
    sent: Cell<u64>,
}

impl Outbox {
    pub(super) fn new(end: HandOver) -> io::Result<Self> {
        let descriptor = end.as_fd().try_clone_to_owned()?;
        Ok(Self {
            end,
            writable: watch::for_both(descriptor)?,
            lane: RefCell::default(),
            queue: RefCell::default(),
            sender: RefCell::default(),
            closing: Cell::new(false),
            ending: RefCell::default(),
            ended: Cell::new(false),
            sent: Cell::new(0),
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

    /// Connections that are on their way, or there.
    pub(super) fn sent(&self) -> u64 {
        self.sent.get()
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
            let lane = match self.lane.take() {
                Some(lane) => lane,
                None => self.new_lane().await?,
            };
            match lane.send(&moved, &descriptors) {
                // It is full, and closed here: its reader comes to an end.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    *self.lane.borrow_mut() = Some(lane);
                    self.sent.set(self.sent.get() + batch.len() as u64);
                    return Ok(());
                }
            }
        }
    }

    async fn new_lane(&self) -> io::Result<LaneEnd> {
        let (ours, theirs) = socket_pair()?;
        loop {
            let mut writable = self.writable.writable().await?;
            match self.end.send(&Lane, &[theirs.as_fd()]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => writable.clear_ready(),
                result => return result.map(|()| LaneEnd::over(ours)),
            }
        }
    }
}

/// The successor's side: calls `open` with each lane, until the other end closes.
pub(super) async fn lanes(end: HandOver, mut open: impl FnMut(OwnedFd)) -> io::Result<()> {
    receive(end, |Lane, ends| ends.into_iter().for_each(&mut open)).await
}

/// Calls `adopt` with each connection in a lane.
pub(super) async fn connections(
    lane: OwnedFd,
    mut adopt: impl FnMut(Moved, OwnedFd),
) -> io::Result<()> {
    receive(LaneEnd::over(lane), |moved, sockets| {
        let moved = moved.into_iter().zip(sockets);
        moved.for_each(|(moved, socket)| adopt(moved, socket));
    })
    .await
}

/// Takes what arrives, until the other end closes.
async fn receive<Message: Serialize + DeserializeOwned>(
    end: Channel<Message, Message>,
    mut take: impl FnMut(Message, Vec<OwnedFd>),
) -> io::Result<()> {
    let readable = watch::for_input(end.as_fd().try_clone_to_owned()?)?;
    loop {
        match end.receive()? {
            Received::Message(message, descriptors) => take(message, descriptors),
            Received::Closed => return Ok(()),
            Received::Nothing => readable.readable().await?.clear_ready(),
        }
    }
}
