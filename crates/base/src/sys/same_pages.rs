//! Pages with the same contents, which the kernel merges (KSM, `CONFIG_KSM`) where a process allows it.

use std::fs;
use std::io;

/// 1 while the kernel's thread looks for such pages.
const RUN: &str = "/sys/kernel/mm/ksm/run";

/// Allows it for all memory of this process, and of those that it forks.
///
/// # Errors
/// The kernel is older than 6.4, or was built without KSM.
pub fn merge() -> io::Result<()> {
    // SAFETY: no pointers are passed; the other arguments must be zero.
    match unsafe { libc::prctl(libc::PR_SET_MEMORY_MERGE, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Why pages are not merged, whatever processes allow, and what to do about it.
#[must_use]
pub fn obstacle() -> Option<String> {
    reason(fs::read_to_string(RUN).ok().as_deref())
}

fn reason(run: Option<&str>) -> Option<String> {
    match run.map(str::trim) {
        Some("1") => None,
        Some(_) => Some(format!("the kernel does not look for them; echo 1 > {RUN}")),
        None => Some("this kernel was built without CONFIG_KSM".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_needs_a_kernel_that_has_it_and_looks() {
        assert_eq!(reason(Some("1\n")), None);
        assert!(reason(Some("0\n")).is_some_and(|why| why.contains("echo 1")));
        assert!(reason(Some("2\n")).is_some_and(|why| why.contains("echo 1")));
        assert!(reason(None).is_some_and(|why| why.contains("CONFIG_KSM")));
    }
}
