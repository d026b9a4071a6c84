//! Memory that two processes have mapped: a worker's counters.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::counters::Page;

/// A [`Page`] in a file without a name.
#[derive(Debug)]
pub struct SharedPage {
    page: NonNull<Page>,
    file: OwnedFd,
}

// SAFETY: all fields of a `Page` are atomics, which any thread may use, and the mapping is of no thread.
unsafe impl Send for SharedPage {}
// SAFETY: as above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// An empty one.
    ///
    /// # Errors
    /// There is no memory or no descriptor for it.
    pub fn new() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create("lowmem-counters", flags)?);
        file.set_len(size_of::<Page>() as u64)?;
        // Without this the other side could shorten it, and reading it would kill this one.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Self::map(file.into())
    }

    /// One that another process has made.
    ///
    /// # Errors
    /// It is none, or cannot be mapped.
    pub fn open(file: OwnedFd) -> io::Result<Self> {
        let is_sealed = fcntl_get_seals(&file)?.contains(SealFlags::SHRINK);
        let file = File::from(file);
        if !is_sealed || file.metadata()?.len() != size_of::<Page>() as u64 {
            return Err(io::Error::other("not a page of counters of this version"));
        }
        Self::map(file.into())
    }

    fn map(file: OwnedFd) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let mapped = unsafe {
            mmap(
                ptr::null_mut(),
                size_of::<Page>(),
                protection,
                MapFlags::SHARED,
                &file,
                0,
            )?
        };
        let page = NonNull::new(mapped.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { page, file })
    }

    /// The file, for the other process.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Keeps it mapped for as long as this process lives, without its descriptor.
    #[must_use]
    pub fn forever(self) -> &'static Page {
        let page = self.page;
        let Self { file, .. } = &*std::mem::ManuallyDrop::new(self);
        // SAFETY: `self` is not dropped, so its descriptor is read, and closed, once.
        drop(unsafe { ptr::read(file) });
        // SAFETY: the mapping stays, is as large as a page, aligned to one, and zeroes are valid.
        unsafe { page.as_ref() }
    }
}

impl Deref for SharedPage {
    type Target = Page;

    fn deref(&self) -> &Page {
        // SAFETY: mapped until drop, as large as a `Page`, aligned to a page of memory, of a file that
        // cannot be shortened; all its fields are atomics, for which any bytes are valid.
        unsafe { self.page.as_ref() }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from it any more. It cannot fail for a whole mapping.
        let _ = unsafe { munmap(self.page.as_ptr().cast(), size_of::<Page>()) };
    }
}
