//! Modules of our own Python package, for the features that are written in Python.

use std::path::Path;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The package's name, by which Python finds its submodules.
const PACKAGE: &str = "lowmem_serve";

/// Imports `lowmem_serve.<module>` from `directory`, the package that belongs to this shared object.
///
/// Of the package nothing but `__init__`, which imports nothing, is loaded for it. The
/// application's `sys.path` is neither asked nor changed: the package may be of another environment.
///
/// # Errors
/// The package was not found, or the module raised.
pub fn import<'py>(
    py: Python<'py>,
    directory: Option<&Path>,
    module: &str,
) -> PyResult<Bound<'py, PyModule>> {
    let modules = py.import("sys")?.getattr("modules")?;
    if !modules.contains(PACKAGE)? {
        let missing = || PyImportError::new_err("the Python package of lowmem-serve was not found");
        load(py, directory.ok_or_else(missing)?)?;
    }
    py.import(format!("{PACKAGE}.{module}"))
}

/// Puts the package into `sys.modules`. Its own loader gives its modules their places in
/// `__pycache__`, and tracebacks their lines.
fn load(py: Python<'_>, directory: &Path) -> PyResult<()> {
    let arguments = PyDict::new(py);
    arguments.set_item(
        "submodule_search_locations",
        [directory.to_string_lossy().into_owned()],
    )?;
    let init = directory.join("__init__.py");
    // What importlib.util offers under this name; that module would import more.
    let spec = py.import("_frozen_importlib_external")?.call_method(
        "spec_from_file_location",
        (PACKAGE, init.to_string_lossy()),
        Some(&arguments),
    )?;
    py.import("_frozen_importlib")?
        .call_method1("_load", (spec,))?;
    Ok(())
}
