//! Objects whose references are not counted.
//!
//! CPython 3.12 and 3.13 do not count references to an object whose count has all of its lower 32 bits set
//! (PEP 683). None and the small integers are such objects; here others of the template become it, so that
//! no worker writes to their pages. An immortal object is never freed. That is what becomes of modules,
//! functions and their constants anyhow; what might have to be closed or finalised, or is an instance of
//! a class of its own, stays as it was.
//!
//! Other versions are left alone: 3.11 counts all references, and 3.14 has another number.

use std::collections::HashSet;
use std::ffi::{c_int, c_void};
use std::mem::transmute;
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

/// The lower half of an immortal object's count.
const IMMORTAL: u32 = u32::MAX;

/// The parts of a code object. None of it is visited by the garbage collector.
const OF_CODE: [&str; 7] = [
    "co_consts",
    "co_names",
    "co_filename",
    "co_name",
    "co_qualname",
    "co_linetable",
    "co_exceptiontable",
];

/// Exact types of objects that have nothing to finalise, and where each has its name.
const KINDS: [(&str, &[&str]); 2] = [
    (
        "builtins",
        &[
            "bytes",
            "classmethod",
            "dict",
            "float",
            "frozenset",
            "int",
            "list",
            "property",
            "set",
            "staticmethod",
            "str",
            "tuple",
        ],
    ),
    (
        "types",
        &[
            "BuiltinFunctionType",
            "CellType",
            "ClassMethodDescriptorType",
            "CodeType",
            "FunctionType",
            "GetSetDescriptorType",
            "MappingProxyType",
            "MemberDescriptorType",
            "MethodDescriptorType",
            "ModuleType",
            "WrapperDescriptorType",
        ],
    ),
];

/// Makes the objects immortal that the garbage collector knows of, and what they refer to. Returns their number.
///
/// # Errors
/// `gc` or `types` is not as expected.
pub fn make(py: Python<'_>, gc: &Bound<'_, PyModule>) -> PyResult<usize> {
    if !is_known(py) {
        return Ok(0);
    }
    let kinds = kinds(py)?;
    let code = py.import("types")?.getattr("CodeType")?.as_ptr().cast();
    // Without those that are frozen, of which there are none yet.
    let tracked = gc.call_method0("get_objects")?.cast_into::<PyList>()?;
    let mut found: Vec<_> = tracked.iter().map(|object| object.as_ptr()).collect();
    let mut seen = HashSet::with_capacity(found.len() * 2);
    let mut count = 0;
    while let Some(object) = found.pop() {
        if object == tracked.as_ptr() || !seen.insert(object) {
            continue;
        }
        // SAFETY: it is alive: the list has it, or an object that is alive refers to it, and nothing is
        // freed meanwhile, for no code of Python's runs.
        let kind = unsafe { ffi::Py_TYPE(object) };
        if kind == code {
            // SAFETY: as above.
            let object = unsafe { Bound::from_borrowed_ptr(py, object) };
            for name in OF_CODE {
                // The code object has them itself, but for what is made on request, which is not of these.
                found.push(object.getattr(name)?.as_ptr());
            }
        }
        // SAFETY: as above.
        if unsafe { may_be_traversed(object, kind) } {
            // SAFETY: as above; `found` is no object's.
            unsafe { traverse(object, kind, &mut found) };
        }
        // SAFETY: a type is alive as long as an object of it.
        let is_type = unsafe { ffi::PyType_FastSubclass(kind, ffi::Py_TPFLAGS_TYPE_SUBCLASS) } != 0;
        if is_type || kinds.contains(&kind) {
            // SAFETY: an object begins with its count, whose lower half this is (`is_known`). Only this
            // thread runs.
            unsafe { object.cast::<u32>().write(IMMORTAL) };
            count += 1;
        }
    }
    Ok(count)
}

/// Whether this interpreter is known to have objects without counts, and to mark them in this way: None is
/// one. Debug and free-threaded builds have other objects.
fn is_known(py: Python<'_>) -> bool {
    let version = py.version_info();
    let is_tried = matches!((version.major, version.minor), (3, 12 | 13));
    let none = py.None();
    is_tried
        && cfg!(all(target_pointer_width = "64", target_endian = "little"))
        // SAFETY: an object is at least 16 bytes long.
        && unsafe { none.as_ptr().cast::<u32>().read() } == IMMORTAL
}

fn kinds(py: Python<'_>) -> PyResult<HashSet<*mut ffi::PyTypeObject>> {
    let mut kinds = HashSet::new();
    for (module, names) in KINDS {
        let module = py.import(module)?;
        for name in names {
            kinds.insert(module.getattr(*name)?.cast_into::<PyType>()?.as_type_ptr());
        }
    }
    Ok(kinds)
}

/// Whether an object can be asked what it refers to: those that are tracked, and containers that are not
/// because they have only what needs no collection.
///
/// # Safety
/// The object is alive, and of this type.
unsafe fn may_be_traversed(object: *mut ffi::PyObject, kind: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: the caller's promise. Static types, which are no objects for the collector, are not tracked.
    unsafe {
        ffi::PyObject_GC_IsTracked(object) != 0
            || ptr::eq(kind, &raw const ffi::PyTuple_Type)
            || ptr::eq(kind, &raw const ffi::PyDict_Type)
    }
}

/// Adds what an object refers to.
///
/// # Safety
/// [`may_be_traversed`] says so.
unsafe fn traverse(
    object: *mut ffi::PyObject,
    kind: *mut ffi::PyTypeObject,
    found: &mut Vec<*mut ffi::PyObject>,
) {
    // SAFETY: a slot of a type that is alive.
    let slot = unsafe { ffi::PyType_GetSlot(kind, ffi::Py_tp_traverse) };
    if !slot.is_null() {
        // SAFETY: what is in this slot is a function of this type, which calls `add` with this vector.
        unsafe {
            let visit: ffi::traverseproc = transmute(slot);
            visit(object, add, ptr::from_mut(found).cast());
        }
    }
}

/// Called for each reference.
unsafe extern "C" fn add(object: *mut ffi::PyObject, found: *mut c_void) -> c_int {
    // SAFETY: what `traverse` has passed.
    let found = unsafe { &mut *found.cast::<Vec<*mut ffi::PyObject>>() };
    found.push(object);
    0
}
