//! The properties that distinguish this worker from the others: its number, and its page of counters.

use std::os::fd::OwnedFd;

use pyo3::prelude::*;

use lowmem_base::config::WorkerConfig;
use lowmem_base::counters;
use lowmem_base::sys::process;
use lowmem_base::sys::shared_page::SharedPage;

/// Where the application reads its worker's number.
const SLOT: &str = "LOWMEM_WORKER_SLOT";

/// Lets a signal of the supervisor write the stacks of all threads to stderr. The handler is in C, and runs
/// even if Python does not.
fn write_stacks_on_signal(py: Python<'_>) -> PyResult<()> {
    const STDERR: i32 = 2;
    let arguments = (process::stacks_signal(), STDERR);
    let handler = py.import("faulthandler")?;
    handler.call_method1("register", arguments)?;
    Ok(())
}

/// Takes both; what is left are the listeners.
pub(super) fn take(
    py: Python<'_>,
    config: &WorkerConfig,
    descriptors: &mut Vec<OwnedFd>,
) -> PyResult<()> {
    let environment = py.import("os")?.getattr("environ")?;
    environment.set_item(SLOT, config.slot.to_string())?;
    if config.tells_stacks {
        write_stacks_on_signal(py)?;
    }
    if !config.counts {
        return Ok(());
    }
    match descriptors.pop().map(SharedPage::open) {
        Some(Ok(page)) => counters::count_in(page.forever()),
        Some(Err(error)) => tracing::warn!("Requests are not counted: {error}"),
        None => tracing::warn!("Requests are not counted: the supervisor sent no page for it"),
    }
    Ok(())
}
