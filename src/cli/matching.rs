//! Matching a command line with its definition; what is wrong with it, in words that help.

use std::ffi::OsString;

use clap::ArgMatches;
use clap::error::ErrorKind;

use super::{elsewhere, variables};

pub(super) fn matched(
    definition: &mut clap::Command,
    argv: &[OsString],
) -> Result<ArgMatches, clap::Error> {
    let matches = definition.try_get_matches_from_mut(argv);
    matches.map_err(|error| {
        if error.kind() == ErrorKind::ArgumentConflict
            && let Some(why) = elsewhere::misplaced(argv, definition)
        {
            return definition.error(ErrorKind::ArgumentConflict, why);
        }
        let error = variables::blamed(error, definition);
        elsewhere::explained(error, definition.render_usage())
    })
}
