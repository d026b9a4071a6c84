//! Compiling modules in a process of its own, where their bytecode is not cached.
//!
//! The compiler leaves holes in the heap that never close: Quart's modules compiled in the worker
//! take 6 MiB for its whole life. That is the rule in containers whose image has no `__pycache__`,
//! or a read-only one. So sources go to a [`Companion`] that compiles them, and that transforms the
//! modules of lazy imports.
//!
//! It ends with the import of the application. Imports that wait come later, so with lazy imports
//! another companion starts at need, which ends when it has been idle.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use lowmem_base::config::WorkerConfig;
use lowmem_base::sys::companion::Companion;

/// The number of bytes of source that are compiled here first: one edited module is not worth a process.
const HERE: usize = 128 * 1024;

/// For a companion to take or give a byte. It compiles the largest modules in a second.
const PATIENCE: Duration = Duration::from_secs(30);

const SCRIPT: &str = include_str!("compile_apart.py");

/// Variables that would steer the companion as if it were the application, or make it print.
const NOT_INHERITED: [&str; 5] = [
    "PYTHONPATH",
    "PYTHONINSPECT",
    "PYTHONPROFILEIMPORTTIME",
    "PYTHONVERBOSE",
    "PYTHONTRACEMALLOC",
];

/// The process whose compiler this is. One that the application forks has a copy of it, whose lock may
/// be held for ever, and compiles as without this module.
static OWNER: AtomicU32 = AtomicU32::new(0);

static COMPILER: Mutex<Compiler> = Mutex::new(Compiler {
    place: Place::Off,
    package: None,
});

struct Compiler {
    place: Place,
    /// Our own Python package.
    package: Option<PathBuf>,
}

/// Where sources are compiled.
enum Place {
    /// As without this module.
    Off,
    /// Here, until so many bytes more have been.
    Here(usize),
    /// In a companion.
    Apart(Companion),
}

/// A request to the companion.
#[derive(Clone, Copy)]
enum Kind {
    Compile,
    Transform,
}

/// Calls `import`, during which modules without cached bytecode are compiled apart; with lazy
/// imports, later ones, too.
///
/// # Errors
/// The import system is not as expected.
pub fn apart<T>(py: Python<'_>, config: &WorkerConfig, import: impl FnOnce() -> T) -> PyResult<T> {
    let loader = py
        .import("_frozen_importlib_external")?
        .getattr("SourceFileLoader")?;
    // A built-in function is no descriptor: called on a loader, it does not get the loader.
    let hook = wrap_pyfunction!(source_to_code, py)?;
    loader.setattr(intern!(py, "source_to_code"), hook)?;
    own(config.start.package.as_deref());
    set(Place::Here(HERE));
    let imported = import();
    if config.application.lazy_imports.is_empty() {
        py.detach(|| set(Place::Off));
        // The inherited function, which it hid, is in force again.
        loader.delattr(intern!(py, "source_to_code"))?;
    } else {
        py.detach(|| set(Place::Here(HERE)));
    }
    Ok(imported)
}

/// Makes the compiler this process's own: a worker that was forked from a template has its copy.
pub fn own(package: Option<&Path>) {
    let me = process::id();
    if OWNER.swap(me, Ordering::Relaxed) != me {
        let mut compiler = COMPILER.lock().unwrap_or_else(PoisonError::into_inner);
        compiler.place = Place::Here(HERE);
        compiler.package = package.map(Path::to_owned);
    }
}

/// Ends the companion, if there is one; another is started at need.
pub fn end_companion(py: Python<'_>) {
    py.detach(|| {
        let is_apart = {
            let compiler = COMPILER.lock().unwrap_or_else(PoisonError::into_inner);
            matches!(compiler.place, Place::Apart(_))
        };
        if is_apart {
            set(Place::Here(HERE));
        }
    });
}

fn set(place: Place) {
    let old = {
        let mut compiler = COMPILER.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut compiler.place, place)
    };
    if let Place::Apart(companion) = old {
        companion.end(&request(None, b"", b""));
    }
}

/// `importlib.abc.SourceLoader.source_to_code`, as a loader's `get_code` calls it.
#[pyfunction]
#[pyo3(signature = (data, path, **options))]
fn source_to_code<'py>(
    data: &Bound<'py, PyAny>,
    path: &Bound<'py, PyAny>,
    options: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = data.py();
    if let (Ok(source), Ok(name), None) = (data.cast::<PyBytes>(), path.cast::<PyString>(), options)
    {
        // As the companion reads it; a file's name may be any bytes.
        let name = name.call_method1(
            intern!(py, "encode"),
            (intern!(py, "utf-8"), intern!(py, "surrogateescape")),
        )?;
        let name = name.cast::<PyBytes>()?;
        if let Some(code) = made_apart(Kind::Compile, name, source)? {
            return Ok(code);
        }
    }
    // The inherited one has no use for the loader, and raises with a traceback as usual.
    let inherited = py
        .import("_frozen_importlib_external")?
        .getattr("SourceLoader")?
        .getattr(intern!(py, "source_to_code"))?;
    inherited.call((py.None(), data, path), options)
}

/// `lazy.finder.transformed_source` in a companion; `None` where it has to be done here.
#[pyfunction]
pub fn transform_apart<'py>(
    source: &Bound<'py, PyBytes>,
    arguments: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = source.py();
    let arguments = py.import("marshal")?.call_method1("dumps", (arguments,))?;
    made_apart(Kind::Transform, arguments.cast::<PyBytes>()?, source)
}

/// The code that a companion process makes of a source; `None` where this process has to make it.
fn made_apart<'py>(
    kind: Kind,
    first: &Bound<'py, PyBytes>,
    source: &Bound<'py, PyBytes>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = source.py();
    if OWNER.load(Ordering::Relaxed) != process::id() {
        return Ok(None);
    }
    let sys = py.import("sys")?;
    let optimize: usize = sys.getattr("flags")?.getattr("optimize")?.extract()?;
    let executable: String = sys.getattr("executable")?.extract()?;
    let (first, source) = (first.as_bytes(), source.as_bytes());
    // The lock is never waited for with the interpreter held: modules are imported in threads too.
    let made = py.detach(|| {
        let mut compiler = COMPILER.lock().unwrap_or_else(PoisonError::into_inner);
        compiler.make(&executable, optimize, (kind, first, source))
    });
    // With nothing locked: a line may be a record of Python's logging, whose handlers may import.
    let made = made.unwrap_or_else(|error| {
        tracing::debug!("Cannot compile modules in a process of their own: {error}");
        None
    });
    let Some(made) = made.filter(|made| !made.is_empty()) else {
        return Ok(None);
    };
    let marshal = py.import("marshal")?;
    marshal
        .call_method1(intern!(py, "loads"), (PyBytes::new(py, &made),))
        .map(Some)
}

impl Compiler {
    /// The code that a companion process makes of a source, where one is used. After an error no companion
    /// is used any more.
    fn make(
        &mut self,
        executable: &str,
        optimize: usize,
        (kind, first, source): (Kind, &[u8], &[u8]),
    ) -> io::Result<Option<Vec<u8>>> {
        match (&mut self.place, kind) {
            (Place::Off, _) => return Ok(None),
            // Transforming takes a syntax tree, which is many times as large as the code.
            (Place::Here(left), Kind::Compile) if source.len() <= *left => {
                *left -= source.len();
                return Ok(None);
            }
            _ => {}
        }
        let request = request(Some(kind), first, source);
        if let Place::Apart(companion) = &mut self.place
            && let Ok(made) = companion.ask(&request)
        {
            return Ok(Some(made));
        }
        // None has been started, or it has been idle for so long that it has ended.
        let command = command(executable, optimize, self.package.as_deref());
        let asked = Companion::start(command, PATIENCE)
            .and_then(|mut companion| companion.ask(&request).map(|made| (companion, made)));
        match asked {
            Ok((companion, made)) => {
                self.place = Place::Apart(companion);
                Ok(Some(made))
            }
            Err(error) => {
                self.place = Place::Off;
                Err(error)
            }
        }
    }
}

/// Without site-packages, the working directory, or the user's: it reads sources and nothing else.
fn command(executable: &str, optimize: usize, package: Option<&Path>) -> Command {
    let mut command = Command::new(executable);
    command.args(["-S", "-s", "-P"]);
    command.args(std::iter::repeat_n("-O", optimize));
    command.args(["-c", SCRIPT]);
    command.args(package);
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    command
}

/// A request as the script reads it; without a kind, the last one.
fn request(kind: Option<Kind>, first: &[u8], second: &[u8]) -> Vec<u8> {
    let letter = match kind {
        Some(Kind::Compile) => b'c',
        Some(Kind::Transform) => b't',
        None => b'e',
    };
    let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut request = Vec::with_capacity(9 + first.len() + second.len());
    request.push(letter);
    request.extend_from_slice(&length(first));
    request.extend_from_slice(&length(second));
    request.extend_from_slice(first);
    request.extend_from_slice(second);
    request
}
