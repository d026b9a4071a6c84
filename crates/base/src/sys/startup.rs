//! Giving back the memory that only starting up needed.

use std::ffi::c_void;
use std::ptr;

use libc::{PF_W, PT_LOAD, c_int, dl_phdr_info};
use rustix::mm::{Advice, madvise};

use super::memory;

/// Gives back what a worker's start took: heap, stack, and the code of everything that is loaded.
///
/// Code last: what comes back of it is what is used from then on.
pub fn forget() {
    memory::trim();
    forget_stack();
    if !is_traced() {
        forget_all_code();
    }
}

/// The same for a process that only has the code of this executable to give back.
pub fn forget_own() {
    memory::trim();
    forget_stack();
    forget_own_code();
}

/// The same from any thread of such a process, again and again: code and heap, and no stack. A thread's stack
/// may share its mapping with what lies below it.
pub fn forget_code() {
    memory::trim();
    forget_own_code();
}

/// Unmaps the pages of this executable's code and constants that have been touched so far.
///
/// Reading flags and searching for Python touch most of them once; the supervisor's loop needs few,
/// which come back from the page cache when they are next used.
fn forget_own_code() {
    if is_traced() {
        return;
    }
    // SAFETY: the callback has the signature that is asked for and keeps nothing.
    unsafe { libc::dl_iterate_phdr(Some(forget_first), ptr::null_mut()) };
}

/// The same for everything that is loaded into this process.
///
/// An interpreter's start and an application's imports touch most of libpython, and much of the
/// libraries that are linked to it; serving takes a part of them.
fn forget_all_code() {
    // SAFETY: as above.
    unsafe { libc::dl_iterate_phdr(Some(forget_each), ptr::null_mut()) };
}

/// Whether a debugger is attached: its breakpoints are written to code pages, and would be lost.
fn is_traced() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|pid| pid.trim() != "0")
}

/// Called with the executable first; its result ends the iteration there.
unsafe extern "C" fn forget_first(object: *mut dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    forget_segments(object);
    1
}

unsafe extern "C" fn forget_each(object: *mut dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    forget_segments(object);
    0
}

/// Gives back this thread's stack below the caller: what deeper calls have left there is dead.
///
/// Reading flags, an interpreter's start and an application's imports go deeper than serving does.
fn forget_stack() {
    /// For the frames of the calls made here, and what lies below them.
    const KEPT: usize = 16 * 1024;
    let here = 0_u8;
    let here = ptr::from_ref(&here).expose_provenance();
    let page = rustix::param::page_size();
    let end = here.saturating_sub(KEPT) / page * page;
    match start_of_mapping(here) {
        Some(start) if start < end => {
            let start_pointer = ptr::with_exposed_provenance_mut(start);
            // SAFETY: between the start of the stack's mapping and this place below the stack pointer
            // nothing is alive: no frame reaches there, and one that does later finds zeros, which is
            // as good as what it may rely on. A refusal costs memory and nothing else.
            let _ = unsafe { madvise(start_pointer, end - start, Advice::LinuxDontNeed) };
        }
        _ => {}
    }
}

/// Where the mapping that has this address begins.
fn start_of_mapping(address: usize) -> Option<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let (start, rest) = line.split_once('-')?;
        let (end, _) = rest.split_once(' ')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        (start..end).contains(&address).then_some(start)
    })
}

fn forget_segments(object: *mut dl_phdr_info) {
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
        // SAFETY: a private mapping of a file, without write permission: nothing in this process has
        // written to it, and no debugger that is attached, so what is dropped here is read again
        // unchanged. The exception is a file that is overwritten in place, whose pages that were not
        // touched yet would change, too; installers put a new file in its place. A refusal costs memory
        // and nothing else.
        let _ = unsafe {
            madvise(
                ptr::with_exposed_provenance_mut(first),
                length,
                Advice::LinuxDontNeed,
            )
        };
    }
}
