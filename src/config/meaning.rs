//! From typed to meant: the one place that turns words and variables into a [`Config`].

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lazy_imports;
use super::mistakes::{Mistake, Mistakes};
use super::{
    Config, HttpVersions, Interface, Lifespan, LimitSettings, Loop, ProxySettings, Recycle,
    RecycleMode, Surroundings, TellsImports, WorkerConfig, environment, header, jobs, limits,
    listen, logging, mounts, proxies, reload, sleeping, tls, websockets,
};
use crate::cli::{
    self, Application, Compatibility, Flags, Http, InterfaceWord, LifespanWord, RecycleWord,
    Recycling,
};
use crate::imports::REPORT_VARIABLE;
use crate::routes::Routes;
use crate::sys::same_pages;

/// How long a stop may take: `docker stop` kills after ten seconds.
const STOP: Duration = Duration::from_secs(8);

/// How long a worker that has a successor may take to end: no new request waits for it.
const REPLACEMENT: Duration = Duration::from_secs(30);

/// Says what the flags mean here, or everything that is wrong with them.
pub fn meant(flags: &Flags, around: &Surroundings) -> Result<Config, Vec<Mistake>> {
    let mut mistakes = Mistakes::default();
    let mut notices = Vec::new();
    ignored(&flags.compatibility, &mut notices);
    notices.extend(cli::unknown_variables(around.variables.keys()));
    notices.extend(gunicorns_variable(around));
    notices.extend(merging(flags.processes.ksm));
    let env_file = flags.application.env_file.as_deref();
    let mut environment = environment::read(env_file, around, &mut notices, &mut mistakes);
    environment.extend(super::cache::variables(
        &flags.caches,
        flags.app.as_deref(),
        around,
    ));
    let proxies = proxies::meant(&flags.proxies, &environment, &mut mistakes);
    let limits = limits::meant(&flags.limits, &flags.http, &mut mistakes);
    let worker = WorkerConfig {
        mounts: mounts::meant(&flags.files, &around.directory, &mut mistakes),
        limits,
        proxies,
        health_path: sleeping::health_path(&flags.sleeping, &mut mistakes),
        warm_up: sleeping::warm_up(&flags.sleeping, &mut mistakes),
        http: versions(&flags.http, &mut notices, &mut mistakes),
        tls: tls::meant(&flags.tls, &mut notices, &mut mistakes),
        websockets: websockets::meant(&flags.websocket, &mut notices, &mut mistakes),
        ..worker(flags, around, &mut mistakes)
    };
    let settings = environment::settings(flags, around);
    let reload = reload::meant(&flags.reload, settings, around, &mut notices, &mut mistakes);
    let jobs = jobs::meant(&flags.jobs, around, &mut mistakes);
    environment.extend(jobs::variable(&jobs));
    environment.extend(jobs::isolated(&flags.jobs));
    let mut config = Config {
        listen: listen::meant(&flags.listening, around, &mut notices, &mut mistakes),
        uds_mode: flags.listening.uds_mode,
        backlog: flags.listening.backlog,
        workers: environment::workers(flags.processes.workers, &environment, &mut mistakes),
        worker_startup: flags.processes.timeout_worker_startup,
        preload: flags.processes.preload,
        recycle: recycle(&flags.recycling, flags.processes.timeout_graceful_shutdown),
        sleep: sleeping::meant(
            &flags.sleeping,
            &flags.processes,
            &mut notices,
            &mut mistakes,
        ),
        memory_budget: flags.sleeping.memory_budget,
        jobs,
        reload,
        stall: super::status::stall(&flags.operation, &mut mistakes),
        status: super::status::meant(flags, around, &mut mistakes),
        operator: super::operator::meant(&flags.operation, around),
        environment,
        env_file: flags.application.env_file.clone(),
        worker,
        notices,
    };
    if config.reload.is_some() {
        for_development(&mut config);
    }
    mistakes.into_result().map(|()| config)
}

/// With `--reload` there is one worker, whose successor comes first: a file that cannot be imported
/// must leave a worker that serves.
fn for_development(config: &mut Config) {
    if config.workers.get() > 1 {
        config.workers = NonZeroUsize::MIN;
        let notice = "\"workers\" flag is ignored when reloading is enabled.";
        config.notices.push(notice.to_owned());
    }
    config.recycle.mode = RecycleMode::Overlap;
    let grace = config.worker.graceful_shutdown.min(reload::GRACE);
    config.worker.graceful_shutdown = grace;
    config.recycle.grace = grace;
}

fn worker(flags: &Flags, around: &Surroundings, mistakes: &mut Mistakes) -> WorkerConfig {
    let Application {
        app_dir, root_path, ..
    } = &flags.application;
    let http = &flags.http;
    if http.limit_concurrency == Some(0) {
        mistakes.add(
            "--limit-concurrency",
            "at least 1, or nothing would be answered",
        );
    }
    let growth = super::growth::meant(&flags.diagnosis);
    WorkerConfig {
        app: flags.app.clone().unwrap_or_default(),
        process_name: flags.processes.process_name.clone(),
        factory: flags.application.factory,
        app_dir: application_directory(app_dir.as_deref(), around, mistakes),
        argv: around.argv.clone(),
        event_loop: event_loop(&flags.application.event_loop, mistakes),
        interface: match flags.application.interface {
            InterfaceWord::Auto => Interface::Auto,
            InterfaceWord::Asgi3 => Interface::Asgi3,
            InterfaceWord::Asgi2 => Interface::Asgi2,
            InterfaceWord::Wsgi => Interface::Wsgi,
        },
        wsgi_threads: flags.application.wsgi_threads,
        lifespan: match flags.application.lifespan {
            LifespanWord::Auto => Lifespan::Auto,
            LifespanWord::On => Lifespan::On,
            LifespanWord::Off => Lifespan::Off,
        },
        root_path: root_path.trim_end_matches('/').to_owned(),
        // Frozen objects are out of the collector's sight and cannot be counted.
        gc_freeze: growth.is_none()
            && unless(flags.application.no_gc_freeze, flags.application.gc_freeze),
        merges_pages: flags.processes.ksm,
        growth,
        imports_report: around.variable(REPORT_VARIABLE).map(Into::into),
        access_log: unless(flags.logging.no_access_log, flags.logging.access_log),
        access: logging::access(&flags.logging, around, mistakes),
        log: logging::lines(&flags.logging, around),
        log_config: logging::log_config(&flags.logging, around, mistakes),
        server_header: unless(http.no_server_header, http.server_header),
        date_header: unless(http.no_date_header, http.date_header),
        request_id: http.request_id,
        isolated_template: jobs::isolated_template(&flags.jobs, mistakes),
        has_calls_socket: false,
        pathsend: flags.files.pathsend,
        headers: headers(&http.headers, mistakes),
        keep_alive: http.timeout_keep_alive,
        header_read: http.timeout_header_read,
        graceful_shutdown: flags.processes.timeout_graceful_shutdown.unwrap_or(STOP),
        drain_delay: flags.processes.drain_delay,
        limit_concurrency: http.limit_concurrency,
        max_head_size: http.max_head_size,
        limits: LimitSettings::default(),
        mounts: Vec::new(),
        proxies: ProxySettings::default(),
        websockets: None,
        health_path: None,
        sleep_after: sleeping::after(&flags.sleeping),
        max_requests: flags.recycling.max_requests,
        max_requests_jitter: flags.recycling.max_requests_jitter,
        http: HttpVersions::Auto,
        http2_max_streams: http.http2_max_streams,
        tls: None,
        lazy_imports: lazy_imports(&flags.application.lazy_imports, mistakes),
        warm_up: Vec::new(),
        place: None,
        tells_imports: TellsImports::Never,
        package: None,
        listeners: Vec::new(),
        routes: Routes::default(),
        tells_stacks: flags.operation.timeout_worker_stall.is_some(),
        slot: 0,
        is_first: false,
        counts: false,
    }
}

/// Where the application is looked for first. Python's own paths are texts.
fn application_directory(
    typed: Option<&Path>,
    around: &Surroundings,
    mistakes: &mut Mistakes,
) -> PathBuf {
    let directory = match typed {
        Some(path) => around.directory.join(path),
        None => around.directory.clone(),
    };
    if directory.to_str().is_none() {
        mistakes.add("--app-dir", format!("{directory:?} is not UTF-8"));
    } else if directory.is_relative() {
        let why = "the working directory is gone; name one that is there";
        mistakes.add_failure("--app-dir", why.to_owned());
    }
    directory
}

fn recycle(typed: &Recycling, grace: Option<Duration>) -> Recycle {
    Recycle {
        grace: grace.unwrap_or(REPLACEMENT),
        ttl: typed.ttl,
        ttl_jitter: typed.ttl_jitter,
        max_rss: typed.max_rss,
        mode: match typed.recycle {
            RecycleWord::Auto => RecycleMode::Auto,
            RecycleWord::Overlap => RecycleMode::Overlap,
            RecycleWord::Sequential => RecycleMode::Sequential,
        },
    }
}

/// A pair of flags, `--x` and `--no-x`, that is on by default.
fn unless(no: bool, yes: Option<bool>) -> bool {
    !no && yes.unwrap_or(true)
}

fn event_loop(word: &str, mistakes: &mut Mistakes) -> Loop {
    match word {
        "auto" => Loop::Auto,
        // Uvicorn's word for leaving asyncio as it is.
        "asyncio" | "none" => Loop::Asyncio,
        "uvloop" => Loop::Uvloop,
        "rloop" | "zuvloop" => Loop::Factory(format!("{word}:new_event_loop")),
        factory if factory.split(':').filter(|part| !part.is_empty()).count() == 2 => {
            Loop::Factory(factory.to_owned())
        }
        other => {
            let choices = "auto, asyncio, uvloop, rloop, none or module:factory";
            // As in Uvicorn, a loop that cannot be had is a failed start and not wrong usage.
            let why = format!("there is no \"{other}\"; the choices are {choices}");
            mistakes.add_failure("--loop", why);
            Loop::Auto
        }
    }
}

/// Which versions of HTTP are spoken. Uvicorn's words choose among parsers.
fn versions(typed: &Http, notices: &mut Vec<String>, mistakes: &mut Mistakes) -> HttpVersions {
    match typed.http.as_str() {
        "auto" => HttpVersions::Auto,
        "1" => HttpVersions::Http1,
        "2" => HttpVersions::Http2,
        word if matches!(word, "h11" | "httptools" | "zttp") || word.contains(':') => {
            notices.push(format!(
                "--http {word} is ignored: it is about implementations that only Uvicorn has"
            ));
            HttpVersions::Auto
        }
        word => {
            let why = format!("there is no \"{word}\"; the choices are auto, 1 and 2");
            mistakes.add("--http", why);
            HttpVersions::Auto
        }
    }
}

/// Why `--ksm` merges nothing here, if it does not.
fn merging(is_wanted: bool) -> Option<String> {
    let why = is_wanted.then(same_pages::obstacle).flatten()?;
    Some(format!("--ksm merges no pages: {why}"))
}

/// A platform may still set what gunicorn read.
fn gunicorns_variable(around: &Surroundings) -> Option<String> {
    let arguments = around.variable("GUNICORN_CMD_ARGS")?;
    Some(format!(
        "GUNICORN_CMD_ARGS ({arguments}) is not read; lowmem-serve migrate \"gunicorn $GUNICORN_CMD_ARGS app:app\" \
         says what it is here"
    ))
}

/// Says which of Uvicorn's choices is none here. `auto` asks for nothing.
fn ignored(typed: &Compatibility, notices: &mut Vec<String>) {
    let choices = [("--ws-max-queue", &typed.ws_max_queue)];
    for (option, value) in choices {
        if let Some(value) = value.as_deref().filter(|value| *value != "auto") {
            notices.push(format!(
                "{option} {value} is ignored: it is about implementations that only Uvicorn has"
            ));
        }
    }
    if let Some(seconds) = typed.timeout_worker_healthcheck {
        notices.push(format!(
            "--timeout-worker-healthcheck {seconds} is ignored: a worker that is busy is not dead"
        ));
    }
}

fn lazy_imports(typed: &str, mistakes: &mut Mistakes) -> Vec<String> {
    lazy_imports::parse(typed).unwrap_or_else(|why| {
        mistakes.add("--lazy-imports", why);
        Vec::new()
    })
}

fn headers(typed: &[String], mistakes: &mut Mistakes) -> Vec<(String, String)> {
    let mut headers = Vec::with_capacity(typed.len());
    for text in typed {
        match header::parse(text) {
            Ok(header) => headers.push(header),
            Err(why) => mistakes.add("--header", format!("{text:?}: {why}")),
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::*;
    use crate::config::Listen;
    use crate::exit::Exit;

    fn around() -> Surroundings {
        Surroundings {
            directory: PathBuf::from("/srv"),
            stderr_is_terminal: true,
            ..Surroundings::default()
        }
    }

    fn config_in(around: &Surroundings, argv: &[&str]) -> Result<Config, Vec<Mistake>> {
        let argv = ["lowmem-serve", "app:app"].iter().chain(argv);
        let argv: Vec<_> = argv.map(OsString::from).collect();
        let typed = cli::parse(&argv, |_| None, Path::new("/")).unwrap();
        meant(&typed.cli.flags, around)
    }

    fn config(argv: &[&str]) -> Config {
        config_in(&around(), argv).unwrap()
    }

    #[test]
    fn without_flags_it_is_uvicorn() {
        let config = config(&[]);
        let host = "127.0.0.1".to_owned();
        assert_eq!(config.listen, [Listen::Tcp { host, port: 8000 }]);
        assert_eq!(config.workers.get(), 1);
        assert_eq!(config.worker.app_dir, PathBuf::from("/srv"));
        assert!(
            config.worker.access_log && config.worker.server_header && config.worker.date_header
        );
    }

    #[test]
    fn all_mistakes_are_reported_together() {
        let argv = [
            "--workers=0",
            "--loop=x",
            "--header=x",
            "--fd=3",
            "--uds=/x",
        ];
        let mistakes = config_in(&around(), &argv).unwrap_err();
        assert_eq!(mistakes.len(), 4, "{mistakes:?}");
        assert_eq!(Mistake::exit_of(&mistakes), Exit::Usage);
    }

    #[test]
    fn an_application_is_looked_for_in_a_directory_that_there_is() {
        let gone = Surroundings {
            directory: PathBuf::from("."),
            ..around()
        };
        let mistakes = config_in(&gone, &[]).unwrap_err();
        assert_eq!(Mistake::exit_of(&mistakes), Exit::CouldNotStart);
        assert!(config_in(&gone, &["--app-dir=/srv"]).is_ok());
        let latin = OsString::from_vec(b"/srv/caf\xe9".to_vec());
        let latin = Surroundings {
            directory: PathBuf::from(latin),
            ..around()
        };
        let mistakes = config_in(&latin, &[]).unwrap_err();
        assert_eq!(Mistake::exit_of(&mistakes), Exit::Usage);
    }

    #[test]
    fn an_unknown_loop_is_a_failed_start_that_names_the_choices() {
        let mistakes = config_in(&around(), &["--loop=fast"]).unwrap_err();
        assert_eq!(Mistake::exit_of(&mistakes), Exit::CouldNotStart);
        assert!(mistakes[0].to_string().contains("rloop, none or module"));
    }

    #[test]
    fn colours_need_a_terminal_or_a_flag_and_no_veto() {
        let colors = |around: &Surroundings, argv: &[&str]| {
            let WorkerConfig { log, access, .. } = config_in(around, argv).unwrap().worker;
            (log.stderr_colors, access.colors)
        };
        assert_eq!(colors(&around(), &[]), (true, false));
        assert_eq!(colors(&around(), &["--use-colors"]), (true, true));
        assert_eq!(colors(&around(), &["--no-use-colors"]), (false, false));
        assert_eq!(
            colors(&around(), &["--use-colors", "--log-format=json"]),
            (false, false)
        );
        let mut vetoed = around();
        vetoed.variables.insert("NO_COLOR".into(), "1".into());
        assert_eq!(colors(&vetoed, &[]), (false, false));
    }

    #[test]
    fn an_env_file_adds_and_never_overrides() {
        let file = std::env::temp_dir().join(format!("lowmem-serve-{}.env", std::process::id()));
        std::fs::write(&file, "SET=file\nNEW=a b\nWEB_CONCURRENCY=3\nwhat is this").unwrap();
        let mut around = around();
        around.variables.insert("SET".into(), "outside".into());
        let flag = format!("--env-file={}", file.display());
        let config = config_in(&around, &[&flag]).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(config.environment[0], ("NEW".to_owned(), "a b".to_owned()));
        let own = |name: &str| name.starts_with("LOWMEM_SERVE_");
        let others = config.environment.iter().filter(|(name, _)| !own(name));
        assert_eq!(others.count(), 2);
        assert!(config.notices[0].contains("line 4"));
        assert_eq!(config.workers.get(), 3);
    }

    #[test]
    fn a_variable_of_ours_that_is_no_setting_is_told() {
        let mut around = around();
        for name in [
            "LOWMEM_WORKRES",
            "LOWMEM_NO_ACCESS_LOG",
            "LOWMEM_TTL",
            "LOWMEM_SERVE_CORE",
            "OTHER",
        ] {
            around.variables.insert(name.into(), "1".into());
        }
        let notices = config_in(&around, &[]).unwrap().notices;
        let expected = [
            "there is no setting LOWMEM_NO_ACCESS_LOG; write access-log = false",
            "there is no setting LOWMEM_WORKRES; did you mean workers?",
        ];
        assert_eq!(notices, expected);
    }

    #[test]
    fn a_choice_that_is_none_here_is_told() {
        let notices = config(&["--http=httptools", "--ws=wsproto", "--ws-max-queue=9"]).notices;
        assert_eq!(notices.len(), 3, "{notices:?}");
    }

    #[test]
    fn a_missing_env_file_is_a_mistake() {
        assert!(config_in(&around(), &["--env-file=/nowhere"]).is_err());
    }
}
