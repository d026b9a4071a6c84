//! Ending what still runs on the loop, as `asyncio.run` does.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3_async_runtimes::{TaskLocals, into_future_with_locals};

use super::current::{current, is_set};

/// Cancels all tasks and waits for them, then for asynchronous generators and the default executor.
/// Nothing to do without a loop.
///
/// # Errors
/// The exception that the standard library raised.
pub async fn end_all() -> PyResult<()> {
    if !Python::attach(is_set) {
        return Ok(());
    }
    let cancelled = Python::attach(cancel_all)?;
    if !cancelled.is_empty() {
        let gathered = awaited(|py| gather(py, &cancelled))?;
        gathered.await?;
        Python::attach(|py| report_failed(py, &cancelled))?;
    }
    for ending in ["shutdown_asyncgens", "shutdown_default_executor"] {
        awaited(|py| current(py)?.call_method0(ending))?.await?;
    }
    Ok(())
}

/// The awaitable that `make` returns, as a Rust future.
fn awaited(
    make: impl FnOnce(Python<'_>) -> PyResult<Bound<'_, PyAny>>,
) -> PyResult<impl Future<Output = PyResult<Py<PyAny>>>> {
    Python::attach(|py| {
        let locals = TaskLocals::new(current(py)?).copy_context(py)?;
        into_future_with_locals(&locals, make(py)?)
    })
}

fn cancel_all(py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
    let all = py
        .import("asyncio")?
        .call_method1("all_tasks", (current(py)?,))?;
    let mut cancelled = Vec::new();
    for task in all.try_iter()? {
        let task = task?;
        task.call_method0(intern!(py, "cancel"))?;
        cancelled.push(task.unbind());
    }
    Ok(cancelled)
}

fn gather<'py>(py: Python<'py>, tasks: &[Py<PyAny>]) -> PyResult<Bound<'py, PyAny>> {
    let arguments = PyDict::new(py);
    arguments.set_item("return_exceptions", true)?;
    py.import("asyncio")?
        .call_method("gather", PyTuple::new(py, tasks)?, Some(&arguments))
}

/// Tasks that raised are reported to the loop's exception handler.
fn report_failed(py: Python<'_>, tasks: &[Py<PyAny>]) -> PyResult<()> {
    for task in tasks {
        let task = task.bind(py);
        if task.call_method0("cancelled")?.is_truthy()? {
            continue;
        }
        let exception = task.call_method0("exception")?;
        if !exception.is_none() {
            let context = PyDict::new(py);
            context.set_item("message", "unhandled exception while the worker ended")?;
            context.set_item("exception", exception)?;
            context.set_item("task", task)?;
            current(py)?.call_method1("call_exception_handler", (context,))?;
        }
    }
    Ok(())
}
