//! The import string of an application, `module:attribute`, and guesses at the one that was meant.
//!
//! Files are looked at, never run: a guess must not do what the application does when it is imported.

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

/// The names that are tried where no maker is seen.
const USUAL_NAMES: [&str; 3] = ["app", "application", "api"];

/// The arguments that would start what `typed` seems to mean, where that is no `module:attribute`:
/// the path of a file, or a module alone.
pub fn meant_instead(typed: &str, directory: &Path) -> Option<String> {
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
}

/// The arguments that would start an application in this directory, if one of the usual files has one.
pub fn found_in(directory: &Path) -> Option<String> {
    USUAL_FILES.iter().find_map(|file| {
        let path = Path::new(file);
        let attribute = made_in(&directory.join(path))?;
        arguments(path, Some(&attribute), directory)
    })
}

/// `--app-dir src main:app` for the attribute of a file, or for the one that is seen in it.
fn arguments(path: &Path, attribute: Option<&str>, directory: &Path) -> Option<String> {
    let file = directory.join(path);
    if !file.is_file() {
        return None;
    }
    let attribute = match attribute {
        Some(attribute) => attribute.to_owned(),
        None => made_in(&file)
            .or_else(|| usual_in(&file))
            .unwrap_or_else(|| USUAL_NAMES[0].to_owned()),
    };
    let mut names: Vec<&str> = Vec::new();
    let stem = path.with_extension("");
    for component in stem.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_str()?),
            // Somewhere else: the directory has to be said.
            _ => return outside(path, &attribute),
        }
    }
    let module = names.pop()?;
    let folder = names.join("/");
    // A folder that is a package is part of the module's name; `src` is a place to look in.
    let is_package = folder.is_empty() || directory.join(&folder).join("__init__.py").is_file();
    if is_package || folder == "app" {
        names.push(module);
        return Some(format!("{}:{attribute}", names.join(".")));
    }
    Some(format!("--app-dir {folder} {module}:{attribute}"))
}

fn outside(path: &Path, attribute: &str) -> Option<String> {
    let folder = path.parent()?.to_str()?;
    let module = path.file_stem()?.to_str()?;
    Some(format!("--app-dir {folder} {module}:{attribute}"))
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
            ("site/__init__.py", ""),
            ("site/wsgi.py", "application = get_wsgi_application()\n"),
        ];
        let root = tree("paths", &files);
        for (typed, meant) in [
            ("app.py", "app:app"),
            ("./app.py", "app:app"),
            ("app", "app:app"),
            ("bare", "bare:application"),
            ("app:", "app:app"),
            ("app.py:api", "app:api"),
            ("web.py", "web:server"),
            ("src/api.py:api", "--app-dir src api:api"),
            ("src/api", "--app-dir src api:server"),
            ("site/wsgi.py", "site.wsgi:application"),
            ("site.wsgi", "site.wsgi:application"),
        ] {
            assert_eq!(
                meant_instead(typed, &root).as_deref(),
                Some(meant),
                "{typed}"
            );
        }
        for typed in ["nowhere.py", "nowhere", ":app", ""] {
            assert_eq!(meant_instead(typed, &root), None, "{typed}");
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn an_application_is_found_where_it_usually_is() {
        let text = "import fastapi\n\napi: fastapi.FastAPI = fastapi.FastAPI(\n    title='x')\n";
        let root = tree("usual", &[("app/main.py", text), ("server.py", "x = 1\n")]);
        assert_eq!(found_in(&root).as_deref(), Some("app.main:api"));
        fs::remove_dir_all(root).unwrap();
    }
}
