//! Noticing the import of asyncio.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::on_import;

/// Has [`on_import`] called when asyncio has been imported.
///
/// # Errors
/// `sys.meta_path` is not as expected.
pub fn imports(py: Python<'_>) -> PyResult<()> {
    let meta_path = py
        .import("sys")?
        .getattr("meta_path")?
        .cast_into::<PyList>()?;
    meta_path.insert(0, Py::new(py, Finder)?)
}

/// Libraries that ask `sys.modules` which loop runs, and would find none.
const ASKERS: [&str; 2] = ["sniffio", "anyio"];

/// A meta-path finder (PEP 302) that finds nothing itself, but stands in front of asyncio's loader.
#[pyclass(frozen, module = "lowmem_serve")]
struct Finder;

#[pymethods]
impl Finder {
    #[pyo3(signature = (name, path=None, target=None))]
    fn find_spec<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        path: Option<Bound<'py, PyAny>>,
        target: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        if ASKERS.contains(&name) {
            py.import("asyncio")?;
        }
        if name != "asyncio" {
            return Ok(None);
        }
        for finder in meta_path(py)?.iter() {
            if finder.is(slf) {
                continue;
            }
            let spec = finder.call_method1("find_spec", (name, &path, &target))?;
            if spec.is_none() {
                continue;
            }
            let inner = spec.getattr("loader")?.unbind();
            let finder = slf.clone().unbind();
            spec.setattr("loader", Py::new(py, Loader { inner, finder })?)?;
            return Ok(Some(spec));
        }
        Ok(None)
    }
}

fn meta_path(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    Ok(py
        .import("sys")?
        .getattr("meta_path")?
        .cast_into::<PyList>()?)
}

/// asyncio's loader, with a word to us when it has run.
#[pyclass(frozen, module = "lowmem_serve")]
struct Loader {
    inner: Py<PyAny>,
    finder: Py<Finder>,
}

#[pymethods]
impl Loader {
    fn create_module(&self, spec: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.inner.call_method1(spec.py(), "create_module", (spec,))
    }

    /// Whoever only looks for asyncio sees its own loader.
    fn __getattr__(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        self.inner.getattr(py, name)
    }

    fn exec_module(&self, module: Bound<'_, PyAny>) -> PyResult<()> {
        let py = module.py();
        // Nobody shall see that we stood there.
        module.setattr(intern!(py, "__loader__"), &self.inner)?;
        module
            .getattr(intern!(py, "__spec__"))?
            .setattr(intern!(py, "loader"), &self.inner)?;
        self.inner
            .call_method1(py, intern!(py, "exec_module"), (&module,))?;
        let finders = meta_path(py)?;
        if finders.contains(&self.finder)? {
            finders.call_method1("remove", (&self.finder,))?;
            on_import(py)?;
        }
        Ok(())
    }
}
