//! Running the worker with the interpreter let go, and Python's signal handlers in spite of it.
//!
//! A handler of the application's (`signal.signal` at import) runs when the main thread runs Python
//! instructions, which it never does while the server waits. Python writes a byte to a descriptor
//! for each signal that has such a handler; then the thread attaches and runs what is due.

use std::future::{Future, poll_fn};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::task::Poll;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::io::unix::AsyncFd;

use lowmem_base::sys::watch;

use crate::runtime;

/// Runs `main` to its end, or until a signal handler raises.
///
/// # Safety
/// `main` holds nothing that is bound to an attached thread.
///
/// # Errors
/// The exception that the handler raised.
pub unsafe fn run(py: Python<'_>, main: impl Future<Output = ()>) -> PyResult<()> {
    let (told, tells) = UnixStream::pair()?;
    tells.set_nonblocking(true)?;
    told.set_nonblocking(true)?;
    let bytes = told.try_clone()?;
    let told = runtime::enter(|| watch::for_input(OwnedFd::from(told)))?;
    let quietly = PyDict::new(py);
    quietly.set_item("warn_on_full_buffer", false)?;
    let set = py.import("_signal")?.getattr("set_wakeup_fd")?;
    set.call((tells.as_raw_fd(),), Some(&quietly))?;
    let turned = async {
        let mut main = pin!(main);
        let mut raised = pin!(handlers(&told, &bytes));
        poll_fn(|cx| {
            if let Poll::Ready(error) = raised.as_mut().poll(cx) {
                return Poll::Ready(Err(error));
            }
            main.as_mut().poll(cx).map(Ok)
        })
        .await
    };
    // SAFETY: `main` is the caller's promise; the rest holds descriptors, and attaches for itself.
    let ended = unsafe { runtime::block_on_detached(py, turned) };
    set.call((-1,), Some(&quietly))?;
    ended
}

/// Runs handlers that are due, until one raises.
async fn handlers(told: &AsyncFd<OwnedFd>, mut bytes: &UnixStream) -> PyErr {
    loop {
        match told.readable().await {
            Ok(mut ready) => {
                if !matches!(bytes.read(&mut [0; 64]), Ok(1..)) {
                    ready.clear_ready();
                }
            }
            Err(error) => return error.into(),
        }
        if let Err(error) = Python::attach(|py| py.check_signals()) {
            return error;
        }
    }
}
