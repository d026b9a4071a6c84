//! Noticing the import of a module: asyncio, logging.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

/// Which import, and what follows from it.
#[derive(Clone, Copy)]
pub struct Watch {
    pub module: &'static str,
    /// Modules that look for it in `sys.modules`: it is imported before them.
    pub askers: &'static [&'static str],
    /// Called on whichever thread has imported it.
    pub imported: fn(Python<'_>) -> PyResult<()>,
}

/// Has a module's import noticed, which has not been imported yet.
///
/// # Errors
/// `sys.meta_path` is not as expected.
pub fn install(py: Python<'_>, watch: &Watch) -> PyResult<()> {
    meta_path(py)?.insert(0, Py::new(py, Finder { watch: *watch })?)
}

/// A meta-path finder (PEP 302) that finds nothing itself, but stands in front of the module's loader.
#[pyclass(frozen, module = "lowmem_serve")]
struct Finder {
    watch: Watch,
}

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
        let watch = slf.get().watch;
        if watch.askers.contains(&name) {
            py.import(watch.module)?;
        }
        if name != watch.module {
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

/// Ends the watch for these modules.
///
/// # Errors
/// `sys.meta_path` is not as expected.
pub fn forget(py: Python<'_>, modules: &[&str]) -> PyResult<()> {
    let finders = meta_path(py)?;
    let own: Vec<_> = finders
        .iter()
        .filter(|finder| {
            let finder = finder.cast::<Finder>();
            finder.is_ok_and(|finder| modules.contains(&finder.get().watch.module))
        })
        .collect();
    for finder in own {
        finders.call_method1("remove", (finder,))?;
    }
    Ok(())
}

fn meta_path(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    Ok(py
        .import("sys")?
        .getattr("meta_path")?
        .cast_into::<PyList>()?)
}

/// The module's loader, with a word to us when it has run.
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

    /// A look for the module that does not import it shows its own loader.
    fn __getattr__(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        self.inner.getattr(py, name)
    }

    fn exec_module(&self, module: Bound<'_, PyAny>) -> PyResult<()> {
        let py = module.py();
        // The module shows no trace of it.
        module.setattr(intern!(py, "__loader__"), &self.inner)?;
        module
            .getattr(intern!(py, "__spec__"))?
            .setattr(intern!(py, "loader"), &self.inner)?;
        self.inner
            .call_method1(py, intern!(py, "exec_module"), (&module,))?;
        let finders = meta_path(py)?;
        if finders.contains(&self.finder)? {
            finders.call_method1("remove", (&self.finder,))?;
            (self.finder.get().watch.imported)(py)?;
        }
        Ok(())
    }
}
