//! `wsgi.file_wrapper`: a file as the body of a response.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A file is read in blocks of at least this many bytes: each is a system call, and the interpreter
/// is let go for it. As much as may wait to be sent.
const MIN_BLOCK: usize = 64 * 1024;

/// Iterates over the blocks of a file-like object.
#[pyclass(frozen, module = "lowmem_serve")]
pub struct FileWrapper {
    file: Py<PyAny>,
    block: usize,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=8192))]
    fn new(filelike: Py<PyAny>, blksize: usize) -> Self {
        Self {
            file: filelike,
            block: blksize.max(MIN_BLOCK),
        }
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let block = self
            .file
            .bind(py)
            .call_method1(intern!(py, "read"), (self.block,))?
            .cast_into::<PyBytes>()?;
        Ok(Some(block).filter(|block| !block.as_bytes().is_empty()))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let file = self.file.bind(py);
        if file.hasattr(intern!(py, "close"))? {
            file.call_method0(intern!(py, "close"))?;
        }
        Ok(())
    }
}
