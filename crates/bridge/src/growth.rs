//! `--growth`: counting the heap on request, a slice at a time, while the worker serves.
//!
//! The counting itself is Python (`lowmem_serve/growth.py`), a generator that this turns; between
//! two of its steps every other task of the worker has its turn. What the worker keeps are two
//! tables of totals, and the samples of its own memory.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self as unix, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use lowmem_base::config::Growth;
use lowmem_base::growth::{
    Answer, Counts, History, Look, Parts, Question, Sample, Since, compare, may_ask, socket_name,
    total,
};
use lowmem_http::alarm::Alarm;
use lowmem_http::tasks;

use crate::package;
use crate::report;

/// Between two slices. Short, and yet a wait, in which every loop looks for other work.
const BETWEEN_SLICES: Duration = Duration::from_micros(200);

/// Between two attempts to look while another look is under way.
const BUSY: Duration = Duration::from_millis(20);

/// How long a question, and the reading of its answer, may take.
const SLOWEST: Duration = Duration::from_secs(5);

/// How many may ask at once.
const MOST_ASKING: usize = 8;

/// Between two attempts to accept where no descriptor is left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The longest question.
const QUESTION: u64 = 4_096;

/// The state that questions are answered from.
struct Looker {
    module: Py<PyModule>,
    traces_lines: bool,
    ready: Instant,
    history: RefCell<History>,
    /// Nothing while a look is under way.
    looks: RefCell<Option<Looks>>,
}

/// Those that are compared with.
struct Looks {
    first: Look,
    last: Look,
}

/// How much a look cost.
#[derive(Clone, Copy, Default)]
struct Pace {
    took: Duration,
    longest_pause: Duration,
}

/// Looks for the first time, and lets the worker be asked from then on. Called in the runtime's
/// context.
///
/// # Errors
/// The package is not there, or the socket's name is taken.
pub async fn start(package: Option<&Path>, asked: Growth) -> PyResult<()> {
    let listener = listen()?;
    let module = Python::attach(|py| package::import(py, package, "growth").map(Bound::unbind))?;
    let looker = Rc::new(Looker {
        module,
        traces_lines: asked.trace_frames.is_some(),
        ready: Instant::now(),
        history: RefCell::default(),
        looks: RefCell::new(None),
    });
    let types = looker.count("by_type", &mut Pace::default()).await?;
    let mut first = Look {
        parts: Parts::of_this_process(total(&types)),
        types,
        ..Look::default()
    };
    if let Some(frames) = asked.trace_frames {
        Python::attach(|py| looker.module.call_method1(py, "start_tracing", (frames,)))?;
        first.lines = Some(Counts::new());
    }
    let last = first.clone();
    looker.looks.replace(Some(Looks { first, last }));
    tasks::spawn(sample(Rc::clone(&looker)));
    tasks::spawn(accept(listener, looker));
    Ok(())
}

fn listen() -> io::Result<UnixListener> {
    let address = SocketAddr::from_abstract_name(socket_name(std::process::id()))?;
    let listener = unix::UnixListener::bind_addr(&address)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Keeps the history up to date for as long as the worker lives.
async fn sample(looker: Rc<Looker>) {
    let alarm = match Alarm::new() {
        Ok(alarm) => alarm,
        Err(error) => return tracing::error!("Cannot sample the worker's memory: {error}"),
    };
    loop {
        looker.sample();
        let interval = looker.history.borrow().interval();
        if alarm.after(interval).await.is_err() {
            return;
        }
    }
}

/// Answers permitted clients. Every process on the machine can connect to a name in the abstract namespace:
/// one without permission is refused before a byte is read, and clients hold no more than a few descriptors,
/// and none for long.
async fn accept(listener: UnixListener, looker: Rc<Looker>) {
    let alarm = match Alarm::new() {
        Ok(alarm) => alarm,
        Err(error) => return tracing::error!("Cannot be asked for growth: {error}"),
    };
    let asking = Rc::new(Cell::new(0));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // No descriptor is left, for now.
                tracing::debug!("Cannot be asked for growth: {error}");
                if alarm.after(EXHAUSTED).await.is_err() {
                    return;
                }
                continue;
            }
        };
        if !stream.peer_cred().is_ok_and(|peer| may_ask(peer.uid())) {
            refuse(&stream, "it answers its own user and root");
            continue;
        }
        if asking.get() >= MOST_ASKING {
            refuse(&stream, "too many ask at once");
            continue;
        }
        asking.set(asking.get() + 1);
        let (looker, asking) = (Rc::clone(&looker), Rc::clone(&asking));
        tasks::spawn(async move {
            // An error means that the client is gone, or too slow; it concerns no other.
            let _ = serve(stream, &looker).await;
            asking.set(asking.get() - 1);
        });
    }
}

/// Says why there is no answer, if there is room to say it.
fn refuse(stream: &UnixStream, why: &str) {
    let text = serde_json::json!({ "error": why }).to_string();
    // A socket that is new has room.
    let _ = stream.try_write(text.as_bytes());
}

/// One question and its answer.
async fn serve(stream: UnixStream, looker: &Looker) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut asked = String::new();
    let mut reader = BufReader::new(reader.take(QUESTION));
    within(SLOWEST, reader.read_line(&mut asked)).await?;
    let answer = match serde_json::from_str::<Question>(&asked) {
        Err(error) => Err(format!("it does not understand the question: {error}")),
        Ok(question) => looker.answer(question).await,
    };
    let text = match answer {
        Ok(answer) => serde_json::to_vec(&answer)?,
        Err(why) => serde_json::to_vec(&serde_json::json!({ "error": why }))?,
    };
    within(SLOWEST, writer.write_all(&text)).await
}

/// The result of `wait`, unless it takes too long. Tokio's own timers do not fire on every loop.
async fn within<T>(time: Duration, wait: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let alarm = Alarm::new()?;
    let mut wait = pin!(wait);
    let mut over = pin!(alarm.after(time));
    poll_fn(|cx| match wait.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => over.as_mut().poll(cx).map(|over| {
            over?;
            Err(io::ErrorKind::TimedOut.into())
        }),
    })
    .await
}

impl Looker {
    fn sample(&self) {
        if let Some(sample) = Sample::take(self.ready.elapsed()) {
            self.history.borrow_mut().add(sample);
        }
    }

    /// Looks, and compares with an earlier look.
    async fn answer(&self, question: Question) -> Result<Answer, String> {
        let io = |error: io::Error| error.to_string();
        let alarm = Alarm::new().map_err(io)?;
        let looks = loop {
            let looks = self.looks.take();
            match looks {
                Some(looks) => break looks,
                None => alarm.after(BUSY).await.map_err(io)?,
            }
        };
        let looked = self.look().await;
        let (now, pace) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                self.looks.replace(Some(looks));
                Python::attach(|py| {
                    report::exception(py, "Cannot count the objects in memory", &error);
                });
                return Err("counting failed; its log says why".to_owned());
            }
        };
        self.sample();
        let before = match question.since {
            Since::Last => &looks.last,
            Since::Start => &looks.first,
        };
        let lines = before.lines.as_ref().zip(now.lines.as_ref());
        let answer = Answer {
            pid: std::process::id(),
            age: now.at.as_secs_f64(),
            since: now.at.saturating_sub(before.at).as_secs_f64(),
            memory: now.parts,
            gained: now.parts.gained(before.parts),
            types: compare(&before.types, &now.types),
            lines: lines.map(|(before, now)| compare(before, now)),
            history: self.history.borrow().samples().to_vec(),
            took: pace.took.as_secs_f64(),
            longest_pause: pace.longest_pause.as_secs_f64(),
        };
        let first = looks.first;
        self.looks.replace(Some(Looks { first, last: now }));
        Ok(answer)
    }

    async fn look(&self) -> PyResult<(Look, Pace)> {
        let at = self.ready.elapsed();
        let mut pace = Pace::default();
        let types = self.count("by_type", &mut pace).await?;
        let parts = Parts::of_this_process(total(&types));
        let lines = match self.traces_lines {
            true => Some(self.count("by_line", &mut pace).await?),
            false => None,
        };
        let look = Look {
            at,
            parts,
            types,
            lines,
        };
        Ok((look, pace))
    }

    /// Turns one of the module's generators to its end.
    async fn count(&self, function: &str, pace: &mut Pace) -> PyResult<Counts> {
        let started = Instant::now();
        let alarm = Alarm::new()?;
        let generator = Python::attach(|py| self.module.call_method0(py, function))?;
        loop {
            let resumed = Instant::now();
            let counts = Python::attach(|py| step(generator.bind(py)))?;
            pace.longest_pause = pace.longest_pause.max(resumed.elapsed());
            if let Some(counts) = counts {
                pace.took += started.elapsed();
                return Ok(counts);
            }
            alarm.after(BETWEEN_SLICES).await?;
        }
    }
}

/// The generator's result, once it has returned.
fn step(generator: &Bound<'_, PyAny>) -> PyResult<Option<Counts>> {
    match generator.call_method0("__next__") {
        Ok(_) => Ok(None),
        Err(error) if error.is_instance_of::<PyStopIteration>(generator.py()) => {
            let returned = error.value(generator.py()).getattr("value")?;
            returned.extract().map(Some)
        }
        Err(error) => Err(error),
    }
}
