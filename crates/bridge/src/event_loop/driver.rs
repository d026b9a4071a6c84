//! The task that turns asyncio's loop on tokio, and the worker's main task beside it.
//!
//! The driver is woken by:
//!
//! * `call_soon` and `_ready.append` on any thread: they wake it if it waits;
//! * a timer that comes due, or one scheduled earlier than those before: a callback scheduled it,
//!   so either the driver is running, or a request task ran Python and [`Native::nudge`] was called;
//! * a file descriptor: the library's epoll instance is watched by tokio, as one descriptor. Tokio
//!   watches edges, so it counts as ready until a look at it found nothing;
//! * a signal: its Python handler runs when the wait is interrupted, and what it does wakes us.
//!
//! Between two batches of callbacks the driver goes to the end of tokio's queue: requests and
//! callbacks take turns, and neither waits for a system call that is not needed.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use tokio::io::unix::AsyncFd;
use tokio::time::Sleep;

use lowmem_base::sys::watch;
use lowmem_http::tasks;

use super::native::Native;
use super::timers;
use crate::runtime;

thread_local! {
    /// The exception that ended the driver.
    static ENDED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
    /// The worker's main task.
    static MAIN: RefCell<Option<Waker>> = const { RefCell::new(None) };
    /// Of the loop that has been made and does not run yet.
    static PARTS: RefCell<Option<Parts>> = const { RefCell::new(None) };
}

/// The sources of events that the driver waits for.
struct Parts {
    /// The library's epoll instance: a duplicate of the descriptor that its selector owns.
    descriptors: AsyncFd<OwnedFd>,
    timer: Pin<Box<Sleep>>,
}

/// Takes from tokio what turning this loop needs, before anything of the loop is changed.
///
/// # Errors
/// No descriptor was left.
pub(super) fn prepare(event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    let epoll: RawFd = event_loop
        .getattr("_selector")?
        .call_method0("fileno")?
        .extract()?;
    // SAFETY: the selector keeps the descriptor open for as long as the loop lives.
    let epoll = unsafe { BorrowedFd::borrow_raw(epoll) }.try_clone_to_owned()?;
    let parts = runtime::enter(|| -> PyResult<Parts> {
        Ok(Parts {
            descriptors: watch::for_input(epoll)?,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        })
    })?;
    PARTS.set(Some(parts));
    Ok(())
}

/// Starts the driver of the loop that was prepared.
///
/// # Errors
/// It runs already.
pub(super) fn start(event_loop: &Bound<'_, PyAny>, native: &Bound<'_, Native>) -> PyResult<()> {
    let Some(parts) = PARTS.take() else {
        return Err(PyRuntimeError::new_err(
            "This event loop is already running",
        ));
    };
    let driver = Driver {
        native: native.clone().unbind(),
        event_loop: event_loop.clone().unbind(),
        parts,
    };
    runtime::enter(|| {
        tasks::spawn(async {
            let Err(error) = driver.await;
            ENDED.set(Some(error));
            wake_main();
        });
    });
    Ok(())
}

/// Lets go of what [`prepare`] has taken, if the loop has never run.
pub(super) fn forget() {
    PARTS.set(None);
}

/// Runs asyncio's callbacks; ready when one ends the process.
struct Driver {
    native: Py<Native>,
    event_loop: Py<PyAny>,
    parts: Parts,
}

impl Driver {
    /// One turn; to be polled again when woken.
    fn turn(&mut self, py: Python<'_>, cx: &mut Context<'_>) -> PyResult<()> {
        let native = self.native.get();
        let event_loop = self.event_loop.bind(py);
        collect_descriptors(event_loop, &self.parts.descriptors, cx)?;
        let next = timers::due(event_loop, |timer| native.push_foreign(timer))?;
        let scheduled = event_loop.getattr(intern!(py, "_scheduled"))?.len()?;
        if native.waits(scheduled, cx.waker()) {
            if let Some(wait) = next {
                self.wake_after(wait, cx);
            }
            return Ok(());
        }
        native.run_batch(py)?;
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn wake_after(&mut self, wait: Duration, cx: &mut Context<'_>) {
        let mut timer = self.parts.timer.as_mut();
        timer.as_mut().reset(tokio::time::Instant::now() + wait);
        if timer.poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

/// Gives the library the descriptors that are ready; their callbacks are in `_ready` afterwards.
fn collect_descriptors(
    event_loop: &Bound<'_, PyAny>,
    descriptors: &AsyncFd<OwnedFd>,
    cx: &mut Context<'_>,
) -> PyResult<()> {
    let py = event_loop.py();
    while let Poll::Ready(ready) = descriptors.poll_read_ready(cx) {
        let mut ready = ready?;
        let selector = event_loop.getattr(intern!(py, "_selector"))?;
        let events = selector.call_method1(intern!(py, "select"), (0,))?;
        if events.is_empty()? {
            ready.clear_ready();
            continue;
        }
        event_loop.call_method1(intern!(py, "_process_events"), (events,))?;
        break;
    }
    Ok(())
}

impl Future for Driver {
    type Output = PyResult<Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PyResult<Infallible>> {
        match Python::attach(|py| self.turn(py, cx)) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Runs `main` on the worker's own turns, until it ends or a callback ends the process.
///
/// # Errors
/// The exception that that callback raised.
pub(super) fn run(main: impl Future<Output = ()> + 'static) -> PyResult<()> {
    let mut main = Box::pin(main);
    runtime::block_on(poll_fn(|cx| {
        MAIN.set(Some(cx.waker().clone()));
        runtime::on_signal_error(cx.waker());
        if let Some(error) = ENDED.take().or_else(runtime::take_signal_error) {
            return Poll::Ready(Err(error));
        }
        main.as_mut().poll(cx).map(Ok)
    }))
}

fn wake_main() {
    if let Some(main) = MAIN.take() {
        main.wake();
    }
}
