//! Modules of our own Python package, for the features that are written in Python.

use std::path::{Path, PathBuf};

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

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

/// Puts the package into `sys.modules`.
fn load(py: Python<'_>, directory: &Path) -> PyResult<()> {
    py.import("_frozen_importlib")?
        .call_method1("_load", (spec(py, directory)?,))?;
    Ok(())
}

/// The package's spec. Its own loader gives its modules their places in `__pycache__`, and tracebacks their lines.
fn spec<'py>(py: Python<'py>, directory: &Path) -> PyResult<Bound<'py, PyAny>> {
    let arguments = PyDict::new(py);
    arguments.set_item(
        "submodule_search_locations",
        [directory.to_string_lossy().into_owned()],
    )?;
    let init = directory.join("__init__.py");
    // The function that importlib.util offers under this name; that module would import more.
    py.import("_frozen_importlib_external")?.call_method(
        "spec_from_file_location",
        (PACKAGE, init.to_string_lossy()),
        Some(&arguments),
    )
}

/// Lets the application import the package where its own environment has none.
///
/// Asked last of all finders: a package that is installed in the application's environment goes first.
///
/// # Errors
/// `sys.meta_path` is not as expected.
pub fn offer(py: Python<'_>, directory: &Path) -> PyResult<()> {
    let meta_path = py
        .import("sys")?
        .getattr("meta_path")?
        .cast_into::<PyList>()?;
    meta_path.append(Py::new(py, PackageFinder(directory.to_owned()))?)
}

/// A meta-path finder (PEP 302) of one package.
#[pyclass(frozen, module = "lowmem_serve")]
struct PackageFinder(PathBuf);

#[pymethods]
impl PackageFinder {
    #[pyo3(signature = (name, _path=None, _target=None))]
    fn find_spec<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        _path: Option<Bound<'py, PyAny>>,
        _target: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if name == PACKAGE {
            spec(py, &self.0).map(Some)
        } else {
            Ok(None)
        }
    }
}
