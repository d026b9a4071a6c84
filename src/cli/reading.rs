//! Reading a command line, with the environment and the settings file that stand in for what it does not say.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgMatches, FromArgMatches};

use super::definition::{Cli, definition};
use super::matching::matched;
use super::typed::Typed;
use super::{Command, elsewhere, file, fleet, serving, settings, variables};
use crate::import_string;

/// Reads argv and, for what it does not say, the environment and the settings file that it names or
/// that is in the working directory.
pub fn parse(
    argv: &[OsString],
    variable: impl Fn(&str) -> Option<OsString>,
    directory: &Path,
) -> Result<Typed, clap::Error> {
    let definition = definition();
    let (argv, notices) = elsewhere::translated(argv, &definition)?;
    let argv = &argv;
    let mut definition = variables::read(definition, &variable);
    let mut matches = matched(&mut definition, argv)?;
    let file = match takes_flags(&matches) {
        Some(flags) => file::find(named_file(flags), directory),
        None => Ok(None),
    };
    let file = file.map_err(|wrong| clap::Error::raw(ErrorKind::ValueValidation, wrong + "\n"))?;
    if let Some(file) = &file {
        definition = variables::read(file.apply(self::definition()), &variable);
        matches = matched(&mut definition, argv)?;
    }
    let cli = Cli::from_arg_matches(&matches)?;
    let fleet = match (&file, takes_flags(&matches)) {
        (Some(file), Some(flags)) if file.several().is_some() && !flags.contains_id("app") => {
            let argv = without_command(argv, &matches);
            Some(fleet::of(file, &argv, flags, &variable)?)
        }
        _ => None,
    };
    let settings = match (&cli.command, takes_flags(&matches)) {
        (Some(Command::Config(_)), Some(flags)) => settings::of(flags, file.as_ref(), &variable),
        _ => Vec::new(),
    };
    let mut typed = Typed {
        cli,
        settings,
        fleet,
        notices,
    };
    if let Some(flags) = takes_flags(&matches) {
        serving::settle(&mut typed, flags, &variable, directory);
    }
    if !typed.serves_something() {
        let mut message =
            "the application is missing: lowmem-serve [OPTIONS] module:attribute".to_owned();
        if let Some(found) = import_string::found_in(directory) {
            message += &format!("\n\nThere seems to be one here: lowmem-serve {found}");
        }
        return Err(definition.error(ErrorKind::MissingRequiredArgument, message));
    }
    Ok(typed)
}

/// Reads argv alone, which need not name an application: for what is written down.
pub fn parse_settings(argv: &[OsString]) -> Result<Typed, clap::Error> {
    let mut definition = definition();
    let matches = matched(&mut definition, argv)?;
    let flags = takes_flags(&matches).unwrap_or(&matches);
    Ok(Typed {
        settings: settings::of(flags, None, &|_| None),
        cli: Cli::from_arg_matches(&matches)?,
        fleet: None,
        notices: Vec::new(),
    })
}

/// The matches that have the server's flags: the subcommand's, if it takes them, or the whole.
fn takes_flags(matches: &ArgMatches) -> Option<&ArgMatches> {
    let matches = match matches.subcommand() {
        Some((_, matches)) => matches,
        None => matches,
    };
    matches.try_contains_id("config").is_ok().then_some(matches)
}

/// The command line without its command.
fn without_command(argv: &[OsString], matches: &ArgMatches) -> Vec<OsString> {
    let mut argv = argv.to_vec();
    if let Some(command) = matches.subcommand_name()
        && let Some(at) = argv.iter().position(|word| word == command)
    {
        argv.remove(at);
    }
    argv
}

fn named_file(flags: &ArgMatches) -> Option<&Path> {
    flags.get_one::<PathBuf>("config").map(PathBuf::as_path)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Flags;

    fn parsed(argv: &[&str]) -> Result<Flags, clap::Error> {
        let argv = std::iter::once("lowmem-serve").chain(argv.iter().copied());
        let argv: Vec<_> = argv.map(OsString::from).collect();
        Ok(parse(&argv, |_| None, Path::new("/"))?.cli.flags)
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_last_of_two_wins() {
        let flags = parsed(&["a:b", "--port", "1", "--port=2"]).unwrap();
        assert_eq!(flags.listening.port, Some(2));
        let flags = parsed(&["a:b", "--no-access-log", "--access-log"]).unwrap();
        assert_eq!(
            (flags.logging.access_log, flags.logging.no_access_log),
            (Some(true), false)
        );
        let flags = parsed(&["a:b", "--access-log", "--no-access-log"]).unwrap();
        assert_eq!(
            (flags.logging.access_log, flags.logging.no_access_log),
            (Some(true), true)
        );
    }

    #[test]
    fn a_flag_does_not_swallow_the_application() {
        let flags = parsed(&["--access-log", "a:b"]).unwrap();
        assert_eq!(flags.app.as_deref(), Some("a:b"));
    }

    #[test]
    fn wrong_usage_is_an_error() {
        for argv in [
            &[][..],
            &["a:b", "--nope"],
            &["a:b", "--port", "x"],
            &["a:b", "--lifespan", "maybe"],
            &["a:b", "--max-requests", "0"],
        ] {
            assert_eq!(parsed(argv).unwrap_err().exit_code(), 2, "{argv:?}");
        }
    }

    #[test]
    fn an_option_of_another_server_is_taken_or_refused_with_a_reason() {
        let flags = parsed(&["a:b", "-w", "4", "-b=127.0.0.1:80"]).unwrap();
        assert_eq!(flags.processes.workers, Some(4));
        assert_eq!(flags.listening.bind, ["127.0.0.1:80"]);
        let why = parsed(&["a:b", "--timeout=120", "-D"]).unwrap_err();
        let text = why.to_string();
        assert_eq!(why.exit_code(), 2);
        assert!(
            text.contains("--timeout 120\n") && text.contains("-D\n"),
            "{text}"
        );
        assert!(
            text.contains("lowmem-serve migrate 'gunicorn a:b --timeout=120 -D'"),
            "{text}"
        );
    }

    #[test]
    fn a_suggestion_is_near() {
        let why = parsed(&["a:b", "--timeout-keep-aliv", "5"]).unwrap_err();
        assert!(why.to_string().contains("'--timeout-keep-alive'"));
        let why = parsed(&["a:b", "--lifesaver"]).unwrap_err().to_string();
        assert!(
            !why.contains("similar") && why.contains("--lifesaver"),
            "{why}"
        );
    }

    #[test]
    fn a_negative_number_is_a_wrong_value_and_no_unknown_flag() {
        for option in ["--workers", "--ttl", "--timeout-keep-alive", "--port"] {
            let why = parsed(&["a:b", option, "-1"]).unwrap_err().to_string();
            assert!(why.contains("invalid value '-1'"), "{why}");
        }
    }

    #[test]
    fn headers_come_from_the_environment_when_none_is_typed() {
        let variable = |name: &str| (name == "UVICORN_HEADERS").then(|| OsString::from("A:1  B:2"));
        let argv = |more: &[&str]| {
            let argv = ["lowmem-serve", "a:b"].iter().chain(more);
            argv.map(OsString::from).collect::<Vec<_>>()
        };
        let headers = |more| {
            let typed = parse(&argv(more), variable, Path::new("/"));
            typed.unwrap().cli.flags.http.headers
        };
        assert_eq!(headers(&[]), ["A:1", "B:2"]);
        assert_eq!(headers(&["--header", "C:3"]), ["C:3"]);
    }
}
