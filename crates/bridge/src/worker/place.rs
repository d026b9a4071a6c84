//! The properties that distinguish this worker from the others: its number, its page of counters, its way to a
//! template of isolated calls.

use std::os::fd::OwnedFd;

use pyo3::prelude::*;

use lowmem_base::config::WorkerConfig;
use lowmem_base::counters;
use lowmem_base::sys::process;
use lowmem_base::sys::shared_page::SharedPage;

use crate::calls;

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

/// Takes what is this worker's own; what is left are the listeners. `callers` is the end of the calls socket of
/// the template that it was forked from; one that the supervisor sends comes before it.
pub(super) fn take(
    py: Python<'_>,
    config: &WorkerConfig,
    descriptors: &mut Vec<OwnedFd>,
    callers: Option<OwnedFd>,
) -> PyResult<()> {
    take_page(config, descriptors);
    let sent = config
        .start
        .has_calls_socket
        .then(|| descriptors.pop())
        .flatten();
    if let Some(callers) = sent.or(callers) {
        calls::keep_callers_end(py, callers)?;
    }
    let environment = py.import("os")?.getattr("environ")?;
    environment.set_item(SLOT, config.start.slot.to_string())?;
    if config.diagnosis.tells_stacks {
        write_stacks_on_signal(py)?;
    }
    Ok(())
}

fn take_page(config: &WorkerConfig, descriptors: &mut Vec<OwnedFd>) {
    if !config.start.counts {
        return;
    }
    match descriptors.pop().map(SharedPage::open) {
        Some(Ok(page)) => counters::count_in(page.forever()),
        Some(Err(error)) => tracing::warn!("Requests are not counted: {error}"),
        None => tracing::warn!("Requests are not counted: the supervisor sent no page for it"),
    }
}
