//! Compiling modules in a process of its own, where their bytecode is not cached.
//!
//! The compiler leaves holes in the heap that never close: Quart's modules compiled in the worker
//! take 6 MiB for its whole life. That is the rule in containers whose image has no `__pycache__`,
//! or a read-only one. So sources go to a child that compiles them and ends with the import.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

/// So many bytes of source are compiled here first: one edited module is not worth a process.
const HERE: usize = 128 * 1024;

const SCRIPT: &str = include_str!("compile_apart.py");

/// What would steer the child as if it were the application, or make it print.
const NOT_INHERITED: [&str; 5] = [
    "PYTHONPATH",
    "PYTHONINSPECT",
    "PYTHONPROFILEIMPORTTIME",
    "PYTHONVERBOSE",
    "PYTHONTRACEMALLOC",
];

static COMPILER: Mutex<Compiler> = Mutex::new(Compiler::Off);

/// Where sources are compiled.
enum Compiler {
    /// As without this module.
    Off,
    /// Here, until so many bytes more have been.
    Here(usize),
    /// In a child.
    Apart(Apart),
}

struct Apart {
    child: Child,
    sources: ChildStdin,
    code: ChildStdout,
}

/// Calls `import`, during which modules without cached bytecode are compiled apart.
///
/// # Errors
/// The import system is not as expected.
pub fn apart<T>(py: Python<'_>, import: impl FnOnce() -> T) -> PyResult<T> {
    let loader = py
        .import("_frozen_importlib_external")?
        .getattr("SourceFileLoader")?;
    // A built-in function is no descriptor: called on a loader, it does not get the loader.
    let hook = wrap_pyfunction!(source_to_code, py)?;
    loader.setattr(intern!(py, "source_to_code"), hook)?;
    set(Compiler::Here(HERE));
    let imported = import();
    py.detach(|| set(Compiler::Off));
    // What it hid, the inherited one, is in force again.
    loader.delattr(intern!(py, "source_to_code"))?;
    Ok(imported)
}

fn set(compiler: Compiler) {
    let old = {
        let mut slot = COMPILER.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *slot, compiler)
    };
    if let Compiler::Apart(apart) = old {
        apart.end();
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
        // As the child reads it; a file's name may be any bytes.
        let name = name.call_method1(
            intern!(py, "encode"),
            (intern!(py, "utf-8"), intern!(py, "surrogateescape")),
        )?;
        let name = name.cast::<PyBytes>()?.as_bytes();
        let flags = py.import("sys")?.getattr("flags")?;
        let optimize: usize = flags.getattr("optimize")?.extract()?;
        let executable: String = py.import("sys")?.getattr("executable")?.extract()?;
        let source = source.as_bytes();
        // The lock is never waited for with the interpreter held: modules are imported in threads too.
        let code = py.detach(|| compiled_apart(&executable, optimize, name, source));
        if let Some(code) = code {
            let marshal = py.import("marshal")?;
            return marshal.call_method1(intern!(py, "loads"), (PyBytes::new(py, &code),));
        }
    }
    // The inherited one has no use for the loader, and raises with a traceback as usual.
    let inherited = py
        .import("_frozen_importlib_external")?
        .getattr("SourceLoader")?
        .getattr(intern!(py, "source_to_code"))?;
    inherited.call((py.None(), data, path), options)
}

/// The marshalled code; `None` where it is to be compiled here.
fn compiled_apart(
    executable: &str,
    optimize: usize,
    name: &[u8],
    source: &[u8],
) -> Option<Vec<u8>> {
    let mut compiler = COMPILER.lock().unwrap_or_else(PoisonError::into_inner);
    match &mut *compiler {
        Compiler::Off => return None,
        Compiler::Here(left) if source.len() <= *left => {
            *left -= source.len();
            return None;
        }
        Compiler::Here(_) => match Apart::start(executable, optimize) {
            Ok(apart) => *compiler = Compiler::Apart(apart),
            Err(error) => {
                tracing::debug!("Cannot compile modules in a process of their own: {error}");
                *compiler = Compiler::Off;
                return None;
            }
        },
        Compiler::Apart(_) => {}
    }
    let Compiler::Apart(apart) = &mut *compiler else {
        return None;
    };
    match apart.compile(name, source) {
        Ok(code) => Some(code).filter(|code| !code.is_empty()),
        Err(error) => {
            tracing::debug!("The process that compiles modules has failed: {error}");
            if let Compiler::Apart(apart) = std::mem::replace(&mut *compiler, Compiler::Off) {
                apart.end();
            }
            None
        }
    }
}

impl Apart {
    /// Without site-packages, the working directory, or the user's: it reads sources and nothing else.
    fn start(executable: &str, optimize: usize) -> io::Result<Self> {
        let mut command = Command::new(executable);
        command.args(["-S", "-s", "-P"]);
        command.args(std::iter::repeat_n("-O", optimize));
        command.args(["-c", SCRIPT]);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::other("it has no pipe");
        Ok(Self {
            sources: child.stdin.take().ok_or_else(missing)?,
            code: child.stdout.take().ok_or_else(missing)?,
            child,
        })
    }

    fn compile(&mut self, name: &[u8], source: &[u8]) -> io::Result<Vec<u8>> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
        let mut request = Vec::with_capacity(8 + name.len() + source.len());
        request.extend_from_slice(&length(name)?.to_le_bytes());
        request.extend_from_slice(&length(source)?.to_le_bytes());
        request.extend_from_slice(name);
        request.extend_from_slice(source);
        self.sources.write_all(&request)?;
        let mut size = [0; 4];
        self.code.read_exact(&mut size)?;
        let mut code = vec![0; u32::from_le_bytes(size) as usize];
        self.code.read_exact(&mut code)?;
        Ok(code)
    }

    /// It ends when its input does.
    fn end(mut self) {
        drop(self.sources);
        let _ = self.child.wait();
    }
}
