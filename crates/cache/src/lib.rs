//! A cache in files, shared by all processes of a machine that open its directory.
//!
//! Values lie in append-only *segments*; an *index* of fixed size says where the newest record of a key lies. Both
//! are read by `pread` and never mapped: pages of a mapped file count as a process's own memory until they are
//! written back, pages of the page cache do not. A read takes no lock. A write appends its record without a lock
//! (`O_APPEND`), and changes the index under advisory locks of its key's buckets, which end with their
//! holder.
//!
//! The oldest segment is unlinked when the directory has reached its size. A record that is read while it lies in
//! the oldest quarter is appended again, so what is in use stays: the order of eviction is nearly that of LRU, and no
//! write ever waits for a scan.
//!
//! Nothing read from the files is trusted: a record counts only if its checksum, its length and its key are right.
//! A broken record is a miss, a broken index is made anew.
#![forbid(unsafe_code)]

mod directory;
mod error;
mod index;
mod lease;
mod lock;
mod record;
mod segments;
mod store;

pub use directory::{Settings, disk_use, names, refuse_network_filesystem};
pub use error::OpenError;
pub use lease::Lease;
pub use record::{Kind, Record};
pub use store::{Added, Stats, Store, Write};

#[cfg(test)]
mod tests;
