//! The server's output: log lines to stderr (through `tracing`), access lines to stdout.
//!
//! One line is one `write(2)`, so that the lines of several processes on one pipe do not mix. The
//! shape is Uvicorn's, or one JSON object a line. Supervisor and worker use the same code; there is
//! no filter language and no span, which keeps the supervisor small.

mod access;
mod json;
mod lines;
mod name;
pub mod paint;
mod printable;
mod records;
mod response;
mod stderr;
mod time;
mod trace;

use tracing::subscriber::SetGlobalDefaultError;

use crate::config::{LogFormat, LogLevel, LogSettings};

pub use access::AccessLog;
#[cfg(any(test, feature = "fuzzing"))]
pub use access::written;
pub use name::name_lines;
pub use printable::printable;
pub use records::{Records, is_redirected, redirect};
pub use response::AccessLine;
pub use stderr::hurry;
pub use trace::Trace;

/// Starts logging in this process. Fails when something has already set a subscriber.
pub fn init(settings: &LogSettings) -> Result<(), SetGlobalDefaultError> {
    name_lines(settings.application.as_deref().map(Into::into));
    paint::enable(settings.stderr_colors && settings.format == LogFormat::Human);
    tracing::subscriber::set_global_default(lines::Lines::new(settings))
}

/// Writes a line that a function or a program has put out, with these fields. It is no message of the server's,
/// so that `--log-level` has no part in it.
pub fn write_output(text: &str, fields: &[(&'static str, &str)]) {
    tracing::dispatcher::get_default(|dispatch| {
        if let Some(lines) = dispatch.downcast_ref::<lines::Lines>() {
            lines.write_output(text, fields);
        }
    });
}

/// Writes a log line whatever [`redirect`] says: for records that come back from where lines were sent.
pub fn write_line(level: LogLevel, text: &str) {
    tracing::dispatcher::get_default(|dispatch| {
        if let Some(lines) = dispatch.downcast_ref::<lines::Lines>() {
            lines.write(level, text);
        }
    });
}
