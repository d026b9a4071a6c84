//! `lowmem-serve top`: running servers on a terminal, a line a worker, as uwsgitop has it.
//!
//! The screen is written whole at each look, on the terminal's alternate screen. Not by ratatui: with
//! crossterm it adds 0.6 MB to the executable that every server starts from, for one table.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{self, LocalModes, OptionalActions, Termios};

use super::{refused, write};
use crate::cli::Top;
use crate::exit::Exit;
use crate::figures::{Age, Grouped, Megabytes};
use crate::monitor::{Clock, Process};
use crate::operator::find::{self, NotFound};
use crate::operator::{ApplicationStatus, Reply, Request, Status, WorkerStatus, client};
use crate::surroundings::Surroundings;

/// Shorter, and looking would be what is seen.
const LEAST_DELAY: Duration = Duration::from_millis(100);

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K\r\n";
const REST_OF_SCREEN: &str = "\x1b[J";

/// The figures of the last look, by process.
#[derive(Default)]
struct Seen {
    at: Option<Instant>,
    cpu: HashMap<i32, f64>,
    requests: HashMap<i32, u64>,
}

/// Shows them until `q`.
pub(super) fn run(asked: &Top, around: &Surroundings) -> Exit {
    let target = super::ctl::target(&asked.named, around);
    let sockets = || find::sockets(target.as_ref());
    let delay = asked.delay.max(LEAST_DELAY);
    if let Err(reason) = sockets() {
        return refused(&reason);
    }
    if asked.once || !around.stdout_is_terminal {
        let mut seen = Seen::default();
        let first = sockets().map(|sockets| page(&sockets, &mut seen));
        // Nothing happens meanwhile: there is no event to wait for.
        let _ = poll(&mut [], Timespec::try_from(delay).ok().as_ref());
        return match first.and_then(|_| sockets()) {
            Ok(sockets) => write(page(&sockets, &mut seen).as_bytes()),
            Err(reason) => refused(&reason),
        };
    }
    match Screen::open() {
        Ok(screen) => match screen.show(delay, sockets) {
            Ok(()) => Exit::Stopped,
            Err(reason) => refused(&reason),
        },
        Err(reason) => refused(&format!("cannot use the terminal: {reason}")),
    }
}

/// The terminal, as it was found when dropped.
struct Screen {
    before: Termios,
}

impl Screen {
    fn open() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        let screen = Self { before };
        put(ENTER)?;
        Ok(screen)
    }

    fn show(
        &self,
        delay: Duration,
        sockets: impl Fn() -> Result<Vec<PathBuf>, NotFound>,
    ) -> io::Result<()> {
        let mut seen = Seen::default();
        loop {
            let page = match sockets() {
                Ok(sockets) => page(&sockets, &mut seen),
                Err(reason) => format!("{reason}\n"),
            };
            let lines: Vec<&str> = page.lines().chain(["", "q: quit"]).collect();
            let size = termios::tcgetwinsize(io::stdout());
            // A terminal may not know its size.
            let rows = size.map_or(0, |size| size.ws_row);
            let rows = if rows == 0 { 24 } else { rows };
            let shown = lines.len().min(usize::from(rows.max(2)) - 1);
            let text = lines[..shown].join(REST_OF_LINE);
            put(&format!("{HOME}{text}{REST_OF_LINE}{REST_OF_SCREEN}"))?;
            if is_over(delay)? {
                return Ok(());
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = put(LEAVE);
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Waits for the next look, or for a key; whether that is the last one.
fn is_over(delay: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut source = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
    let timeout = Timespec::try_from(delay).ok();
    match poll(&mut source, timeout.as_ref()) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(false),
        Ok(_) => {
            let mut keys = [0; 16];
            let read = rustix::io::read(&stdin, &mut keys)?;
            Ok(read == 0 || keys[..read].iter().any(|key| b"qQ\x03\x1b".contains(key)))
        }
        Err(error) => Err(error.into()),
    }
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Asks the servers, and writes a table of each.
fn page(sockets: &[PathBuf], seen: &mut Seen) -> String {
    let mut now = Seen {
        at: Some(Instant::now()),
        ..Seen::default()
    };
    let mut text = String::new();
    for socket in sockets {
        match client::ask(socket, &Request::Status) {
            Ok(Reply::Status(status)) => of_server(&mut text, &status, seen, &mut now),
            Ok(Reply::Refused(why)) => text += &format!("{why}\n"),
            Ok(_) => text += "the server answers something else; it may be another version\n",
            Err(reason) => text += &format!("{reason}\n"),
        }
    }
    *seen = now;
    text
}

fn of_server(text: &mut String, status: &Status, before: &Seen, now: &mut Seen) {
    let up = Duration::try_from_secs_f64(status.uptime).unwrap_or_default();
    let (version, pid) = (&status.server, status.pid);
    // A string takes everything.
    let _ = writeln!(text, "lowmem-serve {version}  pid {pid}  up {}", Age(up));
    let clock = Clock::read();
    for application in &status.applications {
        of_application(text, application, clock, (before, now));
    }
}

fn of_application(
    text: &mut String,
    application: &ApplicationStatus,
    clock: Clock,
    (before, now): (&Seen, &mut Seen),
) {
    let (name, state) = (&application.name, application.state.word());
    let places = application.places.join(", ");
    let _ = writeln!(text, "\n{name}  {state}  {places}");
    match &application.served {
        Some(served) => {
            let _ = writeln!(
                text,
                "requests {}  5xx {}  in progress {}  connections {} + {} parked  websockets {}  recycles {}  crashes {}",
                Grouped(served.requests),
                Grouped(served.failed),
                served.active_requests,
                served.active,
                served.parked,
                served.websockets,
                served.recycles,
                served.crashes
            );
        }
        None => *text += "requests are counted with --status-bind\n",
    }
    let _ = writeln!(
        text,
        "{:>4} {:>8} {:<9} {:>8} {:>6} {:>9} {:>11} {:>9} {:>6}",
        "WID", "PID", "STATUS", "AGE", "%CPU", "MEMORY", "REQ", "REQ/S", "CONN"
    );
    for worker in &application.workers {
        of_worker(text, worker, clock, (before, now));
    }
}

fn of_worker(
    text: &mut String,
    worker: &WorkerStatus,
    clock: Clock,
    (before, now): (&Seen, &mut Seen),
) {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let passed = before.at.map(|at| at.elapsed().as_secs_f64());
    let (mut cpu, mut rate) = (None, None);
    if let Some(pid) = worker.pid {
        if let Some(process) = Process::read(pid, clock) {
            let old = before.cpu.get(&pid).zip(passed);
            cpu = old.map(|(old, passed)| format!("{:.0}", (process.cpu - old) / passed * 100.0));
            now.cpu.insert(pid, process.cpu);
        }
        if let Some(requests) = worker.requests {
            let old = before.requests.get(&pid).zip(passed);
            rate = old.map(|(old, passed)| {
                format!("{:.1}", requests.saturating_sub(*old) as f64 / passed)
            });
            now.requests.insert(pid, requests);
        }
    }
    let stage = if worker.is_stalled {
        "stalled"
    } else {
        worker.stage.word()
    };
    let age = worker
        .age
        .and_then(|age| Duration::try_from_secs_f64(age).ok());
    let _ = writeln!(
        text,
        "{:>4} {:>8} {:<9} {:>8} {:>6} {:>9} {:>11} {:>9} {:>6}",
        shown(worker.slot.map(|slot| slot.to_string())),
        shown(worker.pid.map(|pid| pid.to_string())),
        stage,
        shown(age.map(|age| Age(age).to_string())),
        shown(cpu),
        shown(worker.memory.map(|own| format!("{} MB", Megabytes(own)))),
        shown(
            worker
                .requests
                .map(|requests| Grouped(requests).to_string())
        ),
        shown(rate),
        shown(worker.connections.map(|open| open.to_string())),
    );
}
