//! The workers' shared object, which is installed with the executable.

use std::fmt;
use std::path::{Path, PathBuf};

/// The name a wheel installs it under.
const INSTALLED: &str = "lowmem_serve/_core.abi3.so";

/// The name Cargo builds it under, beside the executable.
const BUILT: &str = "lib_core.so";

/// The shared object is nowhere, and everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreMissing {
    looked_at: Vec<PathBuf>,
}

/// Finds it: `given` (LOWMEM_SERVE_CORE), else from where the executable is.
pub fn find_core(given: Option<PathBuf>, executables: &[PathBuf]) -> Result<PathBuf, CoreMissing> {
    let looked_at = match given {
        Some(path) => vec![path],
        None => unique(executables.iter().filter_map(|path| path.parent())),
    };
    match looked_at.iter().find(|path| path.is_file()) {
        Some(found) => Ok(std::path::absolute(found).unwrap_or_else(|_| found.clone())),
        None => Err(CoreMissing { looked_at }),
    }
}

/// The places for all of these directories, each once: a link and what it leads to may be in the same.
fn unique<'a>(directories: impl Iterator<Item = &'a Path>) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = Vec::new();
    for place in directories.flat_map(places) {
        if !all.contains(&place) {
            all.push(place);
        }
    }
    all
}

/// Where it can be for an executable in `bin`: built, installed for a Python, or `pip --target`.
fn places(bin: &Path) -> Vec<PathBuf> {
    let prefix = bin.parent().unwrap_or(bin);
    let mut places = vec![bin.join(BUILT)];
    for library in ["lib", "lib64", "local/lib"].map(|name| prefix.join(name)) {
        for python in pythons_in(&library) {
            // Debian's own Python has dist-packages.
            let packages = ["site-packages", "dist-packages"].map(|name| python.join(name));
            places.extend(packages.map(|directory| directory.join(INSTALLED)));
        }
    }
    places.push(prefix.join(INSTALLED));
    places
}

/// `lib/python3*`, the newest last by name; one shared object serves all of them.
fn pythons_in(library: &Path) -> Vec<PathBuf> {
    let Ok(entries) = library.read_dir() else {
        return Vec::new();
    };
    let mut pythons: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"))
        .map(|entry| entry.path())
        .collect();
    pythons.sort();
    pythons
}

impl fmt::Display for CoreMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The workers' shared object is missing. Looked at:")?;
        for path in &self.looked_at {
            write!(f, "\n  {}", path.display())?;
        }
        f.write_str("\nReinstall lowmem-serve, or build all of it with cargo build.")
    }
}

impl std::error::Error for CoreMissing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_venvs_packages_are_found_from_its_bin() {
        let venv = std::env::temp_dir().join(format!("lowmem-serve-core-{}", std::process::id()));
        let core = venv.join("lib/python3.12/site-packages").join(INSTALLED);
        std::fs::create_dir_all(core.parent().unwrap()).unwrap();
        std::fs::write(&core, "").unwrap();
        let found = find_core(None, &[venv.join("bin/lowmem-serve")]);
        std::fs::remove_dir_all(&venv).unwrap();
        assert_eq!(found.unwrap(), core);
    }

    #[test]
    fn a_missing_one_is_told_with_every_place() {
        let error = find_core(None, &[PathBuf::from("/nowhere/bin/lowmem-serve")]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("/nowhere/bin/lib_core.so") && text.contains("/nowhere/lowmem_serve/")
        );
    }
}
