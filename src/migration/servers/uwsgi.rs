//! uWSGI's options, which are the keys of its ini files, too.

use super::Takes::{Nothing, Value};
use super::values;
use super::{Opt, by, does, flag, is, missing, no, on, so};
use crate::migration::effect::{Effect, Effects, Weight, but};

const JOBS: &str = "jobs run apart from requests: docs/jobs.md";
const SLEEP: &str = "--sleep-after takes the workers of an application that is not used; the number of workers stays";
const LAZY: &str = "each worker imports the application by itself";
const FOREGROUND: &str = "it stays in the foreground, for systemd or a container";

pub(super) const OPTIONS: &[Opt] = &[
    by(&["--http", "--http-socket", "--http11-socket"], places),
    by(&["-s", "--socket", "--uwsgi-socket"], |place| {
        but(
            places(place),
            "HTTP is spoken there, not uWSGI's protocol: proxy_pass in place of uwsgi_pass (docs/proxies.md)",
        )
    }),
    by(&["--https", "--https-socket"], |text| {
        let mut parts = text.split(',');
        let mut effects = values::bind(parts.next().unwrap_or_default());
        effects.extend(
            parts
                .next()
                .into_iter()
                .flat_map(|file| flag("--ssl-certfile", file)),
        );
        effects.extend(
            parts
                .next()
                .into_iter()
                .flat_map(|file| flag("--ssl-keyfile", file)),
        );
        effects
    }),
    by(&["-w", "--module", "--wsgi"], module),
    by(&["--wsgi-file", "--file"], wsgi_file),
    by(&["--callable"], |name| {
        vec![Effect::Callable(name.to_owned())]
    }),
    by(&["--mount", "--manage-script-name"], |_| {
        missing("[apps.NAME] serves several applications in one file: docs/apps.md")
    }),
    so(&["-M", "--master"], Nothing, "there is always a supervisor"),
    is(&["-p", "--processes", "--workers"], "--workers"),
    is(&["--threads"], "--wsgi-threads"),
    so(
        &[
            "--enable-threads",
            "--single-interpreter",
            "--need-app",
            "--no-orphans",
            "--strict",
            "--die-on-term",
            "--vacuum",
        ],
        Nothing,
        "always so",
    ),
    so(&["--lazy-apps", "--lazy"], Nothing, LAZY),
    so(
        &[
            "--thunder-lock",
            "--http-websockets",
            "--tcp-nodelay",
            "--reuse-port",
            "--ignore-sigpipe",
            "--ignore-write-errors",
            "--disable-write-exception",
            "--log-x-forwarded-for",
            "--auto-procname",
            "--so-keepalive",
            "--http-keepalive",
            "--http-auto-chunked",
            "--add-header",
            "--close-on-exec",
            "--wsgi-env-behavior",
            "--log-master",
            "--logdate",
        ],
        Nothing,
        "handled without a setting",
    ),
    so(
        &[
            "--plugin",
            "--plugins",
            "--post-buffering",
            "--offload-threads",
            "--http-timeout",
            "--socket-timeout",
            "--http-processes",
            "--async",
            "--ugreen",
            "--chunked-input-limit",
            "--chunked-input-timeout",
            "--min-worker-lifetime",
            "--threads-stacksize",
        ],
        Value,
        "nothing here needs it",
    ),
    by(&["--chdir", "--chdir2"], values::directory),
    by(
        &["--pythonpath", "--python-path", "--pp"],
        values::python_path,
    ),
    is(
        &["-H", "--home", "--virtualenv", "--venv", "--pyhome"],
        "--python",
    ),
    by(&["--env"], values::variable),
    no(
        &["--harakiri"],
        Value,
        "--timeout-request S answers a late request with 504, --timeout-worker-stall S with --stall-action recycle replaces \
         a worker whose event loop hangs",
    ),
    by(&["--max-requests"], |n| {
        values::unless_zero("--max-requests", n)
    }),
    by(&["--max-requests-delta"], |n| {
        values::unless_zero("--max-requests-jitter", n)
    }),
    by(&["--max-worker-lifetime"], |time| {
        values::lifetime("--ttl", time)
    }),
    by(&["--reload-on-rss", "--evil-reload-on-rss"], |size| {
        values::mebibytes("--max-rss", size)
    }),
    no(
        &["--reload-on-as", "--limit-as"],
        Value,
        "--max-rss counts private memory, not address space",
    ),
    is(
        &["--worker-reload-mercy", "--reload-mercy"],
        "--timeout-graceful-shutdown",
    ),
    no(&["--uid", "--gid"], Value, "start it as that user"),
    by(&["--chmod-socket"], |mode| match mode {
        "" => Vec::new(),
        mode => flag("--uds-mode", mode),
    }),
    no(
        &["--chown-socket"],
        Value,
        "the socket is its user's; --uds-mode 660 and a common group let a proxy in",
    ),
    is(&["-l", "--listen"], "--backlog"),
    is(
        &[
            "--procname",
            "--procname-prefix",
            "--procname-prefix-spaced",
        ],
        "--process-name",
    ),
    by(&["-b", "--buffer-size"], |bytes| {
        flag("--max-head-size", bytes)
    }),
    is(&["--limit-post"], "--max-body-size"),
    by(&["--static-map"], |map| match map.split_once('=') {
        Some((path, directory)) => flag("--static", format!("{path}={directory}")),
        None => missing("write --static /path=DIR"),
    }),
    no(
        &["--static-index", "--static-expires", "--check-static"],
        Value,
        "--static has options of its own: docs/static-files.md",
    ),
    no(
        &["--pidfile", "--pidfile2", "--safe-pidfile"],
        Value,
        "systemd or the container knows the supervisor",
    ),
    no(&["-d", "--daemonize", "--daemonize2"], Value, FOREGROUND),
    no(
        &["--logto", "--logto2", "--logger", "--req-logger"],
        Value,
        "log lines go to stderr, access lines to stdout or --access-log-file",
    ),
    on(&["-L", "--disable-logging"], "--no-access-log"),
    no(
        &["--log-format", "--logformat", "--log-maxsize", "--log-date"],
        Value,
        "--access-log-format has gunicorn's letters: docs/logging.md",
    ),
    no(
        &["--log-4xx", "--log-5xx", "--log-slow"],
        Value,
        "a logging.Filter on uvicorn.access can leave lines out: docs/logging.md",
    ),
    by(
        &["--py-autoreload", "--py-auto-reload"],
        |seconds| match seconds {
            "0" => Vec::new(),
            _ => vec![Effect::Flag("--reload", None)],
        },
    ),
    no(
        &[
            "--touch-reload",
            "--touch-chain-reload",
            "--touch-workers-reload",
        ],
        Value,
        "SIGHUP, or lowmem-serve ctl recycle, replaces the workers",
    ),
    no(
        &[
            "--cheaper",
            "--cheaper-initial",
            "--cheaper-step",
            "--cheaper-algo",
            "--cheaper-overload",
            "--cheap",
            "--idle",
        ],
        Value,
        SLEEP,
    ),
    no(
        &["--stats", "--stats-server"],
        Value,
        "--status-bind HOST:PORT serves metrics, probes and a page",
    ),
    so(
        &["--stats-http", "--memory-report"],
        Nothing,
        "lowmem-serve status shows the memory of each worker",
    ),
    no(
        &[
            "--cron",
            "--unique-cron",
            "--legion-cron",
            "--timer",
            "--spooler",
            "--mule",
            "--mules",
            "--farm",
            "--attach-daemon",
            "--attach-daemon2",
            "--smart-attach-daemon",
        ],
        Value,
        JOBS,
    ),
    no(
        &["--gevent", "--gevent-monkey-patch", "--asyncio"],
        Value,
        "call gevent.monkey.patch_all() at the top of the application's module, and its views are greenlets",
    ),
    no(
        &["--import", "--shared-import"],
        Value,
        "import it in the application's module",
    ),
    no(
        &["--master-fifo"],
        Value,
        "lowmem-serve ctl gives orders to a running server",
    ),
    no(
        &["--show-config"],
        Nothing,
        "lowmem-serve config lists the settings in effect",
    ),
    by(&["--ini"], values::settings_file),
    no(
        &["--xml", "--yaml", "--json", "--emperor"],
        Value,
        "only ini files are read; several applications are [apps.NAME] (docs/apps.md)",
    ),
    does(&["--protocol"], |_| Vec::new()),
];

/// `host:port`, and the path of a Unix socket, which needs no slash.
fn places(text: &str) -> Effects {
    let is_path =
        |place: &str| place.contains(|c: char| !c.is_ascii_digit()) && !place.contains([':', '$']);
    let places = text.split(',').map(|place| match place.trim() {
        path if is_path(path) => format!("unix:{path}"),
        place => place.to_owned(),
    });
    values::bind(&places.collect::<Vec<_>>().join(","))
}

/// `module:callable`, or the module alone.
fn module(text: &str) -> Effects {
    match text.strip_suffix("()") {
        Some(factory) => vec![
            Effect::Flag("--factory", None),
            Effect::Application(factory.to_owned()),
        ],
        None => vec![Effect::Application(text.to_owned())],
    }
}

/// A path, below the working directory or elsewhere.
fn wsgi_file(path: &str) -> Effects {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let name = file.strip_suffix(".py").unwrap_or(file);
    let mut effects = vec![Effect::Application(name.to_owned())];
    if !folder.is_empty() {
        effects.extend(flag("--app-dir", folder));
    }
    effects
}

/// A file of settings, or a place.
pub(super) fn positional(text: &str) -> Effects {
    match text {
        file if file.ends_with(".ini") => values::settings_file(file),
        place if place.starts_with(':') => values::bind(place),
        other => missing(format!("{other} is no option")),
    }
}

/// It imports the application before it forks.
pub(super) fn unasked(effects: &[Effect]) -> Effects {
    let has_workers =
        |effect: &Effect| matches!(effect, Effect::Flag("--workers", Some(n)) if n != "1");
    let lazy = Effect::Note(Weight::Needless, LAZY.to_owned());
    if !effects.iter().any(has_workers) || effects.contains(&lazy) {
        return Vec::new();
    }
    let why = "uWSGI imports the application before it forks, unless lazy-apps is set; --preload does so here";
    vec![Effect::Note(Weight::Different, why.to_owned())]
}
