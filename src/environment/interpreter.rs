//! One interpreter: its version, and whether its code is in a libpython.

use std::path::{Path, PathBuf};

use super::ask::ask;
use super::elf::{self, Dynamic, Kind};
use super::target::{Environment, Linkage, OLDEST, Version};

/// Finds out how `python` is built, or says why it cannot run a worker.
pub(super) fn inspect(python: &Path) -> Result<Environment, String> {
    let environment = match look(python)? {
        Some(environment) => environment,
        // A pyenv shim: a script that starts the interpreter chosen for this directory.
        None => {
            let real = ask(python)?.executable;
            look(&real)?.ok_or_else(|| format!("{} is not an ELF executable", real.display()))?
        }
    };
    if environment.version < OLDEST {
        let version = environment.version;
        return Err(format!(
            "it is CPython {version}, and {OLDEST} is the oldest that works"
        ));
    }
    Ok(environment)
}

fn look(python: &Path) -> Result<Option<Environment>, String> {
    let resolved = python.canonicalize().map_err(|error| error.to_string())?;
    let Kind::Elf(dynamic) = elf::read(&resolved)? else {
        return Ok(None);
    };
    let soname = dynamic
        .needed
        .iter()
        .find(|name| name.starts_with("libpython"));
    let (version, linkage) = match soname {
        Some(soname) => {
            let library = locate(soname, &dynamic, &resolved);
            (version_of_library(soname)?, Linkage::Shared(library))
        }
        None => (version_of_executable(python, &resolved)?, Linkage::Static),
    };
    let python = python.to_owned();
    Ok(Some(Environment {
        python,
        version,
        linkage,
    }))
}

/// `libpython3.11.so.1.0` is 3.11. A free-threaded build (`3.13t`) has another ABI.
fn version_of_library(soname: &str) -> Result<Version, String> {
    let number = soname
        .trim_start_matches("libpython")
        .split(".so")
        .next()
        .unwrap_or_default();
    let version = Version::parse(number.trim_end_matches(|c: char| c.is_ascii_alphabetic()));
    if number.ends_with('t') {
        return Err(format!(
            "{soname} is a free-threaded build, which is not supported"
        ));
    }
    version.ok_or_else(|| format!("{soname} is of no known version"))
}

fn version_of_executable(python: &Path, resolved: &Path) -> Result<Version, String> {
    let name = resolved.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with('t') {
        return Err(format!(
            "{name} is a free-threaded build, which is not supported"
        ));
    }
    let from_name = name.strip_prefix("python").and_then(Version::parse);
    if let Some(version) = from_name.or_else(|| version_of_venv(python)) {
        return Ok(version);
    }
    let answer = ask(python)?.version;
    Version::parse(&answer).ok_or_else(|| format!("it calls its version {answer:?}"))
}

/// `version = 3.11.7` (venv) or `version_info = 3.11.7.final.0` (virtualenv) in pyvenv.cfg.
fn version_of_venv(python: &Path) -> Option<Version> {
    let settings = std::fs::read_to_string(python.parent()?.parent()?.join("pyvenv.cfg")).ok()?;
    let mut pairs = settings.lines().filter_map(|line| line.split_once('='));
    let (_, version) = pairs.find(|(key, _)| matches!(key.trim(), "version" | "version_info"))?;
    Version::parse(version)
}

/// The library's path, where the dynamic linker would look for this executable; failing that its
/// bare name, which is looked up in the system's directories.
fn locate(soname: &str, dynamic: &Dynamic, resolved: &Path) -> PathBuf {
    let origin = resolved.parent().unwrap_or(Path::new("/"));
    let expand = |directory: &String| {
        let origin = &origin.to_string_lossy();
        PathBuf::from(
            directory
                .replace("${ORIGIN}", origin)
                .replace("$ORIGIN", origin),
        )
    };
    let run_paths = dynamic.run_paths.iter().map(expand);
    // A tree that was moved after it was built: beside its own bin.
    let beside = origin.parent().map(|prefix| prefix.join("lib"));
    let found = run_paths
        .chain(beside)
        .map(|directory| directory.join(soname))
        .find(|path| path.exists());
    found.unwrap_or_else(|| PathBuf::from(soname))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_sonames() {
        let version = version_of_library("libpython3.12.so.1.0").unwrap();
        assert_eq!(version.to_string(), "3.12");
        assert_eq!(version_of_library("libpython3.11d.so.1.0").unwrap(), OLDEST);
        assert!(
            version_of_library("libpython3.13t.so.1.0")
                .unwrap_err()
                .contains("free-threaded")
        );
        assert!(version_of_library("libpython.so").is_err());
    }

    #[test]
    fn the_origin_is_the_resolved_executables_directory() {
        let root = std::env::temp_dir().join(format!("lowmem-serve-elf-{}", std::process::id()));
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::create_dir_all(root.join("shared")).unwrap();
        std::fs::write(root.join("shared/libpython3.11.so.1.0"), "").unwrap();
        let dynamic = Dynamic {
            needed: Vec::new(),
            run_paths: vec!["$ORIGIN/../shared".to_owned()],
        };
        let found = locate(
            "libpython3.11.so.1.0",
            &dynamic,
            &root.join("bin/python3.11"),
        );
        let missing = locate(
            "libpython3.12.so.1.0",
            &dynamic,
            &root.join("bin/python3.12"),
        );
        std::fs::remove_dir_all(&root).unwrap();
        assert!(found.ends_with("bin/../shared/libpython3.11.so.1.0"));
        assert_eq!(missing, Path::new("libpython3.12.so.1.0"));
    }

    #[test]
    fn the_pythons_of_this_machine_are_understood() {
        let names = ["python3.11", "python3.12", "python3.13", "python3.14"];
        for directory in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
            for python in names
                .map(|name| directory.join(name))
                .iter()
                .filter(|path| path.exists())
            {
                // A shim of a version that is not chosen here answers with an error.
                if let Ok(environment) = inspect(python) {
                    let name = format!("python{}", environment.version);
                    assert_eq!(python.file_name().unwrap().to_string_lossy(), name);
                }
            }
        }
    }
}
