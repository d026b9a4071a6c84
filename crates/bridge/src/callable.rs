//! Calling Python and being called by it, by the shortest way that there is.
//!
//! A method of a pyo3 class is looked up in its type, and a general parser reads its arguments. Two methods
//! are called for every request: those are bound to their object here.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::PyClass;
use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;

use crate::private_names::functions;

/// The callee may use the place before the first argument for its own.
const ARGUMENTS_OFFSET: usize = 1 << (usize::BITS - 1);

/// `callable(first, second, third)`
///
/// # Errors
/// The exception that it raised.
pub fn call<'py>(
    callable: &Bound<'py, PyAny>,
    [first, second, third]: [&Bound<'py, PyAny>; 3],
) -> PyResult<Bound<'py, PyAny>> {
    let mut arguments = [
        std::ptr::null_mut(),
        first.as_ptr(),
        second.as_ptr(),
        third.as_ptr(),
    ];
    // SAFETY: attached; everything is alive for the call, there is a place before the arguments that the
    // callee may write to, and the result is a new reference, or null with an exception set.
    unsafe {
        let result = (functions().vectorcall)(
            callable.as_ptr(),
            arguments.as_mut_ptr().add(1),
            3 | ARGUMENTS_OFFSET,
            std::ptr::null_mut(),
        );
        Bound::from_owned_ptr_or_err(callable.py(), result)
    }
}

/// A method that [`bind`](Self::bind) makes a callable of.
pub struct Method<T> {
    definition: UnsafeCell<ffi::PyMethodDef>,
    owner: PhantomData<fn(T)>,
}

// SAFETY: nothing writes to it; CPython takes a pointer to mutable memory and reads.
unsafe impl<T> Sync for Method<T> {}

/// The types of functions that CPython calls as methods.
pub type Function =
    unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> *mut ffi::PyObject;

impl<T> Method<T> {
    /// A method without arguments.
    ///
    /// # Safety
    /// The function may be called with any `T` as its first argument.
    pub const unsafe fn without_arguments(name: &'static CStr, function: Function) -> Self {
        Self::new(name, function, ffi::METH_NOARGS)
    }

    /// A method of one positional argument.
    ///
    /// # Safety
    /// The function may be called with any `T` as its first argument, and any object as its second.
    pub const unsafe fn of_one_argument(name: &'static CStr, function: Function) -> Self {
        Self::new(name, function, ffi::METH_O)
    }

    const fn new(name: &'static CStr, function: Function, ml_flags: i32) -> Self {
        Self {
            definition: UnsafeCell::new(ffi::PyMethodDef {
                ml_name: name.as_ptr(),
                ml_meth: ffi::PyMethodDefPointer {
                    PyCFunction: function,
                },
                ml_flags,
                ml_doc: std::ptr::null(),
            }),
            owner: PhantomData,
        }
    }

    /// The method of this object.
    ///
    /// # Errors
    /// No memory.
    pub fn bind<'py>(&'static self, owner: &Bound<'py, T>) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: attached; the definition lives for ever, the callable keeps its owner alive, which is
        // of the type that the function was promised for.
        unsafe {
            let made =
                ffi::PyCFunction_NewEx(self.definition.get(), owner.as_ptr(), std::ptr::null_mut());
            Bound::from_owned_ptr_or_err(owner.py(), made)
        }
    }
}

/// The body of a [`Function`]: gives `call` the object that it was bound to, and CPython what it
/// returns or raises. A panic becomes an exception, as it does in pyo3's own methods.
///
/// # Safety
/// Called by CPython with the arguments of a function that was bound to a `T`.
pub unsafe fn enter<T: PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Sync>(
    owner: *mut ffi::PyObject,
    call: impl FnOnce(Python<'_>, &T) -> PyResult<Py<PyAny>>,
) -> *mut ffi::PyObject {
    Python::attach(|py| {
        // SAFETY: the caller's promise.
        let owner = unsafe { Borrowed::from_ptr(py, owner).cast_unchecked::<T>() };
        let called = catch_unwind(AssertUnwindSafe(|| call(py, owner.get())));
        match called {
            Ok(Ok(value)) => value.into_ptr(),
            Ok(Err(error)) => raise(py, error),
            Err(panic) => raise(py, PanicException::new_err((said(&*panic),))),
        }
    })
}

fn raise(py: Python<'_>, error: PyErr) -> *mut ffi::PyObject {
    error.restore(py);
    std::ptr::null_mut()
}

/// The words of a panic.
fn said(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let formatted = || panic.downcast_ref::<String>().cloned();
    literal.or_else(formatted).unwrap_or_default()
}
