//! Which workers are meant: by a process, by the address that they serve, or all.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::net::listeners;
use lowmem_base::growth::NAME;

/// The target, as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A server, or one of its workers.
    Process(u32),
    /// The process that listens on this port of this machine; the text as it was typed.
    Port(u16, String),
}

/// No worker can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFound {
    /// No such process.
    Process(u32),
    /// No process listens there, or one of another user.
    Address(String),
    /// It is there, but it, and those below it, have no socket.
    Disabled(String),
    /// No worker at all.
    NoWorker,
}

/// The workers that can be asked, of those that are meant; without a target all of them.
///
/// # Errors
/// There is none.
pub fn workers(target: Option<&Target>) -> Result<Vec<u32>, NotFound> {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let enabled = enabled_in(&sockets);
    let (meant, what) = match target {
        None if enabled.is_empty() => return Err(NotFound::NoWorker),
        None => return Ok(enabled.into_iter().collect()),
        Some(Target::Process(pid)) if !is_alive(*pid) => return Err(NotFound::Process(*pid)),
        Some(Target::Process(pid)) => (descendants(*pid), format!("process {pid}")),
        Some(Target::Port(port, typed)) => match listeners(*port) {
            listeners if listeners.is_empty() => return Err(NotFound::Address(typed.clone())),
            listeners => (listeners, format!("the server on {typed}")),
        },
    };
    let found: Vec<u32> = enabled
        .into_iter()
        .filter(|pid| meant.contains(pid))
        .collect();
    if found.is_empty() {
        return Err(NotFound::Disabled(what));
    }
    Ok(found)
}

/// The pids in the names of our sockets, from /proc/net/unix, where `@` stands for the zero byte.
fn enabled_in(sockets: &str) -> BTreeSet<u32> {
    let names = sockets.lines().filter_map(|line| line.rsplit_once(" @"));
    names
        .filter_map(|(_, name)| name.strip_prefix(NAME)?.parse().ok())
        .collect()
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn descendants(root: u32) -> BTreeSet<u32> {
    let mut all = BTreeSet::from([root]);
    let mut waiting = vec![root];
    while let Some(pid) = waiting.pop() {
        for task in entries(&PathBuf::from(format!("/proc/{pid}/task"))) {
            let children = fs::read_to_string(task.join("children")).unwrap_or_default();
            for child in children
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok())
            {
                if all.insert(child) {
                    waiting.push(child);
                }
            }
        }
    }
    all
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(directory).into_iter().flatten();
    read.flatten().map(|entry| entry.path()).collect()
}

impl FromStr for Target {
    type Err = String;

    /// `1234`, `8000` behind a colon, `localhost:8000`, `http://[::1]:8000/`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(pid) = text.parse() {
            return Ok(Self::Process(pid));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let authority = rest.split('/').next().unwrap_or_default();
        let port = match authority.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port.parse().ok(),
            _ if text.contains("://") && !authority.is_empty() => match scheme {
                "http" => Some(80),
                "https" => Some(443),
                _ => None,
            },
            _ => None,
        };
        match port {
            Some(port) => Ok(Self::Port(port, text.to_owned())),
            None => Err("not a pid, nor an address like localhost:8000".to_owned()),
        }
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = "start the server with --growth, or with --trace-memory to see lines, too";
        match self {
            Self::Process(pid) => write!(f, "there is no process {pid}"),
            Self::Address(typed) => write!(
                f,
                "nothing listens on {typed}, or it belongs to another user; name a pid, or ask as that user"
            ),
            Self::Disabled(what) => write!(
                f,
                "{what} cannot be asked: no worker of it was started with --growth; {advice}"
            ),
            Self::NoWorker => write!(f, "no worker on this machine can be asked; {advice}"),
        }
    }
}

impl std::error::Error for NotFound {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_pid_or_an_address() {
        assert_eq!("1234".parse(), Ok(Target::Process(1234)));
        for (text, port) in [
            ("localhost:8000", 8000),
            (":8000", 8000),
            ("http://127.0.0.1:8000/path", 8000),
            ("http://[::1]:9", 9),
            ("https://example.org", 443),
        ] {
            assert_eq!(text.parse(), Ok(Target::Port(port, text.to_owned())));
        }
        for wrong in ["", "app", "app:app", "[::1]", "unix:/x", "http://"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sockets_are_found_by_their_names() {
        let sockets = "Num RefCount Protocol Flags Type St Inode Path\n\
            0: 2 0 10000 0001 01 5 @lowmem-serve/growth/42\n\
            0: 2 0 10000 0001 01 6 /run/x @lowmem-serve/growth/x\n\
            0: 3 0 0 0001 03 7\n";
        assert_eq!(enabled_in(sockets), BTreeSet::from([42]));
    }
}
