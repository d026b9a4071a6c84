//! From typed to meant: the one place that turns words and variables into a [`Config`].

use std::num::NonZeroUsize;
use std::time::Duration;

use super::mistakes::{Mistake, Mistakes};
use super::{
    Config, Diagnosis, Recycle, RecycleMode, ServerSettings, StartFacts, StopSettings,
    WorkerConfig, application, environment, http, jobs, limits, listen, logging, mounts, proxies,
    reload, sleeping, tls, websockets,
};
use crate::cli::{self, Compatibility, Flags, RecycleWord, Recycling};
use crate::imports::REPORT_VARIABLE;
use crate::routes::Routes;
use crate::surroundings::Surroundings;
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
    let server = ServerSettings {
        http: http::meant(&flags.http, &mut notices, &mut mistakes),
        limits: limits::meant(&flags.limits, &flags.http, &mut mistakes),
        proxies: proxies::meant(&flags.proxies, &environment, &mut mistakes),
        websockets: websockets::meant(&flags.websocket, &mut notices, &mut mistakes),
        tls: tls::meant(&flags.tls, &mut notices, &mut mistakes),
        access: logging::access(&flags.logging, around, &mut mistakes),
        mounts: mounts::meant(&flags.files, &around.directory, &mut mistakes),
        health_path: sleeping::health_path(&flags.sleeping, &mut mistakes),
        max_requests: flags.recycling.max_requests,
        max_requests_jitter: flags.recycling.max_requests_jitter,
        application: None,
        routes: Routes::default(),
    };
    let diagnosis = Diagnosis {
        imports_report: around.variable(REPORT_VARIABLE).map(Into::into),
        growth: super::growth::meant(&flags.diagnosis),
        tells_stacks: flags.operation.timeout_worker_stall.is_some(),
    };
    let is_counted = diagnosis.growth.is_some();
    let worker = WorkerConfig {
        process_name: flags.processes.process_name.clone(),
        application: application::meant(flags, is_counted, around, &mut mistakes),
        server,
        log: logging::lines(&flags.logging, around, &mut mistakes),
        stop: StopSettings {
            grace: flags.processes.timeout_graceful_shutdown.unwrap_or(STOP),
            delay: flags.processes.drain_delay,
        },
        sleep_after: sleeping::after(&flags.sleeping),
        diagnosis,
        start: StartFacts::default(),
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
    let grace = config.worker.stop.grace.min(reload::GRACE);
    config.worker.stop.grace = grace;
    config.recycle.grace = grace;
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

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::exit::Exit;
    use crate::net::Listen;

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
        assert_eq!(config.worker.application.directory, PathBuf::from("/srv"));
        assert!(
            config.worker.server.access.enabled
                && config.worker.server.http.server_header
                && config.worker.server.http.date_header
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
            let worker = config_in(around, argv).unwrap().worker;
            (worker.log.stderr_colors, worker.server.access.colors)
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
