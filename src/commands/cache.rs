//! `lowmem-serve cache`: what the caches on disk hold, and emptying one.

use std::path::{Path, PathBuf};

use lowmem_serve_cache::{Store, names};
use serde::Serialize;

use super::{refused, write};
use crate::cli::{CacheAction, CacheCommand};
use crate::exit::Exit;
use crate::figures::Megabytes;
use crate::surroundings::Surroundings;

#[derive(Serialize)]
struct Line {
    name: String,
    entries: u64,
    disk: u64,
    size: u64,
}

/// Shows the caches, or empties one.
pub(super) fn run(asked: &CacheCommand, around: &Surroundings) -> Exit {
    let Some(directory) = directory(asked, around) else {
        return refused(&"--cache-dir is missing, and neither $XDG_CACHE_HOME nor $HOME is set");
    };
    match &asked.action {
        Some(CacheAction::Clear { name }) => clear(&directory, name),
        Some(CacheAction::Stats { json }) => stats(&directory, *json),
        None => stats(&directory, false),
    }
}

/// The directory that `lowmem_serve.cache` would take.
fn directory(asked: &CacheCommand, around: &Surroundings) -> Option<PathBuf> {
    let given = asked.cache_dir.clone().or_else(|| {
        let systemds = around.variable("CACHE_DIRECTORY")?;
        systemds.split(':').next().map(PathBuf::from)
    });
    let own = || {
        let home = || Some(Path::new(&around.variable("HOME")?).join(".cache"));
        let caches = around.variable("XDG_CACHE_HOME").map(PathBuf::from);
        Some(caches.or_else(home)?.join("lowmem-serve"))
    };
    Some(around.directory.join(given.or_else(own)?))
}

fn clear(directory: &Path, name: &str) -> Exit {
    let found = names(directory).unwrap_or_default();
    if !found.iter().any(|found| found == name) {
        let there = if found.is_empty() {
            "none".to_owned()
        } else {
            found.join(", ")
        };
        return refused(&format!(
            "there is no cache {name} in {}; there is: {there}",
            directory.display()
        ));
    }
    let cleared = Store::open_existing(&directory.join(name));
    match cleared.map(|mut store| store.clear()) {
        Ok(Ok(())) => Exit::Stopped,
        Ok(Err(error)) => refused(&error),
        Err(error) => refused(&error),
    }
}

fn stats(directory: &Path, json: bool) -> Exit {
    let mut lines = Vec::new();
    for name in names(directory).unwrap_or_default() {
        match Store::open_existing(&directory.join(&name)) {
            Ok(mut store) => {
                let stats = store.stats();
                lines.push(Line {
                    name,
                    entries: stats.entries,
                    disk: stats.disk,
                    size: stats.size,
                });
            }
            Err(error) => return refused(&error),
        }
    }
    if json {
        // Numbers and texts always serialise.
        return write((serde_json::to_string_pretty(&lines).unwrap_or_default() + "\n").as_bytes());
    }
    if lines.is_empty() {
        return write(format!("No cache in {}\n", directory.display()).as_bytes());
    }
    let mut text = format!(
        "{:<24}{:>12}{:>12}{:>12}\n",
        "CACHE", "ENTRIES", "ON DISK", "SIZE"
    );
    for line in lines {
        let (disk, size) = (Megabytes(line.disk), Megabytes(line.size));
        let (disk, size) = (format!("{disk} MB"), format!("{size} MB"));
        text += &format!(
            "{:<24}{:>12}{disk:>12}{size:>12}\n",
            line.name, line.entries
        );
    }
    write(text.as_bytes())
}
