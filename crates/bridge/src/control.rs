//! The orders that a worker receives from its supervisor and from signals.

use std::future::{pending, poll_fn};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::unix::AsyncFd;

use lowmem_base::control::{
    Drain, FromWorker, HandOver, Received, SleepOrder, ToWorker, WorkerEnd,
};
use lowmem_base::routes::Routes;
use lowmem_base::sys::watch;

/// The worker's end of the control socket.
pub struct Control {
    end: WorkerEnd,
    /// A duplicate of its descriptor, watched.
    readable: AsyncFd<OwnedFd>,
    /// Readable once a signal asked the worker to stop. The terminal sends Ctrl-C to the whole
    /// group, so a worker hears of it twice; the supervisor counts.
    signalled: AsyncFd<OwnedFd>,
    /// How to stop for a signal.
    at_signal: Drain,
}

/// The worker's next action.
#[derive(Debug)]
pub enum Order {
    /// Take over the connections of the worker at the other end.
    Adopt(HandOver),
    /// On shared places these applications answer from now on.
    Routes(Routes),
    /// Give freed memory back.
    GiveBack,
    /// Prepare for a drain, within this time.
    WindDown(Duration),
    /// Stop serving if there is nothing to do; connections go to the supervisor.
    Sleep(SleepOrder, HandOver),
    /// Stop serving.
    Stop(Stop),
}

/// How to stop.
#[derive(Debug)]
pub enum Stop {
    /// Finish what is in flight; connections with nothing to do go to a successor, if there is one.
    Drain(Drain, Option<HandOver>),
    /// At once.
    Now(Haste),
}

/// The step to leave out when there is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// Waiting for what is in flight.
    Quit,
    /// Lifespan shutdown, too.
    Leave,
}

impl Control {
    /// Called in the runtime's context.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(end: WorkerEnd, signalled: OwnedFd, at_signal: Drain) -> io::Result<Self> {
        let readable = watch::for_input(end.as_fd().try_clone_to_owned()?)?;
        Ok(Self {
            end,
            readable,
            signalled: watch::for_input(signalled)?,
            at_signal,
        })
    }

    /// Tells the supervisor.
    ///
    /// # Errors
    /// It is gone, or does not read.
    pub fn send(&self, message: &FromWorker) -> io::Result<()> {
        self.end.send(message, &[])
    }

    /// Whether the order to stop came while the worker started.
    pub fn is_over(&self) -> bool {
        match self.end.receive() {
            Ok(Received::Message(message, _)) => {
                matches!(message, ToWorker::Quit | ToWorker::Leave)
            }
            Ok(Received::Nothing) => false,
            Ok(Received::Closed) | Err(_) => true,
        }
    }

    /// Waits for the next order, from the supervisor or by a signal.
    pub async fn order(&self) -> Order {
        let mut message = pin!(self.message());
        poll_fn(|cx| {
            if self.signalled.poll_read_ready(cx).is_ready() {
                return Poll::Ready(Order::Stop(Stop::Drain(self.at_signal, None)));
            }
            message.as_mut().poll(cx)
        })
        .await
    }

    /// Waits for the order to stop at once.
    pub async fn haste(&self) -> Haste {
        loop {
            if let Order::Stop(Stop::Now(haste)) = self.message().await {
                return haste;
            }
        }
    }

    /// Waits for the next order to stop, while a drain is delayed.
    pub async fn stop(&self) -> Stop {
        loop {
            if let Order::Stop(stop) = self.message().await {
                return stop;
            }
        }
    }

    /// Waits for the order not to run lifespan shutdown. A supervisor that is gone gives none.
    pub async fn leave(&self) {
        loop {
            match self.end.receive() {
                Ok(Received::Message(ToWorker::Leave, _)) => return,
                Ok(Received::Message(..)) => continue,
                Ok(Received::Nothing) => {}
                Ok(Received::Closed) | Err(_) => return pending().await,
            }
            match self.readable.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => return pending().await,
            }
        }
    }

    /// The supervisor's next order. One that is gone means: at once.
    async fn message(&self) -> Order {
        loop {
            let (message, descriptors) = match self.end.receive() {
                Ok(Received::Message(message, descriptors)) => (message, descriptors),
                Ok(Received::Closed) => return Order::Stop(Stop::Now(Haste::Quit)),
                Ok(Received::Nothing) => match self.readable.readable().await {
                    Ok(mut ready) => {
                        ready.clear_ready();
                        continue;
                    }
                    Err(_) => return Order::Stop(Stop::Now(Haste::Quit)),
                },
                Err(error) => {
                    tracing::error!("Cannot read from the supervisor: {error}");
                    return Order::Stop(Stop::Now(Haste::Quit));
                }
            };
            let neighbour = descriptors.into_iter().next().map(HandOver::over);
            match (message, neighbour) {
                (ToWorker::Drain(drain), successor) => {
                    return Order::Stop(Stop::Drain(drain, successor));
                }
                (ToWorker::Routes(routes), _) => return Order::Routes(routes),
                (ToWorker::GiveBack, _) => return Order::GiveBack,
                (ToWorker::WindDown(within), _) => return Order::WindDown(within),
                (ToWorker::Adopt, Some(predecessor)) => return Order::Adopt(predecessor),
                (ToWorker::Sleep(order), Some(supervisor)) => {
                    return Order::Sleep(order, supervisor);
                }
                (ToWorker::Quit, _) => return Order::Stop(Stop::Now(Haste::Quit)),
                (ToWorker::Leave, _) => return Order::Stop(Stop::Now(Haste::Leave)),
                (ToWorker::Adopt | ToWorker::Sleep(_), None)
                | (
                    ToWorker::Start(_)
                    | ToWorker::Preload(_)
                    | ToWorker::Warm(..)
                    | ToWorker::Isolate(_)
                    | ToWorker::Run(_)
                    | ToWorker::Fork
                    | ToWorker::ForkRun,
                    _,
                ) => {
                    tracing::error!("The supervisor sent a message out of place");
                }
            }
        }
    }
}
