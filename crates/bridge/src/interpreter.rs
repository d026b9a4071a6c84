//! Making the interpreter the application's: its argv and path, its import.

use pyo3::exceptions::{PyAttributeError, PyModuleNotFoundError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use lowmem_base::config::WorkerConfig;
use lowmem_base::import_string;
use lowmem_base::sys::process;
use lowmem_http::interface::Protocol;

use crate::imports;
use crate::interface::{self, SingleCallable};
use crate::report;
use crate::served_inside;

/// Why an application can't be served; the text is for the operator.
#[derive(Debug)]
pub enum LoadError {
    /// The import string is wrong: exit code 3.
    Named(String),
    /// Importing raised: exit code 1.
    Raised(PyErr),
}

impl LoadError {
    /// Tells the operator, and says which exit code the worker ends with.
    pub fn report(&self, py: Python<'_>) -> i32 {
        match self {
            Self::Named(text) => {
                tracing::error!("{text}");
                3
            }
            Self::Raised(error) => {
                report::exception(py, "Error loading ASGI app.", error);
                1
            }
        }
    }
}

/// Sets `sys.argv`, `sys.path` and `sys.stdout` as if Python had been started for the application.
///
/// # Errors
/// The `sys` module is not as expected.
pub fn prepare(py: Python<'_>, config: &WorkerConfig) -> PyResult<()> {
    let sys = py.import("sys")?;
    sys.setattr("argv", PyList::new(py, &config.application.argv)?)?;
    let path = sys.getattr("path")?.cast_into::<PyList>()?;
    path.insert(0, config.application.directory.to_string_lossy())?;
    // Printed text is read as a log: it must not wait in a buffer until a pipe's buffer is full.
    let stdout = sys.getattr("stdout")?;
    if stdout.hasattr("reconfigure")? {
        let arguments = PyDict::new(py);
        arguments.set_item("line_buffering", true)?;
        stdout.call_method("reconfigure", (), Some(&arguments))?;
    }
    Ok(())
}

/// Has `sys.flags` say that `site` is used: in a template that was started without it, whose workers use it after the
/// fork. Processes that they start are given the flags.
///
/// # Errors
/// The `sys` module is not as expected.
pub fn hide_missing_site(py: Python<'_>) -> PyResult<()> {
    let flags = py.import("sys")?.getattr("flags")?;
    let names: Vec<String> = flags.get_type().getattr("__match_args__")?.extract()?;
    let at = names.iter().position(|name| name == "no_site");
    let at = at.ok_or_else(|| PyAttributeError::new_err("sys.flags has no no_site"))?;
    let zero = 0_i32.into_pyobject(py)?.into_any().unbind();
    // SAFETY: `sys.flags` is a struct sequence, and its fields that have names are at these indices; what was there, a small
    // integer, stays referred to. No other thread reads it meanwhile.
    unsafe { ffi::PyStructSequence_SetItem(flags.as_ptr(), at.cast_signed(), zero.into_ptr()) };
    Ok(())
}

/// The application, and what it speaks.
pub struct Loaded {
    /// Called as ASGI 3 has it, unless it speaks WSGI.
    pub app: Py<PyAny>,
    /// Its interface.
    pub protocol: Protocol,
}

/// Imports the application and finds out what it speaks.
///
/// # Errors
/// It can't be imported, or does not speak what it should.
pub fn load(py: Python<'_>, config: &WorkerConfig) -> Result<Loaded, LoadError> {
    let refusing =
        served_inside::refuse(py, config.start.package.as_ref()).map_err(LoadError::Raised)?;
    let app = imports::measured(py, config, || import(py, config)).map_err(LoadError::Raised)??;
    drop(refusing);
    let protocol = interface::protocol(app.bind(py), config.application.interface)
        .map_err(LoadError::Named)?;
    let app = if protocol == Protocol::Asgi2 {
        let single = Py::new(py, SingleCallable::new(app)).map_err(LoadError::Raised)?;
        single.into_any()
    } else {
        app
    };
    Ok(Loaded { app, protocol })
}

/// Imports the application.
///
/// # Errors
/// The import string names nothing, or importing raised.
fn import(py: Python<'_>, config: &WorkerConfig) -> Result<Py<PyAny>, LoadError> {
    let named = |text: String| LoadError::Named(format!("Error loading ASGI app. {text}"));
    let (module_name, attributes) = match config.application.path.split_once(':') {
        Some((module, attributes)) if !module.is_empty() && !attributes.is_empty() => {
            (module, attributes)
        }
        _ => {
            return Err(named(format!(
                "Import string \"{}\" must be in format \"<module>:<attribute>\".{}",
                config.application.path,
                no_module(config)
            )));
        }
    };
    let missing = || {
        let hint = match instead(config) {
            hint if hint.is_empty() => looked_in(py, config),
            hint => hint,
        };
        named(format!("Could not import module \"{module_name}\".{hint}"))
    };
    // To importlib a leading dot is a package's relative import. That message would not help with a string
    // such as `./app.py:app`, which is meant as the path of a file.
    if module_name.starts_with('.') {
        return Err(missing());
    }
    // As the import statement does it, which leaves importlib's frames out of the traceback.
    let module = py.import(module_name).map_err(|error| {
        if names_missing_module(py, &error, module_name) {
            missing()
        } else {
            LoadError::Raised(error)
        }
    })?;
    let mut object = module.clone().into_any();
    for name in attributes.split('.') {
        object = object.getattr(name).map_err(|error| {
            if error.is_instance_of::<PyAttributeError>(py) {
                let others = others(&module, module_name, attributes);
                named(format!(
                    "Attribute \"{attributes}\" not found in module \"{module_name}\".{others}"
                ))
            } else {
                LoadError::Raised(error)
            }
        })?;
    }
    call_factory(object, config.application.factory).map(Bound::unbind)
}

/// A hint at the import string that may have been meant where this one names no module.
fn instead(config: &WorkerConfig) -> String {
    match import_string::meant_instead(&config.application.path, &config.application.directory) {
        Some(arguments) => format!("\nDid you mean: lowmem-serve {arguments}"),
        None => String::new(),
    }
}

/// The same, or why there is none, where the application is named by a path.
fn no_module(config: &WorkerConfig) -> String {
    let (path, directory) = (&config.application.path, &config.application.directory);
    match instead(config) {
        hint if !hint.is_empty() => hint,
        _ if !path.ends_with(".py") && !path.contains('/') => String::new(),
        _ if directory.join(path).is_dir() => {
            format!("\n{path} is a directory in which no application is seen.")
        }
        _ => format!("\nThere is no file {path} in {}.", directory.display()),
    }
}

/// Where a module that is not there was looked for.
fn looked_in(py: Python<'_>, config: &WorkerConfig) -> String {
    let directory = config.application.directory.display();
    if !config.application.directory.is_dir() {
        return format!("\nThere is no directory {directory} (--app-dir).");
    }
    let prefix = py.import("sys").and_then(|sys| sys.getattr("prefix"));
    match prefix {
        Ok(prefix) => format!("\nLooked in {directory} (--app-dir) and in the Python of {prefix}."),
        Err(_) => String::new(),
    }
}

/// The attributes of a module that could be served.
fn others(module: &Bound<'_, PyAny>, module_name: &str, wanted: &str) -> String {
    // gunicorn takes a call for an attribute.
    if let Some(factory) = wanted.strip_suffix("()")
        && module.hasattr(factory).is_ok_and(|has| has)
    {
        return format!("\nDid you mean: lowmem-serve --factory {module_name}:{factory}");
    }
    let names = servable(module).unwrap_or_default();
    match import_string::nearest(wanted, &names) {
        Some(name) => format!(
            "\nIt has {}. Did you mean: lowmem-serve {module_name}:{name}",
            names.join(", ")
        ),
        None => String::new(),
    }
}

/// The names at a module's top level that are bound to applications; not to classes, which a module
/// rather imports than serves, nor to functions that happen to take as many arguments.
fn servable(module: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let mut names = Vec::new();
    for (name, value) in module.getattr("__dict__")?.cast_into::<PyDict>()? {
        let name: String = name.extract()?;
        if !name.starts_with('_') && interface::is_evident(&value) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Whether the import failed because the module itself (or its package) is not there, rather than
/// one that it imports.
fn names_missing_module(py: Python<'_>, error: &PyErr, module: &str) -> bool {
    if !error.is_instance_of::<PyModuleNotFoundError>(py) {
        return false;
    }
    let name = error
        .value(py)
        .getattr("name")
        .and_then(|name| name.extract::<String>());
    name.is_ok_and(|name| {
        module == name
            || module
                .strip_prefix(&name)
                .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// Uvicorn tries every application as a factory, with or without `--factory`; here, those that
/// could be one.
fn call_factory(object: Bound<'_, PyAny>, factory: bool) -> Result<Bound<'_, PyAny>, LoadError> {
    let py = object.py();
    if !factory && !interface::may_be_factory(&object) {
        return Ok(object);
    }
    match object.call0() {
        Ok(app) => {
            if !factory {
                tracing::warn!(
                    "ASGI app factory detected. Using it, but please consider setting the --factory \
                     flag explicitly."
                );
            }
            Ok(app)
        }
        Err(error) if !error.is_instance_of::<PyTypeError>(py) => Err(LoadError::Raised(error)),
        Err(error) if factory => {
            let text = format!("Error loading ASGI app factory: {}", error.value(py));
            Err(LoadError::Named(text))
        }
        Err(_) => Ok(object),
    }
}

/// Ends the process without taking the interpreter down, for threads are left in it that can't be
/// stopped; what `atexit` and the buffers of the standard streams hold is done first.
pub fn leave(py: Python<'_>, code: i32) -> ! {
    let atexit = py.import("atexit");
    let ran = atexit.and_then(|atexit| atexit.call_method0("_run_exitfuncs"));
    if let Err(error) = ran {
        report::exception(py, "Exception in an atexit function", &error);
    }
    flush(py);
    process::leave(code)
}

/// Writes what has been printed.
pub fn flush(py: Python<'_>) {
    for stream in ["stdout", "stderr"] {
        let stream = py.import("sys").and_then(|sys| sys.getattr(stream));
        // A stream that is closed or broken has nowhere to tell it.
        let _ = stream.and_then(|stream| stream.call_method0("flush"));
    }
}
