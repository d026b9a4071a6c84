//! The import string of an application, `module:attribute`, and guesses at the one that was meant.
//!
//! Files are looked at, never run: a guess must not do what the application does when it is imported.

use std::fmt;
use std::path::{Component, Path};

/// Where an application usually is, below the working directory.
const USUAL_FILES: [&str; 9] = [
    "main.py",
    "app.py",
    "asgi.py",
    "wsgi.py",
    "server.py",
    "application.py",
    "app/main.py",
    "src/main.py",
    "src/app.py",
];

/// Where it is in a package that is named alone.
const FILES_OF_PACKAGES: [&str; 5] = ["__init__.py", "main.py", "app.py", "asgi.py", "wsgi.py"];

/// The classes and functions that make an application, in common frameworks.
const MAKERS: [&str; 14] = [
    "FastAPI",
    "Quart",
    "Starlette",
    "Litestar",
    "Flask",
    "Sanic",
    "Blacksheep",
    "Falcon",
    "App",
    "ASGIApp",
    "Connexion",
    "AsyncApp",
    "get_asgi_application",
    "get_wsgi_application",
];

/// A function that returns the application, where the module has none.
const FACTORY: &str = "create_app";

/// The names that are tried where no maker is seen.
const USUAL_NAMES: [&str; 3] = ["app", "application", "api"];

/// An application as it would have to be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    /// Where its module is, if not in the directory itself.
    pub app_dir: Option<String>,
    /// `module:attribute`
    pub app: String,
    /// The attribute is a function that returns it.
    pub is_factory: bool,
}

/// The arguments that start it: `--app-dir src main:app`.
impl fmt::Display for Meant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(folder) = &self.app_dir {
            write!(f, "--app-dir {folder} ")?;
        }
        if self.is_factory {
            f.write_str("--factory ")?;
        }
        f.write_str(&self.app)
    }
}

/// The arguments that would start what `typed` seems to mean, where that is no `module:attribute`:
/// the path of a file, a module or a package alone, or a dot in place of the colon.
pub fn meant_instead(typed: &str, directory: &Path) -> Option<Meant> {
    let (place, attribute) = match typed.rsplit_once(':') {
        Some((place, attribute)) if !attribute.is_empty() => (place, Some(attribute)),
        Some((place, _)) => (place, None),
        None => (typed, None),
    };
    let path = if place.ends_with(".py") || place.contains('/') {
        Path::new(place).with_extension("py")
    } else if attribute.is_none() && !place.is_empty() {
        Path::new(&place.replace('.', "/")).with_extension("py")
    } else {
        return None;
    };
    arguments(&path, attribute, directory)
        .or_else(|| in_package(&path.with_extension(""), directory).filter(|_| attribute.is_none()))
        .or_else(|| {
            let (module, attribute) = place.rsplit_once('.').filter(|_| attribute.is_none())?;
            let path = Path::new(&module.replace('.', "/")).with_extension("py");
            arguments(&path, Some(attribute), directory)
        })
}

/// The arguments that would start the application of a package, if one is seen in it.
fn in_package(package: &Path, directory: &Path) -> Option<Meant> {
    let mut files = FILES_OF_PACKAGES.iter().map(|file| package.join(file));
    let file = files.find(|file| is_served(&directory.join(file)))?;
    arguments(&file, None, directory)
}

/// Whether something that could be an application is seen in a file.
fn is_served(file: &Path) -> bool {
    made_in(file).is_some() || usual_in(file).is_some() || has_factory(file)
}

/// The arguments that would start an application in this directory, if one of the usual files has one.
pub fn found_in(directory: &Path) -> Option<Meant> {
    let made = USUAL_FILES.iter().find_map(|file| {
        let path = Path::new(file);
        let attribute = made_in(&directory.join(path))?;
        arguments(path, Some(&attribute), directory)
    });
    made.or_else(|| {
        let mut files = USUAL_FILES.iter().map(Path::new);
        let file = files.find(|path| is_served(&directory.join(path)))?;
        arguments(file, None, directory)
    })
}

/// The attribute of a file, or the one that is seen in it.
fn arguments(path: &Path, attribute: Option<&str>, directory: &Path) -> Option<Meant> {
    let file = directory.join(path);
    if !file.is_file() {
        return None;
    }
    let seen = || made_in(&file).or_else(|| usual_in(&file));
    let (attribute, is_factory) = match attribute {
        Some(attribute) => (attribute.to_owned(), false),
        None => match seen() {
            Some(attribute) => (attribute, false),
            None if has_factory(&file) => (FACTORY.to_owned(), true),
            None => (USUAL_NAMES[0].to_owned(), false),
        },
    };
    let meant = |app_dir: Option<&str>, module: &str| Meant {
        app_dir: app_dir.map(str::to_owned),
        app: format!("{module}:{attribute}"),
        is_factory,
    };
    let mut names: Vec<&str> = Vec::new();
    let stem = path.with_extension("");
    for component in stem.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_str()?),
            // Somewhere else: the directory has to be said.
            _ => {
                let folder = path.parent()?.to_str()?;
                return Some(meant(Some(folder), path.file_stem()?.to_str()?));
            }
        }
    }
    let module = match names.pop()? {
        "__init__" => names.pop()?,
        module => module,
    };
    let folder = names.join("/");
    // A folder that is a package is part of the module's name; `src` is a place to look in.
    let is_package = folder.is_empty() || directory.join(&folder).join("__init__.py").is_file();
    if is_package || folder == "app" {
        names.push(module);
        return Some(meant(None, &names.join(".")));
    }
    Some(meant(Some(&folder), module))
}

/// Whether a file has a factory at its top level that needs no arguments.
fn has_factory(file: &Path) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().any(|line| {
        let rest = line
            .strip_prefix("def ")
            .and_then(|rest| rest.strip_prefix(FACTORY));
        let inside = rest.and_then(|rest| rest.trim_start().strip_prefix('('));
        let arguments = inside
            .and_then(|inside| inside.split(')').next())
            .unwrap_or("needs");
        inside.is_some()
            && arguments
                .split(',')
                .all(|one| one.trim().is_empty() || one.contains('='))
    })
}

/// The name that a file binds to a new application at its top level.
fn made_in(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        // `app: FastAPI = FastAPI()`
        let name = name.split(':').next()?.trim_end();
        let maker = value.split('(').next()?.trim();
        let maker = maker.rsplit('.').next()?;
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let is_made = value.contains('(') && MAKERS.contains(&maker);
        (is_made && !name.is_empty() && name.chars().all(is_name)).then(|| name.to_owned())
    })
}

/// The usual name that a file binds to something else at its top level: a function, for example.
fn usual_in(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let binds = |line: &str, name: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let rest = line.strip_prefix("def ").unwrap_or(line).strip_prefix(name);
        rest.is_some_and(|rest| rest.trim_start().starts_with(['(', '=', ':']))
    };
    let found = USUAL_NAMES
        .iter()
        .find(|name| text.lines().any(|line| binds(line, name)));
    found.map(|name| (*name).to_owned())
}

/// Of the names that can be served the one that is most likely meant.
pub fn nearest<'a>(wanted: &str, names: &'a [String]) -> Option<&'a String> {
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let named = names.iter().find(|name| same(name, wanted));
    let usual = || {
        let mut usual = USUAL_NAMES.iter();
        usual.find_map(|usual| names.iter().find(|name| same(name, usual)))
    };
    named.or_else(usual).or_else(|| names.first())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn tree(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("lowmem-serve-{}-{name}", std::process::id()));
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn a_path_means_its_module() {
        let quart = "from quart import Quart\nserver = Quart(__name__)\n";
        let files = [
            ("app.py", ""),
            ("web.py", quart),
            ("src/api.py", quart),
            (
                "bare.py",
                "def application(environ, start_response):\n    pass\n",
            ),
            (
                "made.py",
                "def create_app(config=None) -> Flask:\n    return 1\n",
            ),
            ("needy.py", "def create_app(config):\n    return 1\n"),
            ("site/__init__.py", ""),
            ("site/wsgi.py", "application = get_wsgi_application()\n"),
        ];
        let files = files
            .into_iter()
            .chain([("package/__init__.py", "api = FastAPI()\n")]);
        let root = tree("paths", &files.collect::<Vec<_>>());
        for (typed, meant) in [
            ("app.py", "app:app"),
            ("./app.py", "app:app"),
            ("app", "app:app"),
            ("bare", "bare:application"),
            ("app:", "app:app"),
            ("app.py:api", "app:api"),
            ("made.py", "--factory made:create_app"),
            ("needy.py", "needy:app"),
            ("web.py", "web:server"),
            ("src/api.py:api", "--app-dir src api:api"),
            ("src/api", "--app-dir src api:server"),
            ("site/wsgi.py", "site.wsgi:application"),
            ("site.wsgi", "site.wsgi:application"),
            ("site", "site.wsgi:application"),
            ("package/", "package:api"),
            ("web.server", "web:server"),
            ("site.wsgi.other", "site.wsgi:other"),
        ] {
            let instead = meant_instead(typed, &root).map(|meant| meant.to_string());
            assert_eq!(instead.as_deref(), Some(meant), "{typed}");
        }
        for typed in ["nowhere.py", "nowhere", "no.where", ":app", ""] {
            assert_eq!(meant_instead(typed, &root), None, "{typed}");
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn an_application_is_found_where_it_usually_is() {
        let text = "import fastapi\n\napi: fastapi.FastAPI = fastapi.FastAPI(\n    title='x')\n";
        let root = tree("usual", &[("app/main.py", text), ("server.py", "x = 1\n")]);
        let found = found_in(&root).map(|meant| meant.to_string());
        assert_eq!(found.as_deref(), Some("app.main:api"));
        fs::remove_dir_all(root).unwrap();
    }
}
