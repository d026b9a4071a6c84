//! The Python that a virtual environment is of, and whether its start does no more than find packages.
//!
//! A process of one Python can enter any virtual environment of that Python, as long as nothing runs at the start of one
//! that has to run before the standard library is imported. All of it is read from files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fmt, fs, iter};

use super::{Environment, Linkage, Version};

/// The settings of a virtual environment.
const SETTINGS: &str = "pyvenv.cfg";

/// From 3.14 on Python's own start reads more of them, before `site` does.
const NEWEST: Version = Version {
    major: 3,
    minor: 13,
};

/// Modules that a start imports if they are there.
const CUSTOMIZED: [&str; 2] = ["sitecustomize", "usercustomize"];

/// The Python that virtual environments are of. All of which this is the same begin alike, up to `site`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    home: PathBuf,
    executable: PathBuf,
    /// `python` or `python3`: `sys._base_executable` goes by it.
    name: OsString,
    linkage: Linkage,
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.home.join(&self.name).display())
    }
}

impl Environment {
    /// The Python that it is a virtual environment of.
    ///
    /// # Errors
    /// Why a process that has begun in another one cannot become one of this.
    pub fn base(&self) -> Result<Base, String> {
        if self.version > NEWEST {
            return Err(format!("it is of CPython {}", self.version));
        }
        let bin = self.python.parent().unwrap_or(Path::new("/"));
        let prefix = bin.parent().unwrap_or(Path::new("/"));
        let mut settings = [bin, prefix].into_iter();
        let settings = settings.find_map(|place| fs::read_to_string(place.join(SETTINGS)).ok());
        let settings = settings.ok_or("it is no virtual environment")?;
        let home = home(&settings)?;
        for library in ["lib", "lib64"] {
            let version = format!("python{}", self.version);
            let packages = prefix.join(library).join(version).join("site-packages");
            if let Some(odd) = runs_at_start(&packages) {
                return Err(odd);
            }
        }
        let executable = self.python.canonicalize();
        Ok(Base {
            home,
            executable: executable.map_err(|error| error.to_string())?,
            name: self.python.file_name().unwrap_or_default().to_owned(),
            linkage: self.linkage.clone(),
        })
    }
}

/// Where the Python is, which `site` and Python's start read from the settings.
fn home(settings: &str) -> Result<PathBuf, String> {
    let pairs = settings.lines().filter_map(|line| line.split_once('='));
    let pairs: Vec<_> = pairs
        .map(|(key, value)| (key.trim().to_lowercase(), value.trim()))
        .collect();
    let value = |wanted: &str| {
        let mut found = pairs.iter().filter(|(key, _)| key == wanted);
        found.next_back().map(|(_, value)| *value)
    };
    match value("include-system-site-packages") {
        Some(value) if value.eq_ignore_ascii_case("false") => {}
        _ => return Err("it has the packages of the system, too".to_owned()),
    }
    let home = value("home").ok_or("its pyvenv.cfg has no home")?;
    Ok(home.into())
}

/// The first thing that runs at a start and is not known to do nothing but find packages.
fn runs_at_start(packages: &Path) -> Option<String> {
    if let Some(module) = customized(packages) {
        return Some(module);
    }
    let files = fs::read_dir(packages).into_iter().flatten().flatten();
    for file in files.map(|entry| entry.path()) {
        if file.extension().is_none_or(|extension| extension != "pth") {
            continue;
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let Ok(text) = fs::read(&file) else {
            return Some(format!("{} cannot be read", file.display()));
        };
        for line in String::from_utf8_lossy(&text).lines() {
            let is_code = line.starts_with("import ") || line.starts_with("import\t");
            if is_code && !only_finds(&name, line) {
                return Some(format!("{} runs at its start", file.display()));
            }
            let is_path = !is_code && !line.starts_with('#') && !line.trim().is_empty();
            if is_path && let Some(module) = customized(&packages.join(line.trim_end())) {
                return Some(module);
            }
        }
    }
    None
}

/// Whether a line of a `.pth` file is one of those that only tell later imports where modules are.
fn only_finds(file: &str, line: &str) -> bool {
    let (file, line) = (file.trim_end_matches(".pth"), line.trim());
    // virtualenv and uv; setuptools, for itself and for packages that are installed as editable; namespace packages.
    line == "import _virtualenv"
        || (file == "distutils-precedence" && line.contains("'_distutils_hack'"))
        || (file.starts_with("__editable__") && line.starts_with("import __editable__"))
        || (file.ends_with("-nspkg") && line.starts_with("import sys, types, os;"))
}

fn customized(directory: &Path) -> Option<String> {
    let files = CUSTOMIZED.iter().flat_map(|module| {
        let package = directory.join(module);
        iter::once(directory.join(format!("{module}.py"))).chain([package])
    });
    let mut found = files.filter(|path| path.exists());
    let found = found.next()?;
    Some(format!("{} runs at its start", found.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A virtual environment with these files in its site-packages.
    fn base(test: &str, settings: &str, files: &[(&str, &str)]) -> Result<Base, String> {
        let root = std::env::temp_dir().join(format!("lowmem-base-{test}-{}", std::process::id()));
        let packages = root.join("lib/python3.12/site-packages");
        fs::create_dir_all(&packages).unwrap();
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::write(root.join("bin/python"), "").unwrap();
        fs::write(root.join(SETTINGS), settings).unwrap();
        for (name, text) in files {
            fs::write(packages.join(name), text).unwrap();
        }
        let environment = Environment {
            python: root.join("bin/python"),
            version: Version::parse("3.12").unwrap(),
            linkage: Linkage::Static,
        };
        let base = environment.base();
        fs::remove_dir_all(&root).unwrap();
        base
    }

    const PLAIN: &str = "home = /opt/python/bin\nInclude-System-Site-Packages = false\n";

    #[test]
    fn one_that_only_finds_packages_has_a_base() {
        let files = [
            ("_virtualenv.pth", "import _virtualenv"),
            (
                "distutils-precedence.pth",
                "import os; __import__('_distutils_hack')",
            ),
            (
                "__editable__.shop-1.pth",
                "import __editable___shop_1_finder; x()",
            ),
            ("zope-nspkg.pth", "import sys, types, os;has_mfs = 1"),
            ("paths.pth", "# a comment\n\n/nowhere\n"),
        ];
        let found = base("plain", PLAIN, &files).unwrap();
        assert_eq!(found.home, Path::new("/opt/python/bin"));
        assert_eq!(found.name, "python");
    }

    #[test]
    fn one_whose_start_runs_something_has_none() {
        for (test, files) in [
            (
                "pth",
                [("a.pth", "# x\nimport coverage; coverage.process_startup()")],
            ),
            ("custom", [("sitecustomize.py", "")]),
            ("false", [("shop.pth", "import _virtualenv; more()")]),
        ] {
            let why = base(test, PLAIN, &files).unwrap_err();
            assert!(why.contains("runs at its start"), "{why}");
        }
    }

    #[test]
    fn one_with_the_packages_of_the_system_has_none() {
        let system = "home = /usr/bin\ninclude-system-site-packages = true\n";
        assert!(base("system", system, &[]).is_err());
        assert!(base("unsaid", "home = /usr/bin\n", &[]).is_err());
        assert!(base("homeless", "include-system-site-packages = false\n", &[]).is_err());
    }
}
