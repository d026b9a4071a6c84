//! All uses of names that CPython does not promise, and that a new version may lack.
//!
//! * C functions outside the stable ABI of 3.11, for which this library is built. They are looked up
//!   when a worker starts ([`load`]); without one no worker can serve.
//! * Names of asyncio with a leading underscore, which `--loop auto` needs ([`missing_for_loop`]).
//!   Without one the worker serves with `--loop asyncio`, which needs none of them.
//! * Names of importlib's frozen modules. The features that use them do without, or say so:
//!
//! | module | names | used by | without them |
//! |---|---|---|---|
//! | `_frozen_importlib_external` | `SourceFileLoader`, `SourceLoader` | `compiling.rs` | the import fails |
//! | `_frozen_importlib_external` | `spec_from_file_location` | `package.rs` | features written in Python fail to start |
//! | `_frozen_importlib` | `_load` | `package.rs` | the same |
//! | `_frozen_importlib_external` | `MAGIC_NUMBER`, `cache_from_source`, `_write_atomic`, `_calc_mode`, `_path_split`, `_path_stat`, `_path_isdir`, `_path_isfile` | `lazy/` | `--lazy-imports` fails to start; from 3.15 on it uses the interpreter's own |
//! | `_frozen_importlib` | `_call_with_frames_removed`, `_gcd_import`, the name of `_find_and_load_unlocked` | `lazy/`, `imports.py` | the same; `lowmem-serve imports` fails |

use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::OnceLock;

use pyo3::ffi::PyObject;
use pyo3::prelude::*;

use lowmem_base::sys::library;

/// The functions of CPython that are not in the stable ABI of 3.11: exported by each version since 3.9,
/// with the same meaning. `PyObject_Vectorcall` is in that of 3.12.
pub struct Functions {
    pub context_copy_current: unsafe extern "C" fn() -> *mut PyObject,
    pub context_copy: unsafe extern "C" fn(*mut PyObject) -> *mut PyObject,
    pub context_enter: unsafe extern "C" fn(*mut PyObject) -> i32,
    pub context_exit: unsafe extern "C" fn(*mut PyObject) -> i32,
    pub vectorcall: unsafe extern "C" fn(
        *mut PyObject,
        *const *mut PyObject,
        usize,
        *mut PyObject,
    ) -> *mut PyObject,
}

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

/// Attributes of the loop that `SelectorEventLoop` makes.
const OF_LOOP: [&str; 12] = [
    "_asyncgen_finalizer_hook",
    "_asyncgen_firstiter_hook",
    "_current_handle",
    "_process_events",
    "_ready",
    "_scheduled",
    "_selector",
    "_set_coroutine_origin_tracking",
    "_thread_id",
    "_timer_cancelled_count",
    "call_exception_handler",
    "slow_callback_duration",
];

/// Attributes of modules and of the types in them.
const OF_MODULES: [(&str, &[&str]); 8] = [
    ("asyncio.events", &["_set_running_loop"]),
    ("asyncio.events", &["Handle", "_run"]),
    ("asyncio.events", &["Handle", "_cancelled"]),
    ("asyncio.events", &["TimerHandle", "_when"]),
    ("asyncio.events", &["TimerHandle", "_scheduled"]),
    ("asyncio.tasks", &["_enter_task"]),
    ("asyncio.tasks", &["_leave_task"]),
    ("asyncio.base_events", &["_format_handle"]),
];

/// The newest version with which all of this has been tried: a newer one is looked at before it serves.
const TRIED: (u8, u8) = (3, 14);

/// Looks the C functions up.
///
/// # Errors
/// The interpreter lacks one; in words for the operator.
pub fn load() -> Result<(), String> {
    let find = |name: &'static CStr| {
        library::symbol(name).ok_or_else(|| {
            let version = Python::version_str();
            let name = name.to_string_lossy();
            format!(
                "This Python ({version}) does not export {name}, which lowmem-serve needs beside the \
                 stable ABI. Use CPython {}.{} or older, or a newer lowmem-serve.",
                TRIED.0, TRIED.1
            )
        })
    };
    let functions = Functions {
        // SAFETY: the function of that name has this signature.
        context_copy_current: unsafe { as_function(find(c"PyContext_CopyCurrent")?) },
        // SAFETY: as above.
        context_copy: unsafe { as_function(find(c"PyContext_Copy")?) },
        // SAFETY: as above.
        context_enter: unsafe { as_function(find(c"PyContext_Enter")?) },
        // SAFETY: as above.
        context_exit: unsafe { as_function(find(c"PyContext_Exit")?) },
        // SAFETY: as above.
        vectorcall: unsafe { as_function(find(c"PyObject_Vectorcall")?) },
    };
    FUNCTIONS.get_or_init(|| functions);
    Ok(())
}

/// # Safety
/// `F` is the type of a pointer to the function at this address.
unsafe fn as_function<F: Copy>(address: NonNull<std::ffi::c_void>) -> F {
    const { assert!(size_of::<F>() == size_of::<NonNull<std::ffi::c_void>>()) };
    // SAFETY: pointers of the same size, and the caller's promise.
    unsafe { std::mem::transmute_copy(&address) }
}

/// The C functions.
///
/// # Panics
/// Before [`load`].
#[inline]
pub fn functions() -> &'static Functions {
    FUNCTIONS.get().expect("loaded before anything is called")
}

/// The first of asyncio's names that `--loop auto` needs and this version does not have.
///
/// # Errors
/// asyncio could not be imported.
pub fn missing_for_loop(py: Python<'_>, event_loop: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    for name in OF_LOOP {
        if !event_loop.hasattr(name)? {
            return Ok(Some(format!("loop.{name}")));
        }
    }
    for (module, path) in OF_MODULES {
        let mut object = py.import(module)?.into_any();
        for name in path {
            match object.getattr(*name) {
                Ok(found) => object = found,
                Err(_) => return Ok(Some(format!("{module}.{}", path.join(".")))),
            }
        }
    }
    Ok(None)
}

/// Whether this version of Python is newer than those that were tested.
pub fn is_untried(py: Python<'_>) -> bool {
    let version = py.version_info();
    (version.major, version.minor) > TRIED
}
