//! The template of `--reload`: it has imported what the application imports of others' modules, and
//! a worker that is forked from it imports the application itself.
//!
//! What is to be imported, and whether it can be, is `lowmem_serve/warm.py`.

use std::path::Path;

use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PyList};

use lowmem_base::config::{Place, WorkerConfig};
use lowmem_base::control::{Imported, ToImport, Unfit};
use lowmem_base::sys::inventory;

use crate::package;

const MODULE: &str = "warm";

type Modules = (
    Vec<String>,
    Vec<(String, usize)>,
    Vec<(String, Option<String>)>,
);

/// What this worker has imported.
///
/// # Errors
/// Our package was not found, or raised.
pub fn imported(py: Python<'_>, config: &WorkerConfig) -> PyResult<Imported> {
    let module = module(py, config)?;
    let (directories, modules, variables): Modules = module.call_method0("imported")?.extract()?;
    Ok(Imported {
        directories: directories.into_iter().map(Into::into).collect(),
        modules,
        variables,
    })
}

/// Imports everything; why that does not make a template, if it does not.
///
/// # Errors
/// Our package was not found, or raised.
pub fn prepare(
    py: Python<'_>,
    config: &WorkerConfig,
    import: &ToImport,
) -> PyResult<Option<Unfit>> {
    let sockets = inventory::sockets();
    let directories = import.directories.iter();
    let directories = directories.map(|directory| Path::to_string_lossy(directory));
    let arguments = (
        PyList::new(py, &import.modules)?,
        PyList::new(py, directories)?,
        PyFrozenSet::new(py, &import.application)?,
        &import.variables,
    );
    let unfit = module(py, config)?.call_method1("prepare", arguments)?;
    if let Some((module, why)) = unfit.extract()? {
        return Ok(Some(Unfit { module, why }));
    }
    let mut opened = inventory::sockets().into_iter();
    let opened = opened.find(|socket| !sockets.contains(socket));
    Ok(opened.map(|socket| Unfit {
        module: None,
        why: format!("it opens {socket}"),
    }))
}

/// Whether what was imported is still what a fresh start would import.
pub fn is_current(py: Python<'_>, config: &WorkerConfig) -> bool {
    let current =
        module(py, config).and_then(|module| module.call_method0("is_current")?.extract());
    current.unwrap_or(false)
}

/// The first thing in a forked worker.
///
/// # Errors
/// Our package was not found, or raised.
pub fn renew(py: Python<'_>, config: &WorkerConfig) -> PyResult<()> {
    module(py, config)?.call_method0("renew")?;
    Ok(())
}

/// Makes a worker, forked from a template that several applications share, one application's.
///
/// # Errors
/// It may not enter its directory, or our package was not found.
pub fn take_place(py: Python<'_>, config: &WorkerConfig, place: &Place) -> PyResult<()> {
    let arguments = (
        place.directory.to_string_lossy(),
        &place.variables,
        PyList::new(py, &config.argv)?,
        config.app_dir.to_string_lossy(),
    );
    module(py, config)?.call_method1("take_place", arguments)?;
    Ok(())
}

fn module<'py>(py: Python<'py>, config: &WorkerConfig) -> PyResult<Bound<'py, PyModule>> {
    package::import(py, config.package.as_deref(), MODULE)
}
