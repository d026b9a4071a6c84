//! Giving back the memory that only starting up needed.

use std::ffi::c_void;
use std::ptr;

use libc::{PF_W, PT_LOAD, c_int, dl_phdr_info};
use rustix::mm::{Advice, madvise};

/// Unmaps the pages of this executable's code and constants that have been touched so far.
///
/// Reading flags and searching for Python touch most of them once; the supervisor's loop needs few,
/// which come back from the page cache when they are next used.
pub fn forget_code() {
    // SAFETY: the callback has the signature that is asked for and keeps nothing.
    unsafe { libc::dl_iterate_phdr(Some(forget_first), ptr::null_mut()) };
}

/// The same for everything that is loaded into this process.
///
/// An interpreter's start and an application's imports touch most of libpython, and much of the
/// libraries that are linked to it; serving takes a part of them.
pub fn forget_all_code() {
    // SAFETY: as above.
    unsafe { libc::dl_iterate_phdr(Some(forget_each), ptr::null_mut()) };
}

/// Called with the executable first; its result ends the iteration there.
unsafe extern "C" fn forget_first(object: *mut dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    forget(object);
    1
}

unsafe extern "C" fn forget_each(object: *mut dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    forget(object);
    0
}

fn forget(object: *mut dl_phdr_info) {
    // SAFETY: the linker passes a valid object and the table of its segments, both for this call.
    let (base, segments) = unsafe {
        let object = &*object;
        let count = usize::from(object.dlpi_phnum);
        (
            object.dlpi_addr,
            std::slice::from_raw_parts(object.dlpi_phdr, count),
        )
    };
    let page = rustix::param::page_size();
    for segment in segments {
        if segment.p_type != PT_LOAD || segment.p_flags & PF_W != 0 {
            continue;
        }
        let start = (base + segment.p_vaddr) as usize;
        let first = start / page * page;
        let length = start - first + segment.p_memsz as usize;
        // SAFETY: a private mapping of a file that cannot be written to, so what is dropped here is
        // read again unchanged. A refusal costs memory and nothing else.
        let _ = unsafe {
            madvise(
                ptr::with_exposed_provenance_mut(first),
                length,
                Advice::LinuxDontNeed,
            )
        };
    }
}
