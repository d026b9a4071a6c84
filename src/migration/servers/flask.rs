//! The options of `flask run`.

use super::Takes::Nothing;
use super::{Opt, by, does, flag, is, missing, on, so};
use crate::migration::effect::{Effect, Effects};

pub(super) const OPTIONS: &[Opt] = &[
    by(&["-A", "--app"], |name| match name.contains('(') {
        true => missing("a factory is called without arguments: --factory module:function"),
        false => vec![Effect::Application(name.to_owned())],
    }),
    is(&["-h", "--host"], "--host"),
    is(&["-p", "--port"], "--port"),
    is(&["--cert"], "--ssl-certfile"),
    is(&["--key"], "--ssl-keyfile"),
    is(&["-e", "--env-file"], "--env-file"),
    on(&["--reload"], "--reload"),
    does(&["--debug"], |_| vec![Effect::Flag("--reload", None)]),
    so(
        &["--no-reload", "--no-debug", "--no-debugger"],
        Nothing,
        "off without --reload",
    ),
    does(&["--debugger"], |_| {
        missing("the debugger is Werkzeug's own: app.wsgi_app = DebuggedApplication(app.wsgi_app)")
    }),
    so(
        &["--with-threads", "--without-threads"],
        Nothing,
        "views run on threads (--wsgi-threads)",
    ),
];

/// `run`
pub(super) fn positional(text: &str) -> Effects {
    match text {
        "run" => vec![Effect::Flag("run", None)],
        other => missing(format!("flask {other} is a command of Flask's, and stays")),
    }
}

/// It listens on this machine alone, where `run` here listens on every interface.
pub(super) fn unasked(has: impl Fn(&str) -> bool) -> Effects {
    let mut effects = Vec::new();
    if !has("--host") {
        effects.extend(flag("--host", "127.0.0.1"));
    }
    if !has("--port") {
        effects.extend(flag("--port", "5000"));
    }
    effects
}
