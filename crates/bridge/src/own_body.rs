//! Parts of request bodies that are read into the bytes object which the application receives.

use std::mem::MaybeUninit;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tokio::io::ReadBuf;

use lowmem_http::own_body::OwnBody;

/// A bytes object of what `fill` fills, at most `size` bytes. Without the memory for it there is
/// none, and `fill` is not called.
pub fn filled(
    py: Python<'_>,
    size: usize,
    fill: &mut dyn FnMut(&mut ReadBuf<'_>),
) -> Option<OwnBody> {
    let length = ffi::Py_ssize_t::try_from(size).ok()?;
    // SAFETY: attached; without a source the content is not initialised.
    let object = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), length) };
    // SAFETY: a new reference, or null with an exception set, which is taken.
    let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }.ok()?;
    // SAFETY: the object was made above as bytes.
    let bytes = unsafe { object.cast_into_unchecked::<PyBytes>() };
    // SAFETY: there is no other reference to the object yet, so it may be written to (as CPython documents it for
    // an object without a source); the pointer leads to `size` bytes, good for as long as it is held.
    let space = unsafe {
        let start = ffi::PyBytes_AsString(bytes.as_ptr()).cast::<MaybeUninit<u8>>();
        std::slice::from_raw_parts_mut(start, size)
    };
    let mut buffer = ReadBuf::uninit(space);
    fill(&mut buffer);
    let filled = buffer.filled();
    let length = filled.len();
    let bytes = if length == size {
        bytes
    } else {
        // There was less than the kernel had said: the size of an object can't be changed.
        PyBytes::new(py, filled)
    };
    Some(OwnBody {
        object: Box::new(bytes.unbind()),
        length,
    })
}

/// The object that [`filled`] has made.
pub fn object(py: Python<'_>, own: OwnBody) -> PyResult<Bound<'_, PyAny>> {
    match own.object.downcast::<Py<PyBytes>>() {
        Ok(bytes) => Ok(bytes.into_bound(py).into_any()),
        Err(_) => Err(pyo3::exceptions::PySystemError::new_err(
            "a request body is not the application's",
        )),
    }
}
