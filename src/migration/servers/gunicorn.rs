//! gunicorn's options, and its settings where they are called otherwise.

use super::Takes::{Nothing, Value};
use super::values;
use super::{Opt, by, does, flag, is, missing, no, on, so};
use crate::migration::effect::{Effect, Effects, but};

const FOREGROUND: &str = "it stays in the foreground, for systemd or a container";
const ONE_USER: &str = "start it as that user (User= of a systemd unit, USER of a Dockerfile)";
const STATSD: &str = "--status-bind serves metrics for Prometheus";
const CONTROL: &str = "lowmem-serve status, top and ctl speak to a running server";
const STRICT: &str = "requests are read as RFC 9112 has them, without exceptions";

pub(super) const OPTIONS: &[Opt] = &[
    by(&["-c", "--config"], values::settings_file),
    by(&["-b", "--bind"], values::bind),
    is(&["--backlog"], "--backlog"),
    is(&["-w", "--workers"], "--workers"),
    by(&["-k", "--worker-class"], values::worker_class),
    is(&["--threads"], "--wsgi-threads"),
    is(&["--worker-connections"], "--limit-connections"),
    by(&["--max-requests"], |n| {
        values::unless_zero("--max-requests", n)
    }),
    by(&["--max-requests-jitter"], |n| {
        values::unless_zero("--max-requests-jitter", n)
    }),
    no(
        &["-t", "--timeout"],
        Value,
        "a worker that is busy is not killed; --timeout-request S answers a late request with 504, \
         --timeout-worker-stall S with --stall-action recycle replaces a worker whose event loop hangs, and \
         --timeout-worker-startup S limits a start",
    ),
    is(&["--graceful-timeout"], "--timeout-graceful-shutdown"),
    is(&["--keep-alive"], "--timeout-keep-alive"),
    by(&["--limit-request-line"], |n| match n {
        "0" => missing("a target is always limited, to half of --max-head-size"),
        n => flag("--max-target-size", n),
    }),
    is(&["--limit-request-fields"], "--max-headers"),
    no(
        &["--limit-request-field_size", "--limit-request-field-size"],
        Value,
        "the head is limited as a whole, to 64 KiB: --max-head-size",
    ),
    on(&["--reload"], "--reload"),
    so(
        &["--reload-engine"],
        Value,
        "changes are noticed by inotify, or by polling where that sees nothing",
    ),
    is(&["--reload-extra-file"], "--reload-include"),
    no(
        &["--spew"],
        Nothing,
        "python -X importtime and lowmem-serve imports show the imports",
    ),
    no(
        &["--check-config", "--print-config"],
        Nothing,
        "lowmem-serve config with the same flags does it",
    ),
    on(&["--preload", "--preload-app"], "--preload"),
    so(
        &["--no-sendfile", "--sendfile"],
        Nothing,
        "files are sent in the way that fits",
    ),
    so(
        &["--reuse-port"],
        Nothing,
        "all workers accept from one socket, and none of them starves",
    ),
    by(&["--chdir"], values::directory),
    no(&["-D", "--daemon"], Nothing, FOREGROUND),
    by(&["-e", "--env"], values::variable),
    no(
        &["-p", "--pid"],
        Value,
        "systemd or the container knows the supervisor; lowmem-serve status tells its pid",
    ),
    so(
        &["--worker-tmp-dir", "--tmp-upload-dir"],
        Value,
        "there is no heartbeat file",
    ),
    no(&["-u", "--user", "-g", "--group"], Value, ONE_USER),
    no(&["--initgroups"], Nothing, ONE_USER),
    by(&["-m", "--umask"], values::umask),
    is(&["--forwarded-allow-ips"], "--forwarded-allow-ips"),
    by(&["--access-logfile"], values::access_file),
    by(&["--access-logformat"], values::access_format),
    so(
        &["--disable-redirect-access-to-syslog"],
        Nothing,
        "nothing is sent to syslog",
    ),
    by(&["--error-logfile", "--log-file"], values::error_file),
    by(&["--log-level"], values::level),
    so(
        &["--capture-output", "-R", "--enable-stdio-inheritance"],
        Nothing,
        "output of the application goes to stdout and stderr",
    ),
    no(
        &["--logger-class"],
        Value,
        "--log-config configures Python's logging, --log-format json writes objects",
    ),
    by(&["--log-config", "--log-config-json"], |file| {
        but(
            flag("--log-config", file),
            "the loggers are Uvicorn's: uvicorn.error and uvicorn.access",
        )
    }),
    no(
        &["--log-config-dict"],
        Value,
        "write it to a JSON file, and name that with --log-config",
    ),
    no(
        &[
            "--log-syslog",
            "--log-syslog-to",
            "--log-syslog-prefix",
            "--log-syslog-facility",
        ],
        Value,
        "systemd and containers read stderr; --log-config can have a SysLogHandler",
    ),
    is(&["-n", "--name"], "--process-name"),
    by(&["--pythonpath"], values::python_path),
    no(
        &["--paste", "--paster", "--paste-global"],
        Value,
        "name the application itself: module:attribute",
    ),
    does(&["--proxy-protocol"], proxy_protocol),
    is(&["--proxy-allow-from"], "--forwarded-allow-ips"),
    is(&["--keyfile"], "--ssl-keyfile"),
    is(&["--certfile"], "--ssl-certfile"),
    is(&["--ca-certs"], "--ssl-ca-certs"),
    is(&["--cert-reqs"], "--ssl-cert-reqs"),
    so(
        &["--ssl-version", "--ciphers"],
        Value,
        "TLS 1.2 and 1.3 with their safe suites",
    ),
    so(
        &["--suppress-ragged-eofs", "--do-handshake-on-connect"],
        Nothing,
        "handled without a setting",
    ),
    no(
        &["--statsd-host", "--statsd-prefix", "--dogstatsd-tags"],
        Value,
        STATSD,
    ),
    so(
        &[
            "--strip-header-spaces",
            "--permit-unconventional-http-method",
            "--permit-unconventional-http-version",
            "--permit-obsolete-folding",
            "--casefold-http-method",
        ],
        Nothing,
        STRICT,
    ),
    so(
        &["--header-map"],
        Value,
        "fields with an underscore are left out of a WSGI environ, as by default there",
    ),
    no(
        &["--forwarder-headers", "--secure-scheme-headers"],
        Value,
        "X-Forwarded-For and -Proto of trusted proxies count, or Forwarded with --forwarded-header",
    ),
    by(&["--wsgi-app"], application),
    is(&["--root-path"], "--root-path"),
    is(&["--asgi-loop"], "--loop"),
    is(&["--asgi-lifespan"], "--lifespan"),
    by(&["--http-protocols"], |names| {
        match (names.contains("h1"), names.contains("h2")) {
            (true, false) => flag("--http", "1"),
            (false, true) => flag("--http", "2"),
            _ => Vec::new(),
        }
    }),
    is(&["--http2-max-concurrent-streams"], "--http2-max-streams"),
    by(&["--websocket-max-message-size"], |bytes| {
        values::unless_zero("--ws-max-size", bytes)
    }),
    by(&["--protocol"], |name| match name {
        "uwsgi" => missing("HTTP is spoken: proxy_pass in place of uwsgi_pass (docs/proxies.md)"),
        _ => Vec::new(),
    }),
    no(
        &[
            "--dirty-app",
            "--dirty-workers",
            "--dirty-timeout",
            "--dirty-threads",
            "--dirty-graceful-timeout",
        ],
        Value,
        "functions run in a process apart as isolated calls: docs/isolated.md",
    ),
    so(
        &["--control-socket", "--control-socket-mode"],
        Value,
        CONTROL,
    ),
    so(&["--no-control-socket"], Nothing, CONTROL),
    so(
        &["--enable-backlog-metric"],
        Nothing,
        "the accept queue is among the metrics of --status-bind",
    ),
    so(
        &[
            "--http2-cleartext",
            "--http2-initial-window-size",
            "--http2-max-frame-size",
            "--http2-max-header-list-size",
            "--http-parser",
            "--asgi-disconnect-grace-period",
            "--uwsgi-allow-from",
        ],
        Value,
        "handled without a setting",
    ),
];

fn proxy_protocol(value: &str) -> Effects {
    match value {
        "off" | "False" => Vec::new(),
        _ => vec![Effect::Flag("--proxy-protocol", None)],
    }
}

/// Settings whose option is not spelt like them.
pub(super) const SETTINGS: &[(&str, &str)] = &[
    ("keepalive", "--keep-alive"),
    ("preload_app", "--preload"),
    ("accesslog", "--access-logfile"),
    ("access_log_format", "--access-logformat"),
    ("errorlog", "--error-logfile"),
    ("loglevel", "--log-level"),
    ("logconfig", "--log-config"),
    ("logconfig_json", "--log-config-json"),
    ("logconfig_dict", "--log-config-dict"),
    ("syslog", "--log-syslog"),
    ("syslog_addr", "--log-syslog-to"),
    ("proc_name", "--name"),
    ("pidfile", "--pid"),
    ("raw_env", "--env"),
    ("reload_extra_files", "--reload-extra-file"),
    ("proxy_allow_ips", "--proxy-allow-from"),
];

/// Functions that it calls.
pub(super) const HOOKS: &[&str] = &[
    "on_starting",
    "on_reload",
    "when_ready",
    "pre_fork",
    "post_fork",
    "post_worker_init",
    "worker_int",
    "worker_abort",
    "pre_exec",
    "pre_request",
    "post_request",
    "child_exit",
    "worker_exit",
    "nworkers_changed",
    "on_exit",
    "ssl_context",
];

/// `module`, `module:attribute` or `"module:factory()"`.
pub(super) fn application(text: &str) -> Effects {
    let Some((module, attribute)) = text.split_once(':') else {
        return vec![Effect::Application(format!("{text}:application"))];
    };
    match attribute.split_once('(') {
        None => vec![Effect::Application(text.to_owned())],
        Some((factory, ")")) => vec![
            Effect::Flag("--factory", None),
            Effect::Application(format!("{module}:{factory}")),
        ],
        Some((factory, _)) => missing(format!(
            "a factory is called without arguments: write a function that calls {factory} with them, and name it behind \
             --factory"
        )),
    }
}
