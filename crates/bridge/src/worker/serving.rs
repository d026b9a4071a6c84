//! From the imported application to the worker's last word: startup, serving, drain, end.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use tokio::net::{TcpListener, UnixListener};

use lowmem_base::config::{BoundListener, Loop, TellsImports, WorkerConfig};
use lowmem_base::control::{Account, Drain, FromWorker, WorkerEnd};
use lowmem_base::sys::{memory, startup};
use lowmem_base::telemetry::paint;
use lowmem_http::interface::Protocol;
use lowmem_http::peers::ServerAddress;
use lowmem_http::server::{Listener, RouterEnd, Server};
use lowmem_http::tasks;
use lowmem_http::tls::{self, Identity};

use super::preparing::{CANNOT_SERVE, freeze_heap};
use crate::application::Asgi;
use crate::control::{Control, Order, Stop};
use crate::drain;
use crate::event_loop;
use crate::growth;
use crate::hosted::Hosted;
use crate::idleness::{self, Idleness};
use crate::interpreter::{self, Loaded};
use crate::lazy_imports;
use crate::lifespan::Lifespan;
use crate::light;
use crate::notice::Notice;
use crate::overdue;
use crate::report;
use crate::request_names::RequestNames;
use crate::runtime;
use crate::scope::Scopes;
use crate::signals;
use crate::warm;
use crate::wsgi::{self, Wsgi};

/// How long one request of `--warm-up` may take before the worker is ready without it.
const WARM_UP: Duration = Duration::from_secs(30);

/// Serves the application.
pub(super) fn work(
    py: Python<'_>,
    (control, stop): (WorkerEnd, OwnedFd),
    config: WorkerConfig,
    descriptors: Vec<OwnedFd>,
    loaded: Loaded,
) -> PyResult<i32> {
    let pid = std::process::id();
    let identity = match identity(&config) {
        Ok(identity) => identity,
        Err(code) => return Ok(code),
    };
    let is_wsgi = loaded.protocol == Protocol::Wsgi;
    runtime::build()?;
    if let Err(error) = install_loop(py, &config.application.event_loop, is_wsgi) {
        report::exception(py, "Cannot create the event loop", &error);
        return Ok(CANNOT_SERVE);
    }
    let (control, listeners) = runtime::enter(|| -> PyResult<_> {
        Ok((
            Control::new(control, stop, at_signal(&config))?,
            listeners(&config, descriptors)?,
        ))
    })?;
    let code = Rc::new(Cell::new(0));
    let result = Rc::clone(&code);
    let serving = serving(loaded, config, identity, control, listeners);
    let main = Box::pin(async move {
        result.set(serving.await);
        overdue::watch(result.get());
        if let Err(error) = event_loop::end_all().await {
            Python::attach(|py| {
                report::exception(py, "Cannot end the tasks that are left", &error)
            });
        }
    });
    let ended = if is_wsgi {
        // SAFETY: it was made without a token; what of it needs Python attaches.
        unsafe { wsgi::run(py, main) }
    } else {
        event_loop::run(py, main)
    };
    event_loop::close(py)?;
    ended?;
    tracing::info!("Finished server process [{}]", paint::cyan(pid));
    if wsgi::is_stuck() {
        interpreter::leave(py, code.get());
    }
    Ok(code.get())
}

fn install_loop(py: Python<'_>, kind: &Loop, is_wsgi: bool) -> PyResult<()> {
    if !is_wsgi {
        return event_loop::install(py, kind, light::adopt_current);
    }
    if *kind != Loop::Auto {
        tracing::warn!("--loop is ignored: a WSGI application needs no event loop");
    }
    Ok(())
}

/// The certificate and key for TLS, from files that may have changed since the last worker read them; or
/// the exit code, after the fault has been logged.
fn identity(config: &WorkerConfig) -> Result<Option<Identity>, i32> {
    let Some(tls) = &config.server.tls else {
        return Ok(None);
    };
    tls::load(tls, config.server.http.versions.protocols())
        .map(Some)
        .map_err(|bad| {
            bad.iter().for_each(|bad| tracing::error!("{bad}"));
            CANNOT_SERVE
        })
}

/// Takes the inherited listeners over.
fn listeners(config: &WorkerConfig, descriptors: Vec<OwnedFd>) -> PyResult<Vec<Listener>> {
    if config.start.listeners.len() != descriptors.len() {
        return Err(PyOSError::new_err("the supervisor sent too few listeners"));
    }
    let adopt = |(kind, descriptor): (&BoundListener, OwnedFd)| -> io::Result<Listener> {
        match kind {
            BoundListener::Tcp => {
                let listener = std::net::TcpListener::from(descriptor);
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Listener::Tcp)
            }
            BoundListener::Unix(path) => {
                let listener = std::os::unix::net::UnixListener::from(descriptor);
                listener.set_nonblocking(true)?;
                let listener = UnixListener::from_std(listener)?;
                Ok(Listener::Unix(listener, path.clone()))
            }
            BoundListener::Routed => RouterEnd::new(descriptor)
                .map(Rc::new)
                .map(Listener::Routed),
        }
    };
    let adopted: io::Result<Vec<_>> = config
        .start
        .listeners
        .iter()
        .zip(descriptors)
        .map(adopt)
        .collect();
    Ok(adopted?)
}

/// How a signal stops the worker that the supervisor has not passed on.
fn at_signal(config: &WorkerConfig) -> Drain {
    Drain::stopping(config.stop.grace, config.stop.delay, false)
}

/// [`serve`] in memory of its own. By value it would be on the stack of each function that it passes
/// through, for as long as the worker lives.
#[inline(never)]
fn serving(
    loaded: Loaded,
    config: WorkerConfig,
    identity: Option<Identity>,
    control: Control,
    listeners: Vec<Listener>,
) -> Pin<Box<dyn Future<Output = i32>>> {
    Box::pin(serve(loaded, config, identity, control, listeners))
}

/// Serves the application until the supervisor, or a signal, says stop.
async fn serve(
    loaded: Loaded,
    config: WorkerConfig,
    identity: Option<Identity>,
    control: Control,
    listeners: Vec<Listener>,
) -> i32 {
    let Some((hosted, lifespan)) = start(loaded, &config).await else {
        return CANNOT_SERVE;
    };
    let state = Python::attach(|py| lifespan.as_ref().map(|own| own.state(py)));
    let notice = Rc::new(Notice::new(state));
    let server = match Server::new(hosted, &config.server, identity) {
        Ok(server) => server,
        Err(error) => {
            tracing::error!("Cannot start serving: {error}");
            return CANNOT_SERVE;
        }
    };
    attend(&server);
    if let Some(asked) = config.diagnosis.growth
        && let Err(error) = growth::start(config.start.package.as_deref(), asked).await
    {
        Python::attach(|py| report::exception(py, "Cannot be asked for growth", &error));
    }
    if let Err(error) = signals::take_back() {
        Python::attach(|py| report::exception(py, "Cannot watch for signals", &error));
    }
    warm_up(&server, &config, &listeners).await;
    // A worker that accepts a connection must answer on it; another worker will accept these.
    if control.is_over() {
        end(lifespan).await;
        return 0;
    }
    server.accept(listeners);
    memory::keep_top();
    if let Err(error) = control.send(&FromWorker::Ready) {
        tracing::error!("Cannot reach the supervisor: {error}");
        return CANNOT_SERVE;
    }
    if config.start.tells_imports == TellsImports::WhenReady {
        report_imports(&config, &control);
    }
    tasks::spawn(forget_start());
    let control = Rc::new(control);
    tasks::spawn(report_quota(Rc::clone(&server), Rc::clone(&control)));
    let idleness = Rc::new(Idleness::new(Rc::clone(&server), Rc::clone(&control)));
    if let Some(time) = config.sleep_after {
        tasks::spawn(report_idleness(Rc::clone(&idleness), time));
    }
    let stop = loop {
        match control.order().await {
            Order::Adopt(predecessor) => server.adopt(predecessor),
            Order::GiveBack => server.give_back(),
            Order::Routes(routes) => server.set_routes(routes),
            Order::WindDown(within) => {
                let (server, control) = (Rc::clone(&server), Rc::clone(&control));
                tasks::spawn(wind_down(server, control, Rc::clone(&notice), within));
            }
            Order::Sleep(order, keeper) if idleness.is_free() => {
                before_sleep(&config, &control, order.is_first);
                break Stop::Drain(order.drain, Some(keeper));
            }
            Order::Sleep(..) => idleness.refuse(),
            Order::Stop(stop) => break stop,
        }
    };
    tell_of_later_imports(&config, &control);
    let ends_lifespan = drain::run(&server, &control, &notice, stop).await;
    report_end(&server, &control);
    let mut end = pin!(end(lifespan.filter(|_| ends_lifespan)));
    let mut leave = pin!(control.leave());
    poll_fn(|cx| match leave.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => end.as_mut().poll(cx),
    })
    .await;
    0
}

/// Sets up the server's work between two turns of the loop.
fn attend(server: &Rc<Server<Hosted>>) {
    let flushed = Rc::clone(server);
    runtime::before_wait(Rc::new(move || {
        flushed.flush_logs();
        flushed.tell_counters();
        wsgi::tell_counters();
        wsgi::before_wait();
        lazy_imports::before_wait();
        wsgi::let_go_of_written();
    }));
    let timed = Rc::clone(server);
    event_loop::tick_while(Rc::new(move || {
        timed.open_connections() > 0 || timed.is_draining() || timed.is_unsettled()
    }));
}

/// Writes the last log lines and sends the account. Errors are ignored: the supervisor may be gone by now.
fn report_end(server: &Server<Hosted>, control: &Control) {
    server.flush_logs();
    let _ = control.send(&FromWorker::Served(Account {
        requests: server.served(),
        handed_over: server.handed_over(),
    }));
    let _ = control.send(&FromWorker::Drained);
}

/// Ends what was started with the application.
async fn end(lifespan: Option<Lifespan>) {
    if let Some(mut lifespan) = lifespan {
        lifespan.shutdown().await;
    }
    wsgi::end();
}

/// Makes the application ready for requests: ASGI's by lifespan startup. Without one, why has been
/// logged.
async fn start(loaded: Loaded, config: &WorkerConfig) -> Option<(Hosted, Option<Lifespan>)> {
    let Loaded { app, protocol } = loaded;
    let version = match protocol {
        Protocol::Wsgi => None,
        Protocol::Asgi2 => Some("2.0"),
        Protocol::Asgi3 => Some("3.0"),
    };
    let mut lifespan = None;
    if let Some(version) = version {
        tasks::spawn(light::run());
        let own = Python::attach(|py| Lifespan::new(py, config.application.lifespan, version));
        lifespan.insert(own).startup(&app).await.ok()?;
    }
    let made = Python::attach(|py| {
        let hosted = match (version, &lifespan) {
            (Some(version), Some(lifespan)) => {
                let scopes = Scopes::new(py, version, config, lifespan.state(py))?;
                let names = RequestNames::new(py, config);
                Hosted::Asgi(Box::new(Asgi::new(app, scopes, names)))
            }
            _ => Hosted::Wsgi(Wsgi::new(py, app, config)?),
        };
        lazy_imports::settle(py, config)?;
        if config.application.gc_freeze {
            freeze_heap(py)?;
        }
        Ok(hosted)
    });
    match made {
        Ok(hosted) => Some((hosted, lifespan)),
        Err(error) => {
            Python::attach(|py| report::exception(py, "Cannot start serving", &error));
            None
        }
    }
}

/// Reports the imported modules. Without the report the next worker takes longer to start.
fn report_imports(config: &WorkerConfig, control: &Control) {
    let imported = Python::attach(|py| warm::imported(py, config).map(Box::new));
    let imported = imported.map_err(io::Error::from);
    if let Err(error) = imported.and_then(|found| control.send(&FromWorker::Imported(found))) {
        tracing::debug!("Cannot report the imported modules: {error}");
    }
}

/// The modules that were imported while it served: the next template that it shares with others should have that.
/// Looked at are modules beyond those of its template only.
fn tell_of_later_imports(config: &WorkerConfig, control: &Control) {
    if config.start.place.is_some() && config.start.tells_imports == TellsImports::WhenReady {
        report_imports(config, control);
    }
}

/// Gives back what the start took, once everything that the worker runs has begun to wait.
async fn forget_start() {
    tokio::task::yield_now().await;
    startup::forget();
}

/// Serves on until little would be lost, and says so.
async fn wind_down(
    server: Rc<Server<Hosted>>,
    control: Rc<Control>,
    notice: Rc<Notice>,
    within: Duration,
) {
    drain::wind_down(&server, &notice, within).await;
    if let Err(error) = control.send(&FromWorker::WoundDown) {
        tracing::error!("Cannot reach the supervisor: {error}");
    }
}

/// Requests paths of the application before the first client comes, so that its first-time work is done.
async fn warm_up(server: &Rc<Server<Hosted>>, config: &WorkerConfig, listeners: &[Listener]) {
    if config.application.warm_up.is_empty() {
        return;
    }
    for path in &config.application.warm_up {
        let address = listeners.iter().find_map(Listener::address);
        let address = address.unwrap_or_else(|| ServerAddress::Unix(String::new()));
        if let Err(why) = server.warm_up(path, address, WARM_UP).await {
            tracing::warn!("--warm-up {path}: {why}");
        }
    }
    if config.application.gc_freeze
        && let Err(error) = Python::attach(freeze_heap)
    {
        Python::attach(|py| report::exception(py, "Cannot freeze the heap", &error));
    }
}

/// Reports and logs, before a worker goes to sleep.
fn before_sleep(config: &WorkerConfig, control: &Control, is_first: bool) {
    if config.start.tells_imports == TellsImports::BeforeSleep {
        report_imports(config, control);
    }
    if is_first {
        idleness::name_what_ends(config.start.package.as_deref());
    }
}

/// Lets the supervisor know whether the application is used.
async fn report_idleness(idleness: Rc<Idleness>, time: Duration) {
    if let Err(error) = idleness.report(time).await {
        tracing::error!("The application will not sleep: {error}");
    }
}

/// The supervisor decides what a worker that has answered its share of requests does next.
async fn report_quota(server: Rc<Server<Hosted>>, control: Rc<Control>) {
    server.quota_reached().await;
    if let Err(error) = control.send(&FromWorker::LimitReached) {
        tracing::error!("Cannot reach the supervisor: {error}");
    }
}
