//! `lowmem-serve exec`: a Python program that starts Uvicorn, under this server.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use super::refused;
use super::serve::{CORE_VARIABLE, PACKAGE_VARIABLE};
use crate::cli::Exec;
use crate::environment::{self, Search};
use crate::exit::Exit;
use crate::surroundings::Surroundings;

/// The program that the environment's Python runs: the package is ours, and need not be installed there.
const PROGRAM: &str = "\
import sys
from importlib.util import module_from_spec, spec_from_file_location
directory, flags = sys.argv[1], int(sys.argv[2])
given, command = sys.argv[3 : 3 + flags], sys.argv[3 + flags :]
del sys.path[0]
spec = spec_from_file_location('lowmem_serve', directory + '/__init__.py', submodule_search_locations=[directory])
sys.modules['lowmem_serve'] = package = module_from_spec(spec)
spec.loader.exec_module(package)
from lowmem_serve import executing
executing.start(given, command)
";

/// Names this executable to the package.
const EXECUTABLE_VARIABLE: &str = "LOWMEM_SERVE_EXECUTABLE";

/// Becomes the Python that runs the program, which becomes the server.
pub(super) fn run(asked: &Exec, around: &Surroundings) -> Exit {
    let (flags, command) = divided(&asked.words);
    if command.is_empty() {
        eprintln!(
            "error: the program is missing: lowmem-serve exec [FLAGS --] PROGRAM [ARGUMENTS]"
        );
        return Exit::Usage;
    }
    match prepared(asked, flags, command, around) {
        // It returns only if there is no Python to become.
        Ok(mut python) => refused(&python.exec()),
        Err(reason) => refused(&reason),
    }
}

/// The server's flags before `--`, and the program.
fn divided(words: &[String]) -> (&[String], &[String]) {
    let is_flag = words.first().is_some_and(|first| first.starts_with('-'));
    match words.iter().position(|word| word == "--") {
        Some(at) if is_flag => (&words[..at], &words[at + 1..]),
        _ => (&[], words),
    }
}

fn prepared(
    asked: &Exec,
    flags: &[String],
    command: &[String],
    around: &Surroundings,
) -> Result<Command, Box<dyn std::error::Error>> {
    let named = |variable| around.variable(variable).map(PathBuf::from);
    let search = Search::from(asked.python.clone(), around);
    let python = search.find()?.python;
    let core = environment::find_core(named(CORE_VARIABLE), &search.executables)?;
    let package = environment::find_package(named(PACKAGE_VARIABLE), &core, &search.executables)?;
    let mut process = Command::new(python);
    process
        .args(["-c", PROGRAM])
        .arg(package)
        .arg(flags.len().to_string())
        .args(flags)
        .args(command);
    if let Some(executable) = &around.executable {
        process.env(EXECUTABLE_VARIABLE, executable);
    }
    Ok(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_before_two_dashes() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (typed, flags, program) in [
            ("datasette serve", 0, 2),
            ("--workers 2 -- datasette serve", 2, 2),
            ("datasette -- x", 0, 3),
            ("-- datasette", 0, 1),
        ] {
            let words = words(typed);
            let (given, command) = divided(&words);
            assert_eq!((given.len(), command.len()), (flags, program), "{typed}");
        }
    }
}
