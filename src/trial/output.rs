//! The output of a server on trial, read by a thread, so that the server never waits for its reader.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Lines that are kept: a traceback through several frameworks.
const KEPT: usize = 200;

/// How the line that tells the address begins, after its level.
const RUNNING: &str = "lowmem-serve running on ";

/// The reading end of the pipe that the server writes to.
#[derive(Debug)]
pub(super) struct Output {
    ready: Receiver<Option<SocketAddr>>,
    lines: Arc<Mutex<VecDeque<String>>>,
}

/// The event that ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// The server is ready there.
    Address(SocketAddr),
    /// It is ready somewhere else than on plain HTTP.
    Elsewhere,
    /// Every process that could write has ended.
    Ended,
    /// The time is up.
    NotYet,
}

impl Output {
    /// The output, and the end that the server writes to.
    pub(super) fn pipe() -> io::Result<(Self, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        let (tell, ready) = mpsc::channel();
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&lines);
        std::thread::Builder::new()
            .name("trial output".to_owned())
            .spawn(move || read(reader, &kept, &tell))?;
        Ok((Self { ready, lines }, writer))
    }

    pub(super) fn wait_for_address(&self, time: Duration) -> Woken {
        match self.ready.recv_timeout(time) {
            Ok(Some(address)) => Woken::Address(address),
            Ok(None) => Woken::Elsewhere,
            Err(RecvTimeoutError::Disconnected) => Woken::Ended,
            Err(RecvTimeoutError::Timeout) => Woken::NotYet,
        }
    }

    /// The same for a server whose address is known.
    pub(super) fn wait_for_end(&self, time: Duration) -> Woken {
        match self.wait_for_address(time) {
            Woken::Address(_) | Woken::Elsewhere => Woken::NotYet,
            woken => woken,
        }
    }

    /// The last lines.
    pub(super) fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect()
    }
}

/// Until the pipe has no writer; dropping `tell` says so.
fn read(pipe: PipeReader, kept: &Mutex<VecDeque<String>>, tell: &Sender<Option<SocketAddr>>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while matches!(pipe.read_until(b'\n', &mut line), Ok(length) if length > 0) {
        let text = String::from_utf8_lossy(&line).into_owned();
        if let Some((_, place)) = text.split_once(RUNNING) {
            // Fails once the trial is given up.
            let _ = tell.send(address_in(place));
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(text);
        line.clear();
    }
}

fn address_in(place: &str) -> Option<SocketAddr> {
    let authority = place.strip_prefix("http://")?;
    authority.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_address_is_read_and_the_end_noticed() {
        let (output, mut writer) = Output::pipe().unwrap();
        writeln!(writer, "INFO:     Started server process [7]").unwrap();
        let line = "INFO:     lowmem-serve running on http://127.0.0.1:4711 (Press CTRL+C to quit)";
        writeln!(writer, "{line}").unwrap();
        let address = "127.0.0.1:4711".parse().unwrap();
        let long = Duration::from_secs(10);
        assert_eq!(output.wait_for_address(long), Woken::Address(address));
        assert_eq!(output.wait_for_end(Duration::ZERO), Woken::NotYet);
        drop(writer);
        assert_eq!(output.wait_for_end(long), Woken::Ended);
        assert!(output.text().contains("process [7]\n"));
    }
}
