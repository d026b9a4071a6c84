//! Woken light tasks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use pyo3::prelude::*;

use super::task::Light;

/// Woken light tasks, in order, and the waker of the task that runs them.
static READY: Mutex<Ready> = Mutex::new(Ready {
    lights: VecDeque::new(),
    runner: None,
});

struct Ready {
    lights: VecDeque<Py<Light>>,
    runner: Option<Waker>,
}

fn ready() -> MutexGuard<'static, Ready> {
    READY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes those that are woken, in order.
pub fn take() -> VecDeque<Py<Light>> {
    std::mem::take(&mut ready().lights)
}

/// Wakes the task of `cx` when one is woken, which may be now.
pub fn wait(cx: &Context<'_>) {
    let mut ready = ready();
    if ready.lights.is_empty() {
        ready.runner = Some(cx.waker().clone());
    } else {
        cx.waker().wake_by_ref();
    }
}

/// A waker of this one.
pub fn waker(light: Py<Light>) -> Waker {
    Waker::from(Arc::new(LightWaker { light }))
}

struct LightWaker {
    light: Py<Light>,
}

impl Wake for LightWaker {
    fn wake(self: Arc<Self>) {
        let light = Python::attach(|py| self.light.clone_ref(py));
        wake(light);
    }
}

/// Queues it for its next step.
pub fn wake(light: Py<Light>) {
    let mut ready = ready();
    ready.lights.push_back(light);
    let runner = ready.runner.take();
    drop(ready);
    if let Some(runner) = runner {
        runner.wake();
    }
}
