//! The directory of our own Python package, for the features that are written in Python.

use std::fmt;
use std::path::{Path, PathBuf};

/// The file that identifies the package's directory.
const MARK: &str = "__init__.py";

/// Where it is below the root of a source tree.
const IN_TREE: &str = "python/lowmem_serve";

/// The package is nowhere, and everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageMissing {
    looked_at: Vec<PathBuf>,
}

/// Finds it: `given` (LOWMEM_SERVE_PACKAGE), else beside the shared object, where a wheel installs
/// it, else in the source tree that one of the executables was built in.
///
/// It may belong to another environment than the application's: only its source is used, and it
/// keeps to the oldest Python that is supported.
pub fn find_package(
    given: Option<PathBuf>,
    core: &Path,
    executables: &[PathBuf],
) -> Result<PathBuf, PackageMissing> {
    let looked_at = match given {
        Some(path) => vec![path],
        None => places(core, executables),
    };
    match looked_at.iter().find(|path| path.join(MARK).is_file()) {
        Some(found) => Ok(std::path::absolute(found).unwrap_or_else(|_| found.clone())),
        None => Err(PackageMissing { looked_at }),
    }
}

fn places(core: &Path, executables: &[PathBuf]) -> Vec<PathBuf> {
    let installed = core.parent().map(Path::to_owned);
    let trees = executables
        .iter()
        .flat_map(|path| path.ancestors().skip(1))
        .map(|ancestor| ancestor.join(IN_TREE));
    let mut places: Vec<PathBuf> = Vec::new();
    for place in installed.into_iter().chain(trees) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

impl fmt::Display for PackageMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The Python package of lowmem-serve is missing. Looked at:")?;
        for path in &self.looked_at {
            write!(f, "\n  {}", path.display())?;
        }
        f.write_str(
            "\nReinstall lowmem-serve, or name its directory with LOWMEM_SERVE_PACKAGE \
             (in a source tree: python/lowmem_serve).",
        )
    }
}

impl std::error::Error for PackageMissing {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own with these files, removed after `look`.
    fn in_directory<T>(name: &str, files: &[&str], look: impl FnOnce(&Path) -> T) -> T {
        let name = format!("lowmem-serve-{name}-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        for file in files {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let seen = look(&root);
        std::fs::remove_dir_all(&root).unwrap();
        seen
    }

    #[test]
    fn it_is_beside_an_installed_core_or_above_a_built_executable() {
        let files = [
            "site/lowmem_serve/__init__.py",
            "python/lowmem_serve/__init__.py",
        ];
        in_directory("package", &files, |root| {
            let executable = [root.join("target/debug/lowmem-serve")];
            let built = find_package(None, &root.join("target/debug/lib_core.so"), &executable);
            assert_eq!(built.unwrap(), root.join("python/lowmem_serve"));
            let core = root.join("site/lowmem_serve/_core.abi3.so");
            let installed = find_package(None, &core, &executable);
            assert_eq!(installed.unwrap(), root.join("site/lowmem_serve"));
        });
    }

    #[test]
    fn a_directory_that_was_named_is_all_that_is_looked_at() {
        in_directory("named", &["python/lowmem_serve/__init__.py"], |root| {
            let executable = [root.join("target/debug/lowmem-serve")];
            let named = Some(PathBuf::from("/nowhere"));
            let error = find_package(named, &root.join("x.so"), &executable).unwrap_err();
            assert_eq!(error.looked_at, [PathBuf::from("/nowhere")]);
            assert!(error.to_string().contains("LOWMEM_SERVE_PACKAGE"));
        });
    }
}
