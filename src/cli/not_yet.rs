//! Flags of Uvicorn's that are refused by name.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What Uvicorn has and lowmem-serve has not yet; refused by name, because a server that ignored
/// them would not do what was asked for.
const NOT_YET: &[&str] = &["--http2"];

/// The error for an unknown option, where Uvicorn would have known it.
pub(super) fn refused(error: clap::Error, command: &mut clap::Command) -> clap::Error {
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(unknown)) if error.kind() == ErrorKind::UnknownArgument => {
            unknown
        }
        _ => return error,
    };
    let Some(option) = NOT_YET.iter().find(|option| *option == unknown) else {
        return error;
    };
    let message = format!("lowmem-serve does not have Uvicorn's {option} yet; start it without");
    command.error(ErrorKind::UnknownArgument, message)
}
