//! `--static /path=directory;option…`: directories that are served without the application.

use std::path::{Component, Path};

use super::Mount;
use super::mistakes::Mistakes;
use crate::cli::Files;

/// The file that is served for a directory, unless another name is given.
const INDEX: &str = "index.html";

/// The mounts that the flags name; relative directories begin at the working directory.
pub(super) fn meant(typed: &Files, working: &Path, mistakes: &mut Mistakes) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for text in &typed.mounts {
        let known = |prefix: &str| mounts.iter().any(|mount| mount.prefix == prefix);
        match parse(text, working).and_then(|mount| exists(&mount).map(|()| mount)) {
            Ok(mount) if known(&mount.prefix) => {
                mistakes.add(
                    "--static",
                    format!("{text:?}: that path has a directory already"),
                );
            }
            Ok(mount) => mounts.push(mount),
            Err(why) => mistakes.add("--static", format!("{text:?}: {why}")),
        }
    }
    mounts
}

fn parse(text: &str, working: &Path) -> Result<Mount, String> {
    let mut parts = text.split(';').map(str::trim);
    let (prefix, directory) = parts
        .next()
        .and_then(|place| place.split_once('='))
        .filter(|(_, directory)| !directory.is_empty())
        .ok_or("a path and a directory are needed: /static=./dir")?;
    let mut mount = Mount {
        prefix: prefix.trim_end_matches('/').to_owned(),
        directory: working.join(directory),
        index: Some(INDEX.to_owned()),
        fallback: None,
        cache_control: None,
        pass: false,
    };
    let segments = mount.prefix.split('/').skip(1);
    if !prefix.starts_with('/') || segments.clone().any(|s| matches!(s, "" | "." | "..")) {
        return Err(format!("{prefix:?} is not a path like /static"));
    }
    for option in parts.filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            None if option == "pass" => mount.pass = true,
            Some(("index", "")) => mount.index = None,
            Some(("index", name)) => mount.index = Some(inside(name)?),
            Some(("fallback", name)) => mount.fallback = Some(inside(name)?),
            Some(("cache", value)) => mount.cache_control = Some(field_value(value)?),
            _ => {
                let choices = "index=NAME, fallback=FILE, cache=VALUE and pass";
                return Err(format!("no option {option:?}; there are {choices}"));
            }
        }
    }
    Ok(mount)
}

/// A relative path that leads down.
fn inside(name: &str) -> Result<String, String> {
    let mut components = Path::new(name).components();
    let leads_down = components.all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !leads_down {
        return Err(format!("{name:?} is not a file in the directory"));
    }
    Ok(name.to_owned())
}

fn field_value(value: &str) -> Result<String, String> {
    let is_text = value.bytes().all(|b| (b' '..=b'~').contains(&b));
    if value.is_empty() || !is_text {
        return Err(format!("{value:?} is not a value of cache-control"));
    }
    Ok(value.to_owned())
}

fn exists(mount: &Mount) -> Result<(), String> {
    let directory = &mount.directory;
    let why = |error: std::io::Error| format!("{}: {error}", directory.display());
    if !directory.metadata().map_err(why)?.is_dir() {
        return Err(format!("{} is not a directory", directory.display()));
    }
    match &mount.fallback {
        Some(name) if !directory.join(name).is_file() => {
            Err(format!("there is no {}", directory.join(name).display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Mount, String> {
        parse(text, Path::new("/srv"))
    }

    #[test]
    fn a_mount_is_a_path_a_directory_and_options() {
        let plain = parsed("/static=./dir").unwrap();
        assert_eq!(plain.prefix, "/static");
        assert_eq!(plain.directory, Path::new("/srv/./dir"));
        assert_eq!(
            (plain.index.as_deref(), plain.pass),
            (Some("index.html"), false)
        );
        let all = "/=/var/www; index=; fallback=app/index.html; cache=public, max-age=60; pass";
        let all = parsed(all).unwrap();
        assert_eq!((all.prefix.as_str(), all.index, all.pass), ("", None, true));
        assert_eq!(all.fallback.as_deref(), Some("app/index.html"));
        assert_eq!(all.cache_control.as_deref(), Some("public, max-age=60"));
        assert_eq!(parsed("/a/b/=x").unwrap().prefix, "/a/b");
        assert_eq!(parsed("/a=x=y").unwrap().directory, Path::new("/srv/x=y"));
    }

    #[test]
    fn what_is_none_is_told() {
        for text in [
            "",
            "/static",
            "/static=",
            "static=dir",
            "=dir",
            "/a//b=dir",
            "/a/../b=dir",
            "/a=dir;what",
            "/a=dir;index=../x",
            "/a=dir;index=/x",
            "/a=dir;fallback=",
            "/a=dir;cache=",
            "/a=dir;cache=\u{e9}",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
