//! The status server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Stall;
use super::mistakes::Mistakes;
use crate::cli::{Flags, Operation, StallWord};
use crate::monitor::{Bind, Settings};
use crate::surroundings::Surroundings;

/// A token that is shorter could be guessed.
const LEAST_TOKEN: usize = 16;

/// The shortest time that can be told from a busy machine's hiccups.
const LEAST_STALL: Duration = Duration::from_millis(200);

pub(super) fn stall(typed: &Operation, mistakes: &mut Mistakes) -> Option<Stall> {
    let recycles = typed.stall_action == StallWord::Recycle;
    let Some(after) = typed.timeout_worker_stall else {
        if recycles {
            mistakes.add("--stall-action", "needs --timeout-worker-stall");
        }
        return None;
    };
    if after < LEAST_STALL {
        mistakes.add("--timeout-worker-stall", "at least 0.2 seconds");
    }
    Some(Stall { after, recycles })
}

pub(super) fn meant(
    flags: &Flags,
    around: &Surroundings,
    mistakes: &mut Mistakes,
) -> Option<Settings> {
    let typed = &flags.operation;
    let control = typed.status_control.as_deref();
    let Some(place) = &typed.status_bind else {
        if control.is_some() {
            mistakes.add("--status-control", "needs --status-bind");
        }
        return None;
    };
    let bind = match place.strip_prefix("unix:") {
        Some(path) if !path.is_empty() => Bind::Unix(around.directory.join(path)),
        None if has_port(place) => Bind::Tcp(place.clone()),
        _ => {
            let why = format!("{place:?} is not like 127.0.0.1:9090 or unix:/run/status.sock");
            mistakes.add("--status-bind", why);
            return None;
        }
    };
    let token = control.and_then(|file| {
        let read = read_token(&around.directory.join(file));
        read.map_err(|why| mistakes.add_failure("--status-control", why))
            .ok()
    });
    Some(Settings { bind, token })
}

fn has_port(place: &str) -> bool {
    let parts = place.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn read_token(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let token = text.trim();
    if token.len() < LEAST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "{shown} should have a token of at least {LEAST_TOKEN} printable characters"
        ));
    }
    Ok(token.to_owned())
}
