//! A worker's life: start, serve, drain, end.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, UnixListener};
use tokio::time::{Instant, sleep_until};

use lowmem_serve::config::{BoundListener, WorkerConfig};
use lowmem_serve::control::{FromWorker, Received, ToWorker, WorkerEnd};
use lowmem_serve::sys::stop_signals;
use lowmem_serve::telemetry::{self, paint};
use lowmem_serve::worker::server::{Listener, Server};

use crate::application::Asgi;
use crate::event_loop;
use crate::interpreter;
use crate::lifespan::Lifespan;
use crate::light;
use crate::report;
use crate::runtime;
use crate::scope::Scopes;
use crate::tasks;

/// The application can't be served, and why has been logged (UVICORN_PARITY a2).
const CANNOT_SERVE: i32 = 3;

/// The last part of the grace period, in which streams are told that their client is gone.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs the worker; returns its exit code.
///
/// # Errors
/// What Python raised and nobody handled, SystemExit among it.
pub fn main(py: Python<'_>, control: OwnedFd) -> PyResult<i32> {
    let control = WorkerEnd::adopt(control)?;
    let Some((ToWorker::Start(config), descriptors)) = control.wait()? else {
        return Err(PyRuntimeError::new_err(
            "the supervisor sent no configuration",
        ));
    };
    telemetry::init(&config.log).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let pid = std::process::id();
    tracing::info!("Started server process [{}]", paint::cyan(pid));
    interpreter::prepare(py, &config)?;
    let stop = stop_signals::install()?;
    // Before there is a loop, as Uvicorn has it: applications call `asyncio.run` and Django's
    // synchronous parts while they are imported.
    let app = match interpreter::load(py, &config) {
        Ok(app) => app,
        Err(error) => return Ok(error.report(py)),
    };
    runtime::build()?;
    if let Err(error) = event_loop::install(py, &config.event_loop) {
        report::exception(py, "Cannot create the event loop", &error);
        return Ok(CANNOT_SERVE);
    }
    let (control, listeners) = runtime::enter(|| -> PyResult<_> {
        Ok((
            Control::new(control, stop)?,
            listeners(&config, descriptors)?,
        ))
    })?;
    let code = Rc::new(Cell::new(0));
    let result = Rc::clone(&code);
    let ended = event_loop::run(py, async move {
        result.set(serve(app, *config, control, listeners).await);
        if let Err(error) = event_loop::end_all().await {
            Python::attach(|py| report::exception(py, "Cannot end what still runs", &error));
        }
    });
    event_loop::close(py)?;
    ended?;
    tracing::info!("Finished server process [{}]", paint::cyan(pid));
    Ok(code.get())
}

/// Takes the inherited listeners over.
fn listeners(config: &WorkerConfig, descriptors: Vec<OwnedFd>) -> PyResult<Vec<Listener>> {
    if config.listeners.len() != descriptors.len() {
        return Err(PyOSError::new_err("the supervisor sent too few listeners"));
    }
    let adopt = |(kind, descriptor): (&BoundListener, OwnedFd)| -> io::Result<Listener> {
        match kind {
            BoundListener::Tcp => {
                let listener = std::net::TcpListener::from(descriptor);
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Listener::Tcp)
            }
            BoundListener::Unix(path) => {
                let listener = std::os::unix::net::UnixListener::from(descriptor);
                listener.set_nonblocking(true)?;
                let listener = UnixListener::from_std(listener)?;
                Ok(Listener::Unix(listener, path.clone()))
            }
        }
    };
    let adopted: io::Result<Vec<_>> = config
        .listeners
        .iter()
        .zip(descriptors)
        .map(adopt)
        .collect();
    Ok(adopted?)
}

/// Serves the application until the supervisor, or a signal, says stop.
async fn serve(
    app: Py<PyAny>,
    config: WorkerConfig,
    control: Control,
    listeners: Vec<Listener>,
) -> i32 {
    lowmem_serve::worker::tasks::spawn(light::run());
    let mut lifespan = Python::attach(|py| Lifespan::new(py, config.lifespan));
    if lifespan.startup(&app).await.is_err() {
        return CANNOT_SERVE;
    }
    let scopes = Python::attach(|py| {
        let scopes = Scopes::new(py, &config.root_path, lifespan.state(py))?;
        freeze_heap(py)?;
        Ok(scopes)
    });
    let scopes = match scopes {
        Ok(scopes) => scopes,
        Err(error) => {
            Python::attach(|py| report::exception(py, "Cannot start serving", &error));
            return CANNOT_SERVE;
        }
    };
    let asgi = Asgi::new(app, scopes);
    let server = Server::new(asgi, &config);
    let flushed = Rc::clone(&server);
    runtime::before_wait(Rc::new(move || flushed.flush_logs()));
    let timed = Rc::clone(&server);
    event_loop::tick_while(Rc::new(move || {
        timed.open_connections() > 0 || timed.is_draining()
    }));
    server.accept(listeners);
    if let Err(error) = control.send(&FromWorker::Ready) {
        tracing::error!("Cannot reach the supervisor: {error}");
        return CANNOT_SERVE;
    }
    let order = control.order().await;
    drain(&server, &control, order, config.graceful_shutdown).await;
    server.flush_logs();
    // The supervisor may be gone by now; then nobody needs to know.
    let _ = control.send(&FromWorker::Drained);
    lifespan.shutdown().await;
    0
}

/// What has been imported stays: the collector need not look at it again, and pages that a full
/// collection would write to stay as they are.
fn freeze_heap(py: Python<'_>) -> PyResult<()> {
    let gc = py.import("gc")?;
    gc.call_method0("collect")?;
    gc.call_method0("freeze")?;
    Ok(())
}

/// Finishes what is in flight, within `grace`.
async fn drain(server: &Rc<Server<Asgi>>, control: &Control, order: Order, grace: Duration) {
    tracing::info!("Shutting down");
    server.drain();
    // One turn for the idle connections to close.
    tokio::task::yield_now().await;
    if order == Order::Drain {
        let end = Instant::now() + grace;
        if server.open_connections() > 0 {
            tracing::info!("Waiting for connections to close. (CTRL+C to force quit)");
        }
        let farewell = end - FAREWELL.min(grace / 2);
        let waited = idle(server);
        if until(waited, control, farewell).await == Waited::TimeIsUp {
            server.disconnect_all();
            if until(idle(server), control, end).await == Waited::Done {
                return;
            }
        } else if server.open_connections() == 0 && tasks::running() == 0 {
            return;
        }
    }
    let cancelled = Python::attach(|py| {
        tasks::cancel_all(py, "Task cancelled, timeout graceful shutdown exceeded")
    });
    if cancelled > 0 {
        tracing::error!("Cancel {cancelled} running task(s), timeout graceful shutdown exceeded");
    }
    server.cut_all();
    // Cancelled tasks get a moment to clean up; one that refuses is left to the loop's end.
    let moment = Instant::now() + Duration::from_secs(1);
    until(idle(server), control, moment).await;
}

/// Ready when no connection is open and no request's task runs.
async fn idle(server: &Rc<Server<Asgi>>) {
    server.drained().await;
    if tasks::running() > 0 {
        tracing::info!("Waiting for background tasks to complete. (CTRL+C to force quit)");
        tasks::finished().await;
    }
}

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
enum Waited {
    Done,
    TimeIsUp,
    Quit,
}

/// Waits for `done`, at most until `deadline` or a second order to stop.
async fn until(done: impl Future<Output = ()>, control: &Control, deadline: Instant) -> Waited {
    let mut done = pin!(done);
    let mut time = pin!(sleep_until(deadline));
    let mut order = pin!(control.quit());
    poll_fn(|cx| {
        if done.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Waited::Done);
        }
        if order.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Waited::Quit);
        }
        time.as_mut().poll(cx).map(|()| Waited::TimeIsUp)
    })
    .await
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Drain,
    Quit,
}

/// The worker's end of the control socket.
struct Control {
    end: WorkerEnd,
    /// A duplicate of its descriptor, watched.
    readable: AsyncFd<OwnedFd>,
    /// Readable once a signal asked the worker to stop. The terminal sends Ctrl-C to the whole
    /// group, so a worker hears of it twice; the supervisor counts.
    signalled: AsyncFd<OwnedFd>,
}

impl Control {
    fn new(end: WorkerEnd, signalled: OwnedFd) -> io::Result<Self> {
        let descriptor = end.as_fd().try_clone_to_owned()?;
        let readable = runtime::watch(descriptor)?;
        Ok(Self {
            end,
            readable,
            signalled: runtime::watch(signalled)?,
        })
    }

    fn send(&self, message: &FromWorker) -> io::Result<()> {
        self.end.send(message, &[])
    }

    /// Waits for the order to stop, from the supervisor or by a signal.
    async fn order(&self) -> Order {
        let mut message = pin!(self.message());
        poll_fn(|cx| {
            if self.signalled.poll_read_ready(cx).is_ready() {
                return Poll::Ready(Order::Drain);
            }
            message.as_mut().poll(cx)
        })
        .await
    }

    /// Waits for the order to stop at once.
    async fn quit(&self) {
        while self.message().await != Order::Quit {}
    }

    /// The next order. A supervisor that is gone means: at once.
    async fn message(&self) -> Order {
        loop {
            match self.end.receive() {
                Ok(Received::Message(ToWorker::Drain, _)) => return Order::Drain,
                Ok(Received::Message(ToWorker::Quit, _) | Received::Closed) => return Order::Quit,
                Ok(Received::Message(ToWorker::Start(_), _)) => {
                    tracing::error!("the supervisor sent a second configuration");
                }
                Ok(Received::Nothing) => match self.readable.readable().await {
                    Ok(mut ready) => ready.clear_ready(),
                    Err(_) => return Order::Quit,
                },
                Err(error) => {
                    tracing::error!("Cannot read from the supervisor: {error}");
                    return Order::Quit;
                }
            }
        }
    }
}
