//! The end of serving: what is in flight is finished, within the grace period.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::time::{Instant, sleep_until};

use lowmem_base::control::Drain;
use lowmem_http::server::Server;

use crate::control::{Control, Haste, Stop};
use crate::hosted::Hosted;
use crate::notice::Notice;
use crate::running;
use crate::signals;
use crate::tasks;
use crate::wsgi;

/// The part of the time for requests, its last, in which all applications are told that their clients
/// are gone: those that listen may still answer.
const FAREWELL_PART: u32 = 6;

/// How long cancelled tasks may clean up; one that refuses is left to the loop's end. Where little
/// time was given to requests, a quarter of that.
const CLEAN_UP: Duration = Duration::from_secs(1);

/// How long event streams and WebSockets may take to end while the worker still serves.
const STREAMS: Duration = Duration::from_millis(500);

/// Serves on until little would be lost by a drain: long requests have ended, or `within` is almost
/// over; then event streams and WebSockets are told to end. Streams are told last, because their
/// clients come back at once.
pub async fn wind_down(server: &Server<Hosted>, notice: &Notice, within: Duration) {
    server
        .no_long_requests(within.saturating_sub(STREAMS))
        .await;
    notice.give(server, STREAMS.min(within)).await;
    server.end_streams(None);
    tokio::time::sleep(STREAMS.min(within)).await;
}

/// Finishes the requests in flight, on the given terms or at once. Returns whether lifespan shutdown should
/// follow.
pub async fn run(
    server: &Rc<Server<Hosted>>,
    control: &Control,
    notice: &Notice,
    stop: Stop,
) -> bool {
    let stop = after_delay(server, control, stop).await;
    tracing::info!("Shutting down");
    let moment = match &stop {
        Stop::Drain(drain, _) => drain.requests / FAREWELL_PART,
        Stop::Now(_) => Duration::ZERO,
    };
    notice.give(server, moment).await;
    let interrupted = matches!(&stop, Stop::Drain(drain, _) if drain.interrupted);
    Python::attach(|py| signals::draining(py, interrupted));
    let (mut waited, clean_up) = match stop {
        Stop::Now(haste) => {
            server.drain(None);
            (Waited::Ordered(haste), CLEAN_UP)
        }
        Stop::Drain(drain, successor) => {
            server.drain(successor);
            let clean_up = CLEAN_UP.min(drain.requests / 4);
            (finished(server, control, drain).await, clean_up)
        }
    };
    let why = match waited {
        Waited::Done => return true,
        Waited::TimeIsUp | Waited::Anew(_) => "timeout graceful shutdown exceeded",
        Waited::Ordered(_) => "told to stop at once",
    };
    let cancelled = Python::attach(|py| tasks::cancel_all(py, &format!("Task cancelled, {why}")));
    if cancelled > 0 {
        tracing::error!("Cancel {cancelled} running task(s), {why}");
    }
    server.cut_all();
    if waited != Waited::Ordered(Haste::Leave) {
        let haste = async { Waited::Ordered(control.haste().await) };
        waited = until(idle(server), haste, Instant::now() + clean_up).await;
    }
    waited != Waited::Ordered(Haste::Leave)
}

/// Serves on for as long as a drain is delayed, and has clients take their next request elsewhere.
async fn after_delay(server: &Server<Hosted>, control: &Control, stop: Stop) -> Stop {
    let Stop::Drain(drain, _) = &stop else {
        return stop;
    };
    if drain.delay.is_zero() {
        return stop;
    }
    let seconds = drain.delay.as_secs_f32();
    tracing::info!("Serving on for {seconds} s before shutting down (--drain-delay)");
    server.close_after_responses();
    let end = Instant::now() + drain.delay;
    loop {
        let mut sooner = pin!(control.stop());
        let mut time = pin!(sleep_until(end));
        let sooner = poll_fn(|cx| match sooner.as_mut().poll(cx) {
            Poll::Ready(sooner) => Poll::Ready(Some(sooner)),
            Poll::Pending => time.as_mut().poll(cx).map(|()| None),
        });
        match sooner.await {
            // The supervisor's order, after the same signal reached the worker: the delay has begun.
            Some(Stop::Drain(again, None)) if !again.delay.is_zero() => {}
            Some(sooner) => return sooner,
            None => return stop,
        }
    }
}

/// Waits for everything in flight.
async fn finished(server: &Rc<Server<Hosted>>, control: &Control, drain: Drain) -> Waited {
    // One turn for the idle connections to close.
    tokio::task::yield_now().await;
    if server.open_connections() > 0 {
        tracing::info!("Waiting for connections to close. (CTRL+C to force quit)");
    }
    let (mut drain, mut end) = (drain, Instant::now() + drain.requests);
    loop {
        match steps(server, control, drain, end).await {
            // The server stops in the middle of a replacement, or a signal came before the order.
            Waited::Anew(other) => {
                let sooner = Instant::now() + other.requests;
                if sooner < end {
                    (drain, end) = (other, sooner);
                }
            }
            waited => return waited,
        }
    }
}

/// Ends what is in flight step by step, until `end`.
async fn steps(
    server: &Rc<Server<Hosted>>,
    control: &Control,
    drain: Drain,
    end: Instant,
) -> Waited {
    let begin = Instant::now();
    let farewell = end - drain.requests / FAREWELL_PART;
    let until = |deadline| until(idle(server), next(control), deadline);
    let waited = until(farewell.min(begin + drain.endless)).await;
    if waited != Waited::TimeIsUp {
        return waited;
    }
    server.end_streams(drain.endless_from);
    let waited = until(farewell.min(begin + drain.deaf)).await;
    if waited != Waited::TimeIsUp {
        return waited;
    }
    give_up_streams();
    let waited = until(farewell).await;
    if waited != Waited::TimeIsUp {
        return waited;
    }
    server.disconnect_all();
    until(end).await
}

/// The next order to stop.
async fn next(control: &Control) -> Waited {
    match control.stop().await {
        Stop::Drain(drain, _) => Waited::Anew(drain),
        Stop::Now(haste) => Waited::Ordered(haste),
    }
}

/// Ends the streams that have been told to end and go on: their applications do not listen.
fn give_up_streams() {
    let tasks = Python::attach(tasks::give_up_streams);
    let count = tasks + wsgi::give_up_streams();
    if count > 0 {
        tracing::warn!(
            "Ended {count} stream(s) whose applications do not notice that they should end (docs/stopping.md)"
        );
    }
}

/// Ready when no connection is open and no request's task runs.
async fn idle(server: &Rc<Server<Hosted>>) {
    server.drained().await;
    if running::count() + wsgi::awaited() > 0 {
        tracing::info!("Waiting for background tasks to complete. (CTRL+C to force quit)");
        running::finished().await;
        wsgi::finished().await;
    }
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    Done,
    TimeIsUp,
    Ordered(Haste),
    /// On other terms.
    Anew(Drain),
}

/// Waits for `done`, at most until `deadline` or an order.
async fn until(
    done: impl Future<Output = ()>,
    order: impl Future<Output = Waited>,
    deadline: Instant,
) -> Waited {
    let mut done = pin!(done);
    let mut time = pin!(sleep_until(deadline));
    let mut order = pin!(order);
    poll_fn(|cx| {
        if done.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Waited::Done);
        }
        if let Poll::Ready(ordered) = order.as_mut().poll(cx) {
            return Poll::Ready(ordered);
        }
        time.as_mut().poll(cx).map(|()| Waited::TimeIsUp)
    })
    .await
}
