//! The application, and how it is called.

use std::path::{Path, PathBuf};

use super::mistakes::Mistakes;
use super::{ApplicationSettings, Interface, Lifespan, Loop, is_on, jobs, lazy_imports, sleeping};
use crate::cli::{Flags, InterfaceWord, LifespanWord};
use crate::surroundings::Surroundings;

/// The meaning of the flags. A heap that `is_counted` is not frozen: frozen objects are out of the
/// collector's sight and cannot be counted.
pub(super) fn meant(
    flags: &Flags,
    is_counted: bool,
    around: &Surroundings,
    mistakes: &mut Mistakes,
) -> ApplicationSettings {
    let typed = &flags.application;
    ApplicationSettings {
        path: flags.app.clone().unwrap_or_default(),
        factory: typed.factory,
        directory: directory(typed.app_dir.as_deref(), around, mistakes),
        argv: around.argv.clone(),
        event_loop: event_loop(&typed.event_loop, mistakes),
        interface: match typed.interface {
            InterfaceWord::Auto => Interface::Auto,
            InterfaceWord::Asgi3 => Interface::Asgi3,
            InterfaceWord::Asgi2 => Interface::Asgi2,
            InterfaceWord::Wsgi => Interface::Wsgi,
        },
        wsgi_threads: typed.wsgi_threads,
        lifespan: match typed.lifespan {
            LifespanWord::Auto => Lifespan::Auto,
            LifespanWord::On => Lifespan::On,
            LifespanWord::Off => Lifespan::Off,
        },
        root_path: typed.root_path.trim_end_matches('/').to_owned(),
        pathsend: flags.files.pathsend,
        gc_freeze: !is_counted && is_on(typed.no_gc_freeze, typed.gc_freeze),
        merges_pages: flags.processes.ksm,
        lazy_imports: lazy_imports::parse(&typed.lazy_imports).unwrap_or_else(|why| {
            mistakes.add("--lazy-imports", why);
            Vec::new()
        }),
        warm_up: sleeping::warm_up(&flags.sleeping, mistakes),
        isolated_template: jobs::isolated_template(&flags.jobs, mistakes),
    }
}

/// Where the application is looked for first. Python's own paths are texts.
fn directory(typed: Option<&Path>, around: &Surroundings, mistakes: &mut Mistakes) -> PathBuf {
    let directory = match typed {
        Some(path) => around.directory.join(path),
        None => around.directory.clone(),
    };
    if directory.to_str().is_none() {
        mistakes.add("--app-dir", format!("{directory:?} is not UTF-8"));
    } else if directory.is_relative() {
        let why = "the working directory is gone; name one that is there";
        mistakes.add_failure("--app-dir", why.to_owned());
    }
    directory
}

fn event_loop(word: &str, mistakes: &mut Mistakes) -> Loop {
    match word {
        "auto" => Loop::Auto,
        // Uvicorn's word for leaving asyncio as it is.
        "asyncio" | "none" => Loop::Asyncio,
        "uvloop" => Loop::Uvloop,
        "rloop" | "zuvloop" => Loop::Factory(format!("{word}:new_event_loop")),
        factory if factory.split(':').filter(|part| !part.is_empty()).count() == 2 => {
            Loop::Factory(factory.to_owned())
        }
        other => {
            let choices = "auto, asyncio, uvloop, rloop, none or module:factory";
            // As in Uvicorn, a loop that cannot be had is a failed start and not wrong usage.
            let why = format!("there is no \"{other}\"; the choices are {choices}");
            mistakes.add_failure("--loop", why);
            Loop::Auto
        }
    }
}
