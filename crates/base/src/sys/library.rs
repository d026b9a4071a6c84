//! Becoming Python: the target environment's libpython, loaded into this process.

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

type BytesMain = unsafe extern "C" fn(c_int, *mut *mut c_char) -> c_int;

/// Loads libpython and runs `Py_BytesMain(argv)`; the process exits with what it returns.
///
/// RTLD_GLOBAL, because extension modules take the interpreter's symbols from the global scope;
/// RTLD_NOW, so that an unfit library is reported here and not in the middle of a request.
#[expect(
    clippy::disallowed_methods,
    reason = "Python has ended the process as its own main would; nothing is left to return to"
)]
pub fn run_python(library: &Path, argv: Vec<CString>) -> io::Result<Infallible> {
    let path = CString::new(library.as_os_str().as_bytes())?;
    // SAFETY: a NUL-terminated path. The constructors of libpython are the platform's to trust.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if handle.is_null() {
        return Err(linker_error());
    }
    // SAFETY: an open handle and a NUL-terminated name.
    let symbol = unsafe { libc::dlsym(handle, c"Py_BytesMain".as_ptr()) };
    if symbol.is_null() {
        return Err(linker_error());
    }
    // SAFETY: this is the signature of Py_BytesMain in the stable ABI.
    let bytes_main: BytesMain = unsafe { std::mem::transmute(symbol) };
    forget_rusts_handlers();
    let count = c_int::try_from(argv.len()).map_err(io::Error::other)?;
    let mut pointers: Vec<*mut c_char> = argv.into_iter().map(CString::into_raw).collect();
    pointers.push(std::ptr::null_mut());
    // SAFETY: `count` strings that are never freed and a terminating null, as for a C main.
    let code = unsafe { bytes_main(count, pointers.as_mut_ptr()) };
    std::process::exit(code)
}

/// The address of a function that this process has loaded, its own or a library's.
pub fn symbol(name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: a NUL-terminated name, and a handle that stands for all global symbols.
    NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
}

/// Rust's runtime catches faults to report overflows of its own threads' stacks. In Python's process
/// they end it, as in any python; faulthandler installs its own.
fn forget_rusts_handlers() {
    for number in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: restores a default action, before any other thread exists.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
}

fn linker_error() -> io::Error {
    // SAFETY: dlerror returns null or a string that is valid until the next dl* call in this thread.
    let text = unsafe {
        let text = libc::dlerror();
        if text.is_null() {
            return io::Error::other("the dynamic linker failed without a reason");
        }
        CStr::from_ptr(text)
    };
    io::Error::other(text.to_string_lossy().into_owned())
}
