//! Telling the supervisor that the application is not used, so that it may sleep.
//!
//! Nothing is noted while a request is served: every quarter of the time a look is taken at what the
//! server counts anyway.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyList;

use lowmem_base::control::FromWorker;
use lowmem_http::alarm::Alarm;
use lowmem_http::server::{Server, Use};

use crate::control::Control;
use crate::hosted::Hosted;
use crate::package;
use crate::running;
use crate::wsgi;

/// Between two looks. A worker that is woken more often for it gives up more than it gains.
const SELDOM: Duration = Duration::from_secs(15);

/// Reports to the supervisor whether this worker is idle.
pub struct Idleness {
    server: Rc<Server<Hosted>>,
    control: Rc<Control>,
    is_reported: Cell<bool>,
}

impl Idleness {
    pub fn new(server: Rc<Server<Hosted>>, control: Rc<Control>) -> Self {
        Self {
            server,
            control,
            is_reported: Cell::new(false),
        }
    }

    /// Whether there is nothing to do: no open request, stream or WebSocket, and no task of a request
    /// that has been answered.
    pub fn is_free(&self) -> bool {
        let used = self.server.use_so_far();
        used.open == 0 && self.is_quiet(used)
    }

    fn is_quiet(&self, used: Use) -> bool {
        used.websockets == 0 && running::count() + wsgi::unfinished() == 0 && !stays_awake()
    }

    /// Says that the worker has something to do, and does not sleep.
    pub fn refuse(&self) {
        self.is_reported.set(false);
        self.tell(&FromWorker::Busy);
    }

    /// Reports when the application has not been used for the time, and when it is used again.
    ///
    /// # Errors
    /// No descriptor is left.
    pub async fn report(&self, time: Duration) -> std::io::Result<()> {
        let alarm = Alarm::new()?;
        let pause = (time / 4).min(SELDOM);
        let mut last_use = Instant::now();
        let mut seen = self.server.use_so_far();
        let mut may_be_open = true;
        while !self.server.is_draining() {
            alarm.after(pause).await?;
            let now = self.server.use_so_far();
            // An open request where none has begun was open before, or is a health check.
            may_be_open = now.open > 0 && (may_be_open || now.begun != seen.begun);
            if now.begun != seen.begun || may_be_open || !self.is_quiet(now) {
                last_use = Instant::now();
            }
            seen = now;
            let is_idle = last_use.elapsed() >= time;
            if is_idle != self.is_reported.get() && !self.server.is_draining() {
                self.is_reported.set(is_idle);
                self.tell(if is_idle {
                    &FromWorker::Idle
                } else {
                    &FromWorker::Busy
                });
            }
        }
        Ok(())
    }

    fn tell(&self, message: &FromWorker) {
        if let Err(error) = self.control.send(message) {
            tracing::error!("Cannot reach the supervisor: {error}");
        }
    }
}

/// Whether the application has entered a block of `stay_awake`.
fn stays_awake() -> bool {
    let holders = Python::attach(|py| -> PyResult<u64> {
        let modules = py.import("sys")?.getattr("modules")?;
        // Without the application's own import there is no such block.
        let module = modules.call_method1("get", ("lowmem_serve.awake",))?;
        if module.is_none() {
            return Ok(0);
        }
        module.getattr("holders")?.extract()
    });
    holders.unwrap_or(0) > 0
}

/// Says what ends with this worker though no request needs it, and where it should be instead.
pub fn name_what_ends(package: Option<&Path>) {
    let named = Python::attach(|py| -> PyResult<Vec<String>> {
        let own = PyList::new(py, running::all(py))?;
        package::import(py, package, "ending")?
            .call_method1("endings", (own,))?
            .extract()
    });
    match named {
        Ok(named) if named.is_empty() => {}
        Ok(named) => tracing::warn!(
            "The application goes to sleep, and with it ends what it runs by itself: {}. Work that \
             should go on is for a job (docs/jobs.md), or for stay_awake (docs/sleep.md).",
            named.join(", ")
        ),
        Err(error) => tracing::debug!(
            "Cannot list the tasks, threads and processes that end with the worker: {error}"
        ),
    }
}
