//! The bridge: the only room that says pyo3.
#![allow(unsafe_code)]

use pyo3::prelude::*;

/// The worker's shared object, loaded by the launcher in either way of starting.
#[pymodule]
mod _core {
    use super::*;

    /// Runs the worker on the control socket with this descriptor; returns its exit code.
    #[pyfunction]
    fn main(_py: Python<'_>, control: i32) -> PyResult<i32> {
        let _ = control;
        Ok(0)
    }
}
