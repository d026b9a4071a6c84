//! The options of `fastapi run` and `fastapi dev`.

use super::Takes::Nothing;
use super::{Opt, by, is, on, so};
use crate::migration::effect::{Effect, Effects};

pub(super) const OPTIONS: &[Opt] = &[
    is(&["--host"], "--host"),
    is(&["--port"], "--port"),
    is(&["--workers"], "--workers"),
    is(&["--root-path"], "--root-path"),
    is(&["--reload-dir"], "--reload-dir"),
    is(&["--forwarded-allow-ips"], "--forwarded-allow-ips"),
    on(&["--reload"], "--reload"),
    so(
        &["--no-reload"],
        Nothing,
        "nothing is reloaded without --reload",
    ),
    on(&["--proxy-headers"], "--proxy-headers"),
    on(&["--no-proxy-headers"], "--no-proxy-headers"),
    by(&["--app"], |name| vec![Effect::Callable(name.to_owned())]),
    by(&["-e", "--entrypoint"], |name| {
        vec![Effect::Application(name.to_owned())]
    }),
];

/// `run` and `dev` are this server's, too.
pub(super) fn positional(text: &str) -> Effects {
    match text {
        "run" => vec![Effect::Flag("run", None)],
        "dev" => vec![Effect::Flag("dev", None)],
        path => vec![Effect::Application(path.to_owned())],
    }
}
