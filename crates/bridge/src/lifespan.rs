//! The lifespan conversation with the application.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use lowmem_base::config::Lifespan as Mode;
use lowmem_http::asgi::lifespan::{Message, State};

use crate::awaitable::Pending;
use crate::done::WhenDone;
use crate::event_loop;
use crate::report;
use crate::tasks;

/// An application's lifespan.
pub struct Lifespan {
    mode: Mode,
    /// The version of ASGI that the application speaks.
    version: &'static str,
    shared: Arc<Shared>,
    /// The lifespan state, which each request gets a copy of.
    state: Py<PyDict>,
    /// The application's coroutine runs.
    running: bool,
}

/// Startup failed; the operator has been told why.
#[derive(Debug)]
pub struct StartupFailed;

struct Shared {
    progress: Mutex<Progress>,
}

struct Progress {
    state: State,
    /// The message that `receive()` brings next, if there is one.
    due: Option<&'static str>,
    receiver: Option<Waker>,
    watcher: Option<Waker>,
    /// How the application's coroutine ended.
    ended: Option<PyResult<()>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lifespan {
    pub fn new(py: Python<'_>, mode: Mode, version: &'static str) -> Self {
        let progress = Progress {
            state: State::Starting,
            due: Some("lifespan.startup"),
            receiver: None,
            watcher: None,
            ended: None,
        };
        Self {
            mode,
            version,
            shared: Arc::new(Shared {
                progress: Mutex::new(progress),
            }),
            state: PyDict::new(py).unbind(),
            running: false,
        }
    }

    /// The namespace that requests get a shallow copy of.
    pub fn state(&self, py: Python<'_>) -> Py<PyDict> {
        self.state.clone_ref(py)
    }

    /// Runs startup.
    ///
    /// # Errors
    /// It failed, and the worker must not serve.
    pub async fn startup(&mut self, app: &Py<PyAny>) -> Result<(), StartupFailed> {
        if self.mode == Mode::Off {
            return Ok(());
        }
        tracing::info!("Waiting for application startup.");
        let called = Python::attach(|py| self.call(py, app));
        let ended = match called {
            Ok(()) => {
                self.running = true;
                self.answered(State::startup_answered).await
            }
            Err(error) => Some(Err(error)),
        };
        let state = self.shared.lock().state.clone();
        match (state, ended) {
            (State::StartupFailed(why), _) => {
                if !why.is_empty() {
                    tracing::error!("{why}");
                }
                tracing::error!("Application startup failed. Exiting.");
                return Err(StartupFailed);
            }
            (State::Starting, Some(Err(error))) if self.mode == Mode::On => {
                Python::attach(|py| {
                    report::exception(py, "Exception in 'lifespan' protocol", &error)
                });
                tracing::error!("Application startup failed. Exiting.");
                return Err(StartupFailed);
            }
            (State::Starting, Some(Err(error))) => {
                Python::attach(|py| {
                    tracing::debug!("{}", report::traceback(py, &error));
                });
                tracing::info!("ASGI 'lifespan' protocol appears unsupported.");
            }
            _ => {}
        }
        tracing::info!("Application startup complete.");
        Ok(())
    }

    /// Runs shutdown, if startup was answered and the application still listens.
    pub async fn shutdown(&mut self) {
        if !self.running {
            return;
        }
        tracing::info!("Waiting for application shutdown.");
        let receiver = {
            let mut progress = self.shared.lock();
            progress.state = State::Stopping;
            progress.due = Some("lifespan.shutdown");
            progress.receiver.take()
        };
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        let ended = self.answered(State::shutdown_answered).await;
        let state = self.shared.lock().state.clone();
        match (state, ended) {
            (State::ShutdownFailed(why), _) => {
                if !why.is_empty() {
                    tracing::error!("{why}");
                }
                tracing::error!("Application shutdown failed. Exiting.");
            }
            (State::Stopping, Some(Err(error))) => {
                Python::attach(|py| {
                    report::exception(py, "Exception in 'lifespan' protocol", &error)
                });
                tracing::error!("Application shutdown failed. Exiting.");
            }
            _ => tracing::info!("Application shutdown complete."),
        }
    }

    fn call(&self, py: Python<'_>, app: &Py<PyAny>) -> PyResult<()> {
        let asgi = PyDict::new(py);
        asgi.set_item("version", self.version)?;
        asgi.set_item("spec_version", "2.0")?;
        let scope = PyDict::new(py);
        scope.set_item("type", "lifespan")?;
        scope.set_item("asgi", asgi)?;
        scope.set_item("state", &self.state)?;
        let cycle = Bound::new(
            py,
            LifespanCycle {
                shared: Arc::clone(&self.shared),
            },
        )?;
        let arguments = (scope, cycle.getattr("receive")?, cycle.getattr("send")?);
        let make = || app.bind(py).call1(arguments);
        let shared: Arc<Shared> = Arc::clone(&self.shared);
        tasks::start(py, make, shared)?;
        event_loop::nudge(py)
    }

    /// Waits until the state is as wanted, or the application's coroutine has ended with the result.
    async fn answered(&mut self, wanted: fn(&State) -> bool) -> Option<PyResult<()>> {
        let ended = poll_fn(|cx| {
            let mut progress = self.shared.lock();
            if wanted(&progress.state) {
                return Poll::Ready(None);
            }
            if let Some(ended) = progress.ended.take() {
                return Poll::Ready(Some(ended));
            }
            progress.watcher = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        if ended.is_some() {
            self.running = false;
        }
        ended
    }
}

impl WhenDone for Shared {
    fn done(&self, _py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) {
        let watcher = {
            let ended = Some(result.map(drop));
            let mut progress = self.lock();
            progress.ended = ended;
            progress.watcher.take()
        };
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }

    /// It ends after the drain, on request.
    fn holds_up_drain(&self) -> bool {
        false
    }
}

/// `receive` and `send` of the lifespan scope.
#[pyclass(frozen, module = "lowmem_serve")]
struct LifespanCycle {
    shared: Arc<Shared>,
}

#[pymethods]
impl LifespanCycle {
    fn receive(&self) -> Pending {
        let shared = Arc::clone(&self.shared);
        Pending::new(move |py, waker| {
            let mut progress = shared.lock();
            let Some(kind) = progress.due.take() else {
                let before = std::mem::replace(&mut progress.receiver, waker.cloned());
                drop(progress);
                // A coroutine that gave up may end with its waker.
                drop(before);
                return Poll::Pending;
            };
            drop(progress);
            let message = PyDict::new(py);
            Poll::Ready(
                message
                    .set_item("type", kind)
                    .map(|()| message.into_any().unbind()),
            )
        })
    }

    fn send(&self, py: Python<'_>, message: &Bound<'_, PyDict>) -> PyResult<Pending> {
        let kind: String = match message.get_item(intern!(py, "type"))? {
            Some(kind) => kind.extract()?,
            None => {
                return Err(PyRuntimeError::new_err(
                    "an ASGI message must have a \"type\"",
                ));
            }
        };
        let why = match message.get_item(intern!(py, "message"))? {
            Some(why) => why
                .str()
                .map_or_else(|_| why.to_string(), |why| report::text(&why)),
            None => String::new(),
        };
        let message = match kind.as_str() {
            "lifespan.startup.complete" => Message::StartupComplete,
            "lifespan.startup.failed" => Message::StartupFailed(why),
            "lifespan.shutdown.complete" => Message::ShutdownComplete,
            "lifespan.shutdown.failed" => Message::ShutdownFailed(why),
            other => {
                let text = format!("unexpected lifespan message {other:?}");
                return Err(PyRuntimeError::new_err(text));
            }
        };
        let watcher = {
            let mut progress = self.shared.lock();
            progress.state = progress
                .state
                .sent(message)
                .map_err(|order| PyRuntimeError::new_err(order.0))?;
            progress.watcher.take()
        };
        if let Some(watcher) = watcher {
            watcher.wake();
        }
        Ok(Pending::new(|py, _| Poll::Ready(Ok(py.None()))))
    }
}
