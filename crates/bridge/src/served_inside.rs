//! A module that starts a server of its own while it is imported (`uvicorn.run(app)` at its end) would
//! never be imported, and the start would hang without a word: it raises instead.
//!
//! Imports are watched, and only while the application is loaded. `lowmem_serve.inside` has
//! the rest; it is imported only where one of the servers is.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use crate::import_watch::{self, Watch};
use crate::package;
use crate::report;

/// The modules that define what starts a server: the keys of `inside.STARTS`.
const MODULES: [&str; 7] = [
    "uvicorn.main",
    "uvicorn.server",
    "hypercorn.run",
    "hypercorn.asyncio",
    "granian.server.common",
    "werkzeug.serving",
    "waitress",
];

/// The Python half.
const INSIDE: &str = "inside";

/// Where the package is, while the application is imported.
static PACKAGE: Mutex<Option<PathBuf>> = Mutex::new(None);

/// While it is there, servers that are started are refused.
#[must_use]
pub struct Refusing<'py>(Python<'py>);

impl Drop for Refusing<'_> {
    fn drop(&mut self) {
        if let Err(error) = end(self.0) {
            report::exception(self.0, "Cannot end the watch for servers", &error);
        }
    }
}

/// Begins it; without the package there is nothing that could refuse.
///
/// # Errors
/// `sys` is not as expected.
pub fn refuse<'py>(py: Python<'py>, package: Option<&PathBuf>) -> PyResult<Option<Refusing<'py>>> {
    let Some(package) = package else {
        return Ok(None);
    };
    *PACKAGE.lock().unwrap_or_else(PoisonError::into_inner) = Some(package.clone());
    let refusing = Refusing(py);
    let modules = py.import("sys")?.getattr("modules")?;
    let mut is_loaded = false;
    for module in MODULES {
        if modules.contains(module)? {
            is_loaded = true;
        } else {
            let (askers, imported) = (&[][..], patch as fn(Python<'_>) -> PyResult<()>);
            import_watch::install(
                py,
                &Watch {
                    module,
                    askers,
                    imported,
                },
            )?;
        }
    }
    if is_loaded {
        patch(py)?;
    }
    Ok(Some(refusing))
}

/// One of the modules has been imported.
fn patch(py: Python<'_>) -> PyResult<()> {
    let package = PACKAGE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    package::import(py, package.as_deref(), INSIDE)?.call_method0("patch")?;
    Ok(())
}

fn end(py: Python<'_>) -> PyResult<()> {
    import_watch::forget(py, &MODULES)?;
    let modules = py.import("sys")?.getattr("modules")?;
    let name = format!("lowmem_serve.{INSIDE}");
    if modules.contains(&name)? {
        modules.get_item(&name)?.setattr("importing", false)?;
    }
    Ok(())
}
