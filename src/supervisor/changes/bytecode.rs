//! Compiled code of a changed source file.
//!
//! Python takes its cached bytecode for current while the source's size and its time, in whole
//! seconds, are the same. Two saves within one second can look alike by that, and the second one
//! would not be seen.

use std::fs;
use std::path::Path;

/// Removes what is cached of a source file. What cannot be removed is most likely not there.
pub(super) fn forget(source: &Path) {
    let (Some(directory), Some(stem)) = (source.parent(), source.file_stem()) else {
        return;
    };
    if source.extension().is_none_or(|extension| extension != "py") {
        return;
    }
    let Ok(cached) = fs::read_dir(directory.join("__pycache__")) else {
        return;
    };
    let begin = [stem.as_encoded_bytes(), b"."].concat();
    for file in cached.flatten() {
        if file.file_name().as_encoded_bytes().starts_with(&begin) {
            let _ = fs::remove_file(file.path());
        }
    }
}
