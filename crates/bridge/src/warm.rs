//! The template of `--reload`: it has imported what the application imports of others' modules, and
//! a worker that is forked from it imports the application itself.
//!
//! `lowmem_serve/warm.py` decides which modules should be imported, and whether they can be.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PyList};

use lowmem_base::config::{Place, WorkerConfig};
use lowmem_base::control::{Imported, SharedBy, ToImport, Unfit};
use lowmem_base::sys::inventory;

use crate::compiling;
use crate::package;

const MODULE: &str = "warm";

type Modules = (
    Vec<String>,
    Vec<(String, usize)>,
    Vec<(String, Option<String>)>,
    Vec<PathBuf>,
);

/// The modules that this worker has imported, without those of a template that several applications share.
///
/// # Errors
/// Our package was not found, or raised.
pub fn imported(py: Python<'_>, config: &WorkerConfig) -> PyResult<Imported> {
    let module = module(py, config)?;
    let (directories, modules, variables, standard): Modules = module
        .call_method1("imported", (config.start.place.is_some(),))?
        .extract()?;
    Ok(Imported {
        directories: directories.into_iter().map(Into::into).collect(),
        modules,
        variables,
        standard,
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
        import.shared_by != SharedBy::Application,
        import.shared_by == SharedBy::Python,
    );
    let unfit = module(py, config)?.call_method1("prepare", arguments)?;
    // Its socket is no import's.
    compiling::end_companion(py);
    if let Some((module, why, raised)) = unfit.extract()? {
        return Ok(Some(Unfit {
            module,
            raised,
            why,
        }));
    }
    let mut opened = inventory::sockets().into_iter();
    let opened = opened.find(|socket| !sockets.contains(socket));
    Ok(opened.map(|socket| Unfit {
        module: None,
        raised: Vec::new(),
        why: format!("it opens {socket}"),
    }))
}

/// The modules and packages that this process has, without the parts of packages.
///
/// # Errors
/// Our package was not found, or raised.
pub fn packages(py: Python<'_>, config: &WorkerConfig) -> PyResult<Vec<String>> {
    module(py, config)?.call_method0("packages")?.extract()
}

/// The files that were imported, as they were.
///
/// They are looked at before each fork. Were they kept as Python's objects, their counts of references
/// would be written to each time, and workers that were forked before would keep copies of these pages.
pub struct Files(Vec<(PathBuf, Option<State>)>);

/// When a file was changed, and its size.
type State = (i64, i64, u64);

impl Files {
    /// # Errors
    /// Our package was not found, or raised.
    pub fn imported(py: Python<'_>, config: &WorkerConfig) -> PyResult<Self> {
        let files: Vec<PathBuf> = module(py, config)?.call_method0("files")?.extract()?;
        let with_states = files.into_iter().map(|file| {
            let state = state(&file);
            (file, state)
        });
        Ok(Self(with_states.collect()))
    }

    /// Whether a fresh start would import the same.
    pub fn are_current(&self) -> bool {
        self.0.iter().all(|(file, before)| state(file) == *before)
    }
}

/// None for what is in an archive; or the file is gone, which is a change.
fn state(file: &Path) -> Option<State> {
    let found = file.metadata().ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.size()))
}

/// The first thing in a forked worker.
///
/// # Errors
/// Our package was not found, or raised.
pub fn renew(py: Python<'_>, config: &WorkerConfig) -> PyResult<()> {
    module(py, config)?.call_method0("renew")?;
    Ok(())
}

/// Makes a worker, forked from a template that several applications share, one application's; from that of several
/// environments, it enters its own.
///
/// # Errors
/// It may not enter its directory, or our package was not found.
pub fn take_place(
    py: Python<'_>,
    config: &WorkerConfig,
    place: &Place,
    shared_by: SharedBy,
) -> PyResult<()> {
    let python = (shared_by == SharedBy::Python).then(|| place.python.to_string_lossy());
    let arguments = (
        place.directory.to_string_lossy(),
        &place.variables,
        PyList::new(py, &config.application.argv)?,
        config.application.directory.to_string_lossy(),
        python,
    );
    module(py, config)?.call_method1("take_place", arguments)?;
    Ok(())
}

fn module<'py>(py: Python<'py>, config: &WorkerConfig) -> PyResult<Bound<'py, PyModule>> {
    package::import(py, config.start.package.as_deref(), MODULE)
}
