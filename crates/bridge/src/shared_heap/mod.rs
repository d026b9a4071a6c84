//! The heap of a template that many applications are forked from, made so that workers write to little of it.
//!
//! A page is in memory once until a worker writes to it. Workers write reference counts, bytecode that is
//! specialised, caches that are filled at a first use, and new objects into holes between old ones. So before
//! the first fork
//!
//! * the template *rehearses* (`lowmem_serve/rehearsal.py`): what a first request fills is full;
//! * objects that no worker will end are *immortal*, where CPython has that ([`immortal`]);
//! * the holes are *filled* ([`holes`]): new objects are on pages of their own, which are full of them.
//!
//! Nothing of this is seen by an application, but for what `sys.getrefcount` says.

mod holes;
mod immortal;

use pyo3::prelude::*;

use lowmem_base::config::WorkerConfig;
use lowmem_base::sys::{memory, startup};

use crate::{package, warm};

/// The Python half.
const REHEARSAL: &str = "rehearsal";

/// Uses what was imported.
///
/// # Errors
/// Our package was not found.
pub fn rehearse(py: Python<'_>, config: &WorkerConfig) -> PyResult<()> {
    let module = package::import(py, config.start.package.as_deref(), REHEARSAL)?;
    module.call_method0("rehearse")?;
    Ok(())
}

/// Prepares the heap for forks; the last thing before the first.
///
/// # Errors
/// `gc` is not as expected, or our package was not found.
pub fn settle(py: Python<'_>, config: &WorkerConfig) -> PyResult<()> {
    // In place of each worker, which would write to all finders.
    warm::renew(py, config)?;
    if config.application.gc_freeze {
        let gc = py.import("gc")?;
        gc.call_method0("collect")?;
        let count = immortal::make(py, &gc)?;
        tracing::debug!("{count} objects of the template are immortal");
        gc.call_method0("freeze")?;
    }
    startup::forget();
    holes::fill(py);
    memory::fill_holes();
    Ok(())
}
