//! The executable's hidden mode: become a worker by loading libpython.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::boot::{BOOT, WITHOUT_SITE};
use crate::sys::library;

/// The name of a worker in `ps`, for people.
const TITLE: &str = "lowmem-serve: worker";

/// The first argument of the hidden mode. No application has this name: it has no colon.
const WORKER: &str = "__worker";

/// The same where Python begins without `site`.
const BARE: &str = "__worker-without-site";

/// This executable itself, not what its path has become by now: after an upgrade in place, old
/// supervisors keep starting old workers.
const THIS_EXECUTABLE: &str = "/proc/self/exe";

/// `lowmem-serve __worker LIBPYTHON PYTHON`, to which BOOT's arguments are added.
pub(super) fn command(libpython: &Path, python: &Path, without_site: bool) -> Command {
    let mode = if without_site { BARE } else { WORKER };
    let mut command = Command::new(THIS_EXECUTABLE);
    command.arg0(TITLE).arg(mode).arg(libpython).arg(python);
    command
}

/// Whether argv is that of the hidden mode.
pub fn is_worker(argv: &[OsString]) -> bool {
    argv.len() == 6 && (argv[1] == WORKER || argv[1] == BARE)
}

/// Loads libpython and runs the worker in it. Returns only if that fails.
///
/// `argv[0]` of Python is the environment's `python`, from which it finds `sys.executable`,
/// `sys.prefix` and a venv as if it had been started by that path.
pub fn become_worker(argv: Vec<OsString>) -> io::Result<Infallible> {
    // Shown by `ps -e` and `top`, where an executable started through /proc/self is called "exe".
    rustix::thread::set_name(c"lowmem-serve")?;
    let flag = argv.get(1).is_some_and(|mode| mode == BARE);
    let flag = flag.then(|| WITHOUT_SITE.into());
    let mut words = argv.into_iter().skip(2);
    let libpython = words.next().unwrap_or_default();
    let python = words.next().unwrap_or_default();
    let program = ["-c".into(), BOOT.into()].into_iter().chain(words);
    let python_argv = std::iter::once(python).chain(flag).chain(program);
    let python_argv: Result<Vec<CString>, _> = python_argv
        .map(|word| CString::new(word.into_vec()))
        .collect();
    library::run_python(Path::new(&libpython), python_argv?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_is_not_taken_for_a_worker() {
        let argv = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(!is_worker(&argv(&["lowmem-serve", "app:app"])));
        assert!(!is_worker(&argv(&["lowmem-serve", "__worker"])));
        for mode in [WORKER, BARE] {
            assert!(is_worker(&argv(&["x", mode, "lib", "python", "core", "3"])));
        }
    }
}
