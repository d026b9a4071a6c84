//! `run` and `dev`, an application that is named by its file, and the port that a platform sets.

use std::ffi::OsString;
use std::path::Path;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::{Command, Flags, Typed, variables};
use crate::import_string::{self, Meant};

/// Every interface of IPv4: what a container and a platform's proxy reach.
const EVERYWHERE: &str = "0.0.0.0";

/// The variable by which platforms say where to listen.
const PLATFORM_PORT: &str = "PORT";

/// Makes `run` and `dev` what they stand for.
pub(super) fn settle(
    typed: &mut Typed,
    matches: &ArgMatches,
    variable: &dyn Fn(&str) -> Option<OsString>,
    directory: &Path,
) {
    let (is_run, is_dev) = match typed.cli.command.take() {
        Some(Command::Run(flags)) => {
            typed.cli.flags = *flags;
            (true, false)
        }
        Some(Command::Dev(flags)) => {
            typed.cli.flags = *flags;
            (false, true)
        }
        other => {
            typed.cli.command = other;
            (false, false)
        }
    };
    let has_sockets = variable("LISTEN_FDS").is_some();
    let flags = &mut typed.cli.flags;
    flags.reload.reload |= is_dev;
    listen(
        flags,
        is_run,
        has_sockets,
        is_from_platform(matches, variable),
    );
    let is_lenient = is_run || is_dev;
    if let Some(meant) = meant(flags, is_lenient && typed.fleet.is_none(), directory) {
        if flags.app.is_none() {
            typed
                .notices
                .push(format!("Serving {meant}, which was found here"));
        }
        take(flags, meant);
    }
}

fn is_from_platform(matches: &ArgMatches, variable: &dyn Fn(&str) -> Option<OsString>) -> bool {
    let is_set = |name: &&String| variable(name).is_some_and(|value| !value.is_empty());
    let names = variables::names("LOWMEM_PORT");
    matches.value_source("port") == Some(ValueSource::EnvVariable)
        && names
            .iter()
            .find(is_set)
            .is_some_and(|name| name == PLATFORM_PORT)
}

/// `run`, and a platform that names a port, mean every interface, where nothing else is named.
fn listen(flags: &mut Flags, is_run: bool, has_sockets: bool, is_platform: bool) {
    let listening = &mut flags.listening;
    let names_places = !listening.bind.is_empty()
        || listening.uds.is_some()
        || listening.fd.is_some()
        || has_sockets;
    if is_platform && names_places {
        listening.port = None;
    } else if (is_run || is_platform) && !names_places && listening.host.is_none() {
        listening.host = Some(EVERYWHERE.to_owned());
    }
}

/// The application that a path, a module or nothing stands for.
fn meant(flags: &Flags, is_lenient: bool, directory: &Path) -> Option<Meant> {
    let base = match &flags.application.app_dir {
        Some(below) => directory.join(below),
        None => directory.to_owned(),
    };
    match flags.app.as_deref() {
        None if is_lenient => import_string::found_in(&base),
        Some(app) if is_path(app) || (is_lenient && !app.contains(':')) => {
            import_string::meant_instead(app, &base)
        }
        _ => None,
    }
}

/// `main.py`, `src/main.py:app`
fn is_path(app: &str) -> bool {
    let place = app.split(':').next().unwrap_or(app);
    place.ends_with(".py")
}

fn take(flags: &mut Flags, meant: Meant) {
    let application = &mut flags.application;
    application.factory |= meant.is_factory;
    if let Some(below) = meant.app_dir {
        let above = application.app_dir.take().unwrap_or_default();
        application.app_dir = Some(above.join(below));
    }
    flags.app = Some(meant.app);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    use crate::cli::{Flags, parse};

    fn typed(argv: &[&str], variables: &[(&str, &str)]) -> Flags {
        let argv = std::iter::once("lowmem-serve").chain(argv.iter().copied());
        let argv: Vec<_> = argv.map(Into::into).collect();
        let variable = |name: &str| {
            let mut all = variables.iter();
            all.find(|(own, _)| *own == name)
                .map(|(_, value)| value.into())
        };
        // A directory for each call: tests run side by side, and one would read what another has begun to write.
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let name = format!("lowmem-serve-{}-serving-{call}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(
            directory.join("main.py"),
            "def create_app():\n    return FastAPI()\n",
        )
        .unwrap();
        parse(&argv, variable, &directory).unwrap().cli.flags
    }

    fn place(flags: &Flags) -> (Option<&str>, Option<u16>) {
        (flags.listening.host.as_deref(), flags.listening.port)
    }

    #[test]
    fn run_is_for_every_interface_and_dev_reloads() {
        let flags = typed(&["run", "a:b"], &[]);
        assert_eq!(place(&flags), (Some("0.0.0.0"), None));
        assert!(!flags.reload.reload);
        assert_eq!(
            place(&typed(&["run", "a:b", "--host", "::1"], &[])).0,
            Some("::1")
        );
        assert_eq!(place(&typed(&["serve", "a:b", "--uds", "/x"], &[])).0, None);
        assert_eq!(
            place(&typed(&["run", "a:b"], &[("LISTEN_FDS", "1")])).0,
            None
        );
        let flags = typed(&["dev", "a:b", "--port", "9"], &[]);
        assert_eq!(place(&flags), (None, Some(9)));
        assert!(flags.reload.reload);
    }

    #[test]
    fn a_platforms_port_is_on_every_interface_unless_a_place_is_named() {
        let with_port = |argv: &[&str], is_platform: bool, has_sockets: bool| {
            let mut flags = typed(&[argv, &["a:b", "--port", "5000"]].concat(), &[]);
            super::listen(&mut flags, false, has_sockets, is_platform);
            (flags.listening.host, flags.listening.port)
        };
        let everywhere = Some("0.0.0.0".to_owned());
        assert_eq!(with_port(&[], true, false), (everywhere, Some(5000)));
        assert_eq!(with_port(&[], false, false), (None, Some(5000)));
        assert_eq!(with_port(&["--bind", ":1"], true, false), (None, None));
        assert_eq!(with_port(&[], true, true), (None, None));
        let named = Some("h".to_owned());
        assert_eq!(
            with_port(&["--host", "h"], true, false),
            (named, Some(5000))
        );
    }

    #[test]
    fn a_file_is_served_by_its_module() {
        for argv in [
            &["main.py"][..],
            &["run"],
            &["run", "main"],
            &["dev", "main.py"],
        ] {
            let flags = typed(argv, &[]);
            assert_eq!(flags.app.as_deref(), Some("main:create_app"), "{argv:?}");
            assert!(flags.application.factory);
        }
        let flags = typed(&["run", "main.py:other"], &[]);
        assert_eq!(flags.app.as_deref(), Some("main:other"));
        assert_eq!(typed(&["main"], &[]).app.as_deref(), Some("main"));
    }
}
