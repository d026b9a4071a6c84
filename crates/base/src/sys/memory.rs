//! The C library's heaps.

/// Returns freed memory at the top and inside of the C library's heaps to the kernel.
pub fn trim() {
    // SAFETY: no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The heap of this process, and the freed part of it that the C library keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heap {
    /// Bytes that are in memory and do not come from files.
    pub resident: u64,
    /// Bytes that were allocated once and are free. Some may have been given back already.
    pub free: u64,
}

/// The resident memory that does not come from files, in bytes; 0 where it cannot be read. The kernel loads
/// and drops pages of files by itself.
pub fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut fields = statm.split_ascii_whitespace().skip(1);
    let mut pages = || fields.next()?.parse::<u64>().ok();
    let (all, from_files) = (pages().unwrap_or(0), pages().unwrap_or(0));
    all.saturating_sub(from_files) * rustix::param::page_size() as u64
}

/// Takes stock. The C library looks at every free piece for it: a millisecond or more where there
/// are many.
pub fn heap() -> Heap {
    Heap {
        resident: resident(),
        free: free(),
    }
}

/// Returns freed memory, and says how many bytes of resident memory that was.
pub fn give_back() -> u64 {
    let before = resident();
    trim();
    before.saturating_sub(resident())
}

/// `mallinfo2` is found at run time: it came with version 2.33 of the C library, and an older one, for
/// which this may have been built, has `mallinfo`, whose numbers wrap at 4 GiB.
#[cfg(target_env = "gnu")]
fn free() -> u64 {
    type MallInfo2 = unsafe extern "C" fn() -> libc::mallinfo2;
    // SAFETY: a name that ends with NUL; the result is null or that function.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"mallinfo2".as_ptr()) };
    if found.is_null() {
        // SAFETY: no preconditions.
        let info = unsafe { libc::mallinfo() };
        return u64::from(info.fordblks.cast_unsigned());
    }
    // SAFETY: the function of that name has this type, and no preconditions.
    let info = unsafe { std::mem::transmute::<*mut libc::c_void, MallInfo2>(found)() };
    info.fordblks as u64
}

/// musl's allocator returns what is free by itself, and has nothing to ask.
#[cfg(not(target_env = "gnu"))]
fn free() -> u64 {
    0
}

/// Makes all threads allocate from one heap.
///
/// The C library gives each thread one of its own, so that none waits for another; under CPython's
/// lock they take turns anyway, and each heap keeps what its busiest moment left free.
pub fn one_heap() {
    // SAFETY: no preconditions; a refusal changes nothing.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// A part of a request body is 64 KiB, and so is a response that is sent in pieces.
const MAPPED: usize = 256 * 1024;

/// Has the C library keep up to 512 KiB of free memory at the top of its heap, where it would give
/// back everything beyond 128 KiB at once, to fault it in again for the next body: a fifth of the
/// time that an upload takes.
///
/// The limit is twice the largest block that had a mapping of its own when it was freed (mallopt(3),
/// `M_MMAP_THRESHOLD`), so one is made and freed. `M_TRIM_THRESHOLD` would say it, too, and fix both
/// limits for everything that an application allocates.
pub fn keep_top() {
    // SAFETY: what was allocated is freed, and nothing is done with it in between; free takes null.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::free(std::hint::black_box(libc::malloc(MAPPED)));
    }
}

/// Blocks for [`fill_holes`] begin with this size: what is larger is as good as pages of its own.
#[cfg(target_env = "gnu")]
const LARGEST_HOLE: usize = 64 * 1024;

/// More holes than the heap of a template has.
#[cfg(target_env = "gnu")]
const MOST_FILLED: usize = 64 * 1024 * 1024;

/// Takes what is free between other blocks of the C library's heap, for ever, so that everything new is at its
/// end: in a process that is forked, on pages that are not shared.
///
/// Only heads of blocks are written. Pages that were given back before ([`trim`]) stay so. No more than
/// `MOST_FILLED` is taken: a heap that does not grow upwards is left.
#[cfg(target_env = "gnu")]
pub fn fill_holes() {
    let mut end = end_of_heap();
    let mut filled = 0;
    for size in sizes() {
        while filled < MOST_FILLED {
            // SAFETY: no preconditions; a block that is kept is never used, and one that is freed was not.
            let block = unsafe { libc::malloc(size) };
            if block.is_null() {
                return;
            }
            if block.addr() < end {
                filled += size;
                continue;
            }
            end = block.addr();
            // SAFETY: as above.
            unsafe { libc::free(block) };
            break;
        }
    }
}

/// From the largest to the smallest: by halves, then each that the C library tells apart.
#[cfg(target_env = "gnu")]
fn sizes() -> impl Iterator<Item = usize> {
    const FINE: usize = 1024;
    const STEP: usize = 16;
    const LEAST: usize = 24;
    let halves = std::iter::successors(Some(LARGEST_HOLE), |size| Some(size / 2));
    let fine = (LEAST..FINE).step_by(STEP);
    halves.take_while(|size| *size > FINE).chain(fine.rev())
}

/// Where blocks lie that come from the end of the heap: two large ones, one after the other.
#[cfg(target_env = "gnu")]
fn end_of_heap() -> usize {
    const HEAD: usize = 16;
    /// More large holes than a heap has.
    const MOST: usize = 1000;
    let mut blocks: Vec<*mut libc::c_void> = Vec::with_capacity(MOST);
    let mut end = 0;
    while blocks.len() < MOST {
        // SAFETY: no preconditions.
        let block = unsafe { libc::malloc(LARGEST_HOLE) };
        let address = block.addr();
        let last = blocks.last().map_or(0, |last| last.addr());
        blocks.push(block);
        if last + LARGEST_HOLE + HEAD >= address && last > end {
            end = last;
            break;
        }
        end = end.max(last);
    }
    for block in blocks {
        // SAFETY: allocated above; null may be freed.
        unsafe { libc::free(block) };
    }
    end
}

/// musl's allocator has no end of a heap.
#[cfg(not(target_env = "gnu"))]
pub fn fill_holes() {}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    const SIZE: usize = 200;

    fn blocks(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| vec![1; SIZE]).collect()
    }

    fn address(block: &[u8]) -> usize {
        block.as_ptr().addr()
    }

    #[test]
    fn new_blocks_are_behind_the_old_ones_once_holes_are_filled() {
        let mut old = blocks(2000);
        let end = old.iter().map(|block| address(block)).max().unwrap_or(0);
        let mut number = 0;
        old.retain(|_| {
            number += 1;
            number % 2 == 0
        });
        fill_holes();
        let new = blocks(500);
        let behind = new.iter().filter(|block| address(block) > end).count();
        assert!(behind > 450, "{behind} of 500");
    }
}
