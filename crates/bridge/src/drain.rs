//! The end of serving: what is in flight is finished, within the grace period.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::time::{Instant, sleep_until};

use lowmem_http::server::Server;

use crate::control::{Control, Haste, Stop};
use crate::hosted::Hosted;
use crate::tasks;
use crate::wsgi;

/// The last part of the grace period, in which applications are told that their clients are gone,
/// so that streams without an end find one.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long cancelled tasks may clean up; one that refuses is left to the loop's end.
const CLEAN_UP: Duration = Duration::from_secs(1);

/// Finishes what is in flight: within `grace`, or at once. Whether lifespan shutdown is to follow.
pub async fn run(
    server: &Rc<Server<Hosted>>,
    control: &Control,
    stop: Stop,
    grace: Duration,
) -> bool {
    tracing::info!("Shutting down");
    let mut waited = match stop {
        Stop::Now(haste) => {
            server.drain(None);
            Waited::Told(haste)
        }
        Stop::Drain(successor) => {
            server.drain(successor);
            finished(server, control, grace).await
        }
    };
    let why = match waited {
        Waited::Done => return true,
        Waited::TimeIsUp => "timeout graceful shutdown exceeded",
        Waited::Told(_) => "told to stop at once",
    };
    let cancelled = Python::attach(|py| tasks::cancel_all(py, &format!("Task cancelled, {why}")));
    if cancelled > 0 {
        tracing::error!("Cancel {cancelled} running task(s), {why}");
    }
    server.cut_all();
    if waited != Waited::Told(Haste::Leave) {
        waited = until(idle(server), control, Instant::now() + CLEAN_UP).await;
    }
    waited != Waited::Told(Haste::Leave)
}

/// Waits for everything in flight.
async fn finished(server: &Rc<Server<Hosted>>, control: &Control, grace: Duration) -> Waited {
    // One turn for the idle connections to close.
    tokio::task::yield_now().await;
    if server.open_connections() > 0 {
        tracing::info!("Waiting for connections to close. (CTRL+C to force quit)");
    }
    let end = Instant::now() + grace;
    let farewell = end - FAREWELL.min(grace / 2);
    match until(idle(server), control, farewell).await {
        Waited::TimeIsUp => {
            server.disconnect_all();
            until(idle(server), control, end).await
        }
        waited => waited,
    }
}

/// Ready when no connection is open and no request's task runs.
async fn idle(server: &Rc<Server<Hosted>>) {
    server.drained().await;
    if tasks::running() + wsgi::unfinished() > 0 {
        tracing::info!("Waiting for background tasks to complete. (CTRL+C to force quit)");
        tasks::finished().await;
        wsgi::finished().await;
    }
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    Done,
    TimeIsUp,
    Told(Haste),
}

/// Waits for `done`, at most until `deadline` or the order to stop at once.
async fn until(done: impl Future<Output = ()>, control: &Control, deadline: Instant) -> Waited {
    let mut done = pin!(done);
    let mut time = pin!(sleep_until(deadline));
    let mut haste = pin!(control.haste());
    poll_fn(|cx| {
        if done.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Waited::Done);
        }
        if let Poll::Ready(haste) = haste.as_mut().poll(cx) {
            return Poll::Ready(Waited::Told(haste));
        }
        time.as_mut().poll(cx).map(|()| Waited::TimeIsUp)
    })
    .await
}
