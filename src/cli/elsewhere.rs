//! Options of gunicorn and Granian that are called otherwise here: who types one is told the right one,
//! where clap would offer whatever is spelt alike.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Their words, and what to write instead.
const OPTIONS: [(&[&str], &str); 26] = [
    (&["-b"], "--bind"),
    (&["-w"], "--workers"),
    (&["-c"], "--config, a file in TOML (docs/configuration.md)"),
    (&["-e", "--env", "--env-files"], "--env-file"),
    (&["--threads", "--blocking-threads"], "--wsgi-threads"),
    (&["--keep-alive"], "--timeout-keep-alive"),
    (
        &["--graceful-timeout", "--workers-kill-timeout"],
        "--timeout-graceful-shutdown",
    ),
    (&["--chdir", "--working-dir"], "--app-dir"),
    (&["--umask", "--uds-permissions"], "--uds-mode"),
    (&["--worker-connections"], "--limit-connections"),
    (&["--backpressure"], "--limit-concurrency"),
    (
        &["--access-logfile"],
        "--access-log-file; stdout, unless it is given",
    ),
    (
        &["--access-logformat", "--access-log-fmt"],
        "--access-log-format",
    ),
    (&["--certfile", "--ssl-certificate"], "--ssl-certfile"),
    (&["--keyfile"], "--ssl-keyfile"),
    (&["--ca-certs", "--ssl-ca"], "--ssl-ca-certs"),
    (&["--workers-lifetime"], "--ttl, with a unit: --ttl 6h"),
    (
        &["--workers-max-rss"],
        "--max-rss, with a unit: --max-rss 300M",
    ),
    (&["--url-path-prefix"], "--root-path"),
    (
        &["--static-path-mount", "--static-path-route"],
        "--static /path=DIR",
    ),
    (&["--no-ws"], "--ws none"),
    (&["--reload-paths"], "--reload-dir"),
    (
        &["-k", "--worker-class"],
        "leave it out: what the application speaks is found out (--interface)",
    ),
    (
        &["-t", "--timeout"],
        "leave it out: a worker that is busy is not killed",
    ),
    (
        &["--respawn-failed-workers"],
        "leave it out: workers are always started again",
    ),
    (
        &[
            "-D",
            "--daemon",
            "-p",
            "--pid",
            "-n",
            "--name",
            "--error-logfile",
            "--worker-tmp-dir",
            "--runtime-threads",
            "--runtime-mode",
            "--threading-mode",
            "--task-impl",
        ],
        "leave it out; docs/gunicorn.md and docs/granian.md say why",
    ),
];

/// Adds what is right here to an error about an option that is none.
pub(super) fn explained(mut error: clap::Error, usage: StyledStr) -> clap::Error {
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(typed)) if error.kind() == ErrorKind::UnknownArgument => typed,
        _ => return error,
    };
    let Some((_, here)) = OPTIONS
        .iter()
        .find(|(there, _)| there.contains(&&**unknown))
    else {
        return error;
    };
    let tip = match here.starts_with("--") {
        true => format!("here it is {here}"),
        false => (*here).to_owned(),
    };
    let tip = StyledStr::from(tip);
    error.remove(ContextKind::SuggestedArg);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    error
}
