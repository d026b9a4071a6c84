//! The Python environment that the workers run in: which one, and how its interpreter is built.
//!
//! Everything is read from files, so the supervisor learns it without running Python; only a `python`
//! that is a script (a pyenv shim) or that hides its version is asked.

mod ask;
mod base;
mod core_library;
mod elf;
mod interpreter;
mod package;
mod search;
mod target;

pub use base::Base;
pub use core_library::{CoreMissing, find_core};
pub use package::{PackageMissing, find_package};
pub use search::{PythonMissing, Search};
pub use target::{Environment, Linkage, OLDEST, Version};
