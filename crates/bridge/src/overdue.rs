//! The limit on a worker's end after its lifespan shutdown. Threads that are no daemons, which Python
//! joins, executors and `atexit` functions can keep a worker from ending, and Python sets them no limit.
//! Here they have one together, and the log names those that exceed it.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lowmem_base::sys::process;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::interpreter;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The time to find out what is overdue: while the interpreter is finalized no thread gets its lock.
const LOOK: Duration = Duration::from_millis(500);

/// Ends the process with this code if it has not ended in time.
#[expect(
    clippy::disallowed_methods,
    reason = "a process that ends in time ends this thread with it: there is no event to wait for"
)]
pub fn watch(code: i32) {
    // A thread: by then there is no loop, and the interpreter's own thread waits.
    let started = thread::Builder::new()
        .name("overdue".to_owned())
        .spawn(move || {
            thread::sleep(PATIENCE);
            end(code);
        });
    if let Err(error) = started {
        tracing::debug!("Cannot watch the worker's end: {error}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a process that ends in time ends this thread with it: there is no event to wait for"
)]
fn end(code: i32) -> ! {
    // Log lines may go through Python's logging, which may never answer by now.
    let last = thread::Builder::new().spawn(move || {
        thread::sleep(2 * LOOK);
        process::leave(code);
    });
    if last.is_err() {
        process::leave(code);
    }
    let (tell, told) = mpsc::channel();
    let look = thread::Builder::new().spawn(move || {
        Python::attach(|py| {
            let what = culprits(py).unwrap_or_default();
            interpreter::flush(py);
            // Fails if the receiver has stopped waiting.
            let _ = tell.send(what);
        });
    });
    let what = look.ok().and_then(|_| told.recv_timeout(LOOK).ok());
    let what = what.filter(|what| !what.is_empty());
    let seconds = PATIENCE.as_secs();
    let what = what.unwrap_or_else(|| vec!["the interpreter's end".to_owned()]);
    tracing::warn!(
        "The worker has not ended {seconds} s after its shutdown and is ended now, because of {}.",
        what.join(", ")
    );
    process::leave(code);
}

/// `thread "name" in app.py:12 (function)`, for each that Python waits for; else the main thread.
fn culprits(py: Python<'_>) -> PyResult<Vec<String>> {
    let threading = py.import("threading")?;
    let frames = py.import("sys")?.call_method0("_current_frames")?;
    let frames = frames.cast_into::<PyDict>()?;
    let main = threading.call_method0("main_thread")?;
    let mut found = Vec::new();
    for thread in threading.call_method0("enumerate")?.try_iter()? {
        let thread = thread?;
        if thread.is(&main) || thread.getattr("daemon")?.is_truthy()? {
            continue;
        }
        let name: String = thread.getattr("name")?.extract()?;
        let place = place(&frames, &thread)?;
        found.push(format!("thread \"{name}\"{place}"));
    }
    if found.is_empty() {
        let place = place(&frames, &main)?;
        found.push(format!("the main thread{place}"));
    }
    Ok(found)
}

/// Where a thread is: its innermost frame that is not the standard library's own waiting.
fn place(frames: &Bound<'_, PyDict>, thread: &Bound<'_, PyAny>) -> PyResult<String> {
    let mut frame = frames.get_item(thread.getattr("ident")?)?;
    let mut first = None;
    while let Some(here) = frame.filter(|frame| !frame.is_none()) {
        let code = here.getattr("f_code")?;
        let file: String = code.getattr("co_filename")?.extract()?;
        let function: String = code.getattr("co_name")?.extract()?;
        let line: u32 = here.getattr("f_lineno")?.extract()?;
        let text = format!(" in {file}:{line} ({function})");
        if !["threading.py", "thread.py", "queue.py"]
            .iter()
            .any(|own| file.ends_with(own))
        {
            return Ok(text);
        }
        first.get_or_insert(text);
        frame = Some(here.getattr("f_back")?);
    }
    Ok(first.unwrap_or_default())
}
