//! Granian's options.

use super::Takes::{Nothing, Value};
use super::values;
use super::{Opt, by, does, flag, is, missing, no, on, so, switch};
use crate::migration::effect::{Effect, Effects, but};

const ONE_THREAD: &str = "a worker has one thread";

pub(super) const OPTIONS: &[Opt] = &[
    by(&["--interface"], |interface| match interface {
        "asgi" => flag("--interface", "asgi3"),
        "asginl" => [flag("--interface", "asgi3"), flag("--lifespan", "off")].concat(),
        "wsgi" => flag("--interface", "wsgi"),
        _ => missing("RSGI is Granian's own: serve the application's ASGI side"),
    }),
    is(&["--host"], "--host"),
    is(&["--port"], "--port"),
    is(&["--uds"], "--uds"),
    is(&["--uds-permissions"], "--uds-mode"),
    is(&["--http"], "--http"),
    so(&["--ws"], Nothing, "WebSockets are on"),
    does(&["--no-ws"], |_| flag("--ws", "none")),
    is(&["--workers"], "--workers"),
    is(&["--blocking-threads"], "--wsgi-threads"),
    so(
        &["--blocking-threads-idle-timeout"],
        Value,
        "threads that are idle end after 10 s",
    ),
    so(
        &[
            "--threads",
            "--runtime-threads",
            "--runtime-blocking-threads",
            "--runtime-mode",
            "--threading-mode",
        ],
        Value,
        ONE_THREAD,
    ),
    so(
        &["--task-impl"],
        Value,
        "tasks are asyncio's, started at once",
    ),
    so(
        &["--opt", "--no-opt"],
        Nothing,
        "there is one loop, made for this server",
    ),
    by(&["--loop"], |name| match name {
        "winloop" => Vec::new(),
        name => flag("--loop", name),
    }),
    is(&["--backlog"], "--backlog"),
    by(&["--backpressure"], |number| {
        but(
            flag("--limit-concurrency", number),
            "further requests are answered with 503, and do not wait",
        )
    }),
    is(&["--http1-buffer-size"], "--max-head-size"),
    by(
        &["--http1-header-read-timeout"],
        |milliseconds| match milliseconds.parse::<f64>() {
            Ok(number) => flag("--timeout-header-read", (number / 1000.0).to_string()),
            Err(_) => missing("--timeout-header-read takes seconds"),
        },
    ),
    so(
        &["--http1-keep-alive"],
        Nothing,
        "connections are kept (--timeout-keep-alive)",
    ),
    does(&["--no-http1-keep-alive"], |_| {
        flag("--timeout-keep-alive", "0")
    }),
    so(
        &["--http1-pipeline-flush", "--no-http1-pipeline-flush"],
        Nothing,
        "responses that are ready are written together",
    ),
    is(&["--http2-max-concurrent-streams"], "--http2-max-streams"),
    so(
        &[
            "--http2-initial-connection-window-size",
            "--http2-initial-stream-window-size",
            "--http2-keep-alive-interval",
            "--http2-keep-alive-timeout",
            "--http2-max-frame-size",
            "--http2-max-headers-size",
            "--http2-max-send-buffer-size",
        ],
        Value,
        "windows and frames are chosen for little memory; a head is limited by --max-head-size",
    ),
    so(
        &["--http2-adaptive-window", "--no-http2-adaptive-window"],
        Nothing,
        "windows are chosen for little memory",
    ),
    so(&["--log"], Nothing, "log lines are on"),
    does(&["--no-log"], |_| flag("--log-level", "critical")),
    by(&["--log-level"], values::level),
    by(&["--log-config"], |file| {
        but(
            flag("--log-config", file),
            "the loggers are Uvicorn's: uvicorn.error and uvicorn.access",
        )
    }),
    on(&["--access-log"], "--access-log"),
    on(&["--no-access-log"], "--no-access-log"),
    by(&["--access-log-fmt"], |format| {
        missing(format!(
            "the fields have other names (docs/logging.md): {format}"
        ))
    }),
    is(&["--url-path-prefix"], "--root-path"),
    is(&["--ssl-certificate"], "--ssl-certfile"),
    is(&["--ssl-keyfile"], "--ssl-keyfile"),
    is(&["--ssl-keyfile-password"], "--ssl-keyfile-password"),
    by(&["--ssl-protocol-min"], |version| match version {
        "tls1.3" => missing("TLS 1.2 is spoken, too"),
        _ => Vec::new(),
    }),
    is(&["--ssl-ca"], "--ssl-ca-certs"),
    no(&["--ssl-crl"], Value, "revocation lists are not read"),
    does(&["--ssl-client-verify"], |_| {
        flag("--ssl-cert-reqs", "required")
    }),
    so(
        &["--no-ssl-client-verify"],
        Nothing,
        "clients show no certificate unless --ssl-cert-reqs says so",
    ),
    so(
        &["--respawn-failed-workers", "--no-respawn-failed-workers"],
        Nothing,
        "workers are always started again",
    ),
    so(
        &["--respawn-interval"],
        Value,
        "at once, then with growing pauses",
    ),
    by(&["--workers-lifetime"], |time| {
        values::lifetime("--ttl", time)
    }),
    by(&["--workers-max-rss"], |size| {
        but(
            values::mebibytes("--max-rss", size),
            "of private memory, which workers do not share",
        )
    }),
    so(
        &["--rss-sample-interval", "--rss-samples"],
        Value,
        "asked every second; three times in a row count",
    ),
    is(&["--workers-kill-timeout"], "--timeout-graceful-shutdown"),
    on(&["--factory"], "--factory"),
    so(
        &["--no-factory"],
        Nothing,
        "the application is no factory without --factory",
    ),
    by(&["--working-dir"], values::directory),
    is(&["--env-files"], "--env-file"),
    by(&["--static-path-mount"], |directory| {
        vec![Effect::StaticDirectory(directory.to_owned())]
    }),
    by(&["--static-path-route"], |path| {
        vec![Effect::StaticPath(path.to_owned())]
    }),
    no(
        &["--static-path-dir-to-file", "--static-path-expires"],
        Value,
        "--static has options of its own: docs/static-files.md",
    ),
    does(&["--metrics"], |_| vec![Effect::Metrics]),
    so(
        &["--no-metrics"],
        Nothing,
        "there are none without --status-bind",
    ),
    by(&["--metrics-address"], |host| {
        vec![Effect::MetricsHost(host.to_owned())]
    }),
    by(&["--metrics-port"], |port| {
        vec![Effect::MetricsPort(port.to_owned())]
    }),
    so(
        &["--metrics-scrape-interval"],
        Value,
        "metrics are read at each scrape",
    ),
    on(&["--reload"], "--reload"),
    so(
        &["--no-reload"],
        Nothing,
        "nothing is reloaded without --reload",
    ),
    is(&["--reload-paths"], "--reload-dir"),
    is(&["--reload-ignore-dirs"], "--reload-exclude"),
    is(&["--reload-ignore-patterns"], "--reload-exclude"),
    is(&["--reload-ignore-paths"], "--reload-exclude"),
    by(&["--reload-tick"], |milliseconds| {
        match milliseconds.parse::<f64>() {
            Ok(number) => flag("--reload-delay", (number / 1000.0).to_string()),
            Err(_) => missing("--reload-delay takes seconds"),
        }
    }),
    so(
        &[
            "--reload-ignore-worker-failure",
            "--no-reload-ignore-worker-failure",
        ],
        Nothing,
        "the last worker that started goes on",
    ),
    is(&["--process-name"], "--process-name"),
    no(
        &["--pid-file"],
        Value,
        "systemd or the container knows the supervisor; lowmem-serve status tells its pid",
    ),
    does(&["--version"], |_| switch("--version")),
];

/// `module:attribute`, or the module alone.
pub(super) fn application(text: &str) -> Effects {
    let name = match text.contains(':') {
        true => text.to_owned(),
        false => format!("{text}:app"),
    };
    vec![Effect::Application(name)]
}
