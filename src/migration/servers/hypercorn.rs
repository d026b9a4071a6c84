//! Hypercorn's options, and its settings where they are called otherwise.

use super::Takes::{Nothing, Value};
use super::values;
use super::{Opt, by, flag, is, missing, no, on, so};
use crate::migration::effect::{Effect, Effects};

pub(super) const OPTIONS: &[Opt] = &[
    by(&["-c", "--config"], |file| {
        let file = file.strip_prefix("file:").unwrap_or(file);
        values::settings_file(file)
    }),
    by(&["-b", "--bind"], values::bind),
    by(&["--insecure-bind"], |_| {
        missing(
            "one server speaks TLS on all of its places or on none: start a second one for the other",
        )
    }),
    no(
        &["--quic-bind"],
        Value,
        "HTTP/3 is not spoken; a proxy in front can",
    ),
    is(&["--backlog"], "--backlog"),
    is(&["-w", "--workers"], "--workers"),
    by(&["-k", "--worker-class"], values::worker_class),
    is(&["--keep-alive"], "--timeout-keep-alive"),
    is(&["--graceful-timeout"], "--timeout-graceful-shutdown"),
    is(&["--startup-timeout"], "--timeout-worker-startup"),
    is(&["--read-timeout"], "--timeout-body-read"),
    by(&["--max-requests"], |n| {
        values::unless_zero("--max-requests", n)
    }),
    by(&["--max-requests-jitter"], |n| {
        values::unless_zero("--max-requests-jitter", n)
    }),
    on(&["--reload"], "--reload"),
    no(
        &["-D", "--daemon"],
        Nothing,
        "it stays in the foreground, for systemd or a container",
    ),
    no(
        &["--debug"],
        Nothing,
        "--log-level debug says more; asyncio's own is PYTHONASYNCIODEBUG=1",
    ),
    is(&["--root-path"], "--root-path"),
    no(
        &["--server-name"],
        Value,
        "every name is served; hosts of an application in a settings file choose by it (docs/apps.md)",
    ),
    by(&["--access-log", "--access-logfile"], values::access_file),
    by(&["--access-logformat"], values::access_format),
    by(
        &["--error-log", "--error-logfile", "--log-file"],
        values::error_file,
    ),
    by(&["--log-level"], values::level),
    is(&["--log-config"], "--log-config"),
    is(&["--certfile"], "--ssl-certfile"),
    is(&["--keyfile"], "--ssl-keyfile"),
    is(&["--keyfile-password"], "--ssl-keyfile-password"),
    is(&["--ca-certs"], "--ssl-ca-certs"),
    is(&["--cert-reqs"], "--ssl-cert-reqs"),
    by(&["--verify-mode"], |mode| {
        let mode = mode
            .trim_start_matches("VerifyMode.")
            .trim_start_matches("CERT_");
        flag("--ssl-cert-reqs", mode.to_ascii_lowercase())
    }),
    so(
        &["--ciphers", "--alpn-protocols"],
        Value,
        "TLS 1.2 and 1.3 with their safe suites; http/1.1 and h2",
    ),
    is(&["--websocket-ping-interval"], "--ws-ping-interval"),
    is(&["--websocket-max-message-size"], "--ws-max-size"),
    is(&["--h11-max-incomplete-size"], "--max-head-size"),
    is(&["--h2-max-concurrent-streams"], "--http2-max-streams"),
    so(
        &[
            "--h2-max-header-list-size",
            "--h2-max-inbound-frame-size",
            "--h11-pass-raw-headers",
            "--max-app-queue-size",
        ],
        Value,
        "bounded by this server's own limits (--max-head-size)",
    ),
    by(&["--include-server-header"], |value| {
        values_switch(value, "--no-server-header")
    }),
    by(&["--include-date-header"], |value| {
        values_switch(value, "--no-date-header")
    }),
    no(
        &["--alt-svc-headers"],
        Value,
        "--header 'alt-svc: …' adds a field to every response",
    ),
    no(
        &["-p", "--pid"],
        Value,
        "systemd or the container knows the supervisor; lowmem-serve status tells its pid",
    ),
    no(
        &["-u", "--user", "-g", "--group"],
        Value,
        "start it as that user",
    ),
    by(&["-m", "--umask"], values::umask),
    no(
        &["--statsd-host", "--statsd-prefix", "--dogstatsd-tags"],
        Value,
        "--status-bind serves metrics for Prometheus",
    ),
    by(&["--application-path"], application),
];

fn values_switch(value: &str, off: &'static str) -> Effects {
    match value.to_ascii_lowercase().as_str() {
        "false" => vec![Effect::Flag(off, None)],
        _ => Vec::new(),
    }
}

/// Settings whose option is not spelt like them.
pub(super) const SETTINGS: &[(&str, &str)] = &[
    ("accesslog", "--access-logfile"),
    ("access_log_format", "--access-logformat"),
    ("errorlog", "--error-logfile"),
    ("loglevel", "--log-level"),
    ("logconfig", "--log-config"),
    ("keep_alive_timeout", "--keep-alive"),
    ("shutdown_timeout", "--graceful-timeout"),
    ("use_reloader", "--reload"),
    ("pid_path", "--pid"),
    ("server_names", "--server-name"),
];

/// `module:attribute`, with the interface in front or the attribute left out.
pub(super) fn application(text: &str) -> Effects {
    let (interface, name) = match text.split_once(':') {
        Some(("wsgi", name)) => (Some("wsgi"), name),
        Some(("asgi", name)) => (Some("asgi3"), name),
        _ => (None, text),
    };
    let mut effects: Effects = interface
        .map(|interface| Effect::Flag("--interface", Some(interface.to_owned())))
        .into_iter()
        .collect();
    let name = match name.contains(':') {
        true => name.to_owned(),
        false => format!("{name}:app"),
    };
    effects.push(Effect::Application(name));
    effects
}
