//! Which running server is meant: by a process, by the address that it serves, or by its socket.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::place;
use crate::growth::find as processes;
use crate::net::listeners;

/// The target, as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A server or one of its processes, by pid or by the port that it serves.
    Process(processes::Target),
    /// The operator socket.
    Socket(PathBuf),
}

/// There is no server to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFound {
    /// The process or address that was named has none.
    Target(String),
    /// No server runs here whose socket this user could open.
    None,
    /// Several do, and one has to be named: their pids.
    Several(Vec<u32>),
}

/// The sockets of the servers that are meant; without a target those of all servers.
///
/// # Errors
/// There is none.
pub fn sockets(target: Option<&Target>) -> Result<Vec<PathBuf>, NotFound> {
    let listed = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let mut running = running_in(&listed);
    running.retain(|_, path| is_here(path));
    let meant = match target {
        Some(Target::Socket(path)) => return Ok(vec![path.clone()]),
        None if running.is_empty() => return Err(NotFound::None),
        None => return Ok(running.into_values().collect()),
        Some(Target::Process(processes::Target::Process(pid))) => vec![*pid],
        Some(Target::Process(processes::Target::Port(port, _))) => {
            listeners(*port).into_iter().collect()
        }
    };
    let mut found: Vec<PathBuf> = meant
        .into_iter()
        .filter_map(|pid| ancestors(pid).find_map(|pid| running.get(&pid).cloned()))
        .collect();
    found.sort();
    found.dedup();
    match (found.is_empty(), target) {
        (true, Some(target)) => Err(NotFound::Target(target.to_string())),
        _ => Ok(found),
    }
}

/// The socket of the one server that is meant.
///
/// # Errors
/// There is none, or there are several.
pub fn socket(target: Option<&Target>) -> Result<PathBuf, NotFound> {
    let mut found = sockets(target)?;
    match found.len() {
        1 => Ok(found.remove(0)),
        _ => Err(NotFound::Several(
            found
                .iter()
                .filter_map(|path| place::pid_in(path))
                .collect(),
        )),
    }
}

/// The listening sockets with our names, by pid, from /proc/net/unix.
fn running_in(listed: &str) -> BTreeMap<u32, PathBuf> {
    /// `SO_ACCEPTCON`: only the listening socket has it, and not its connections.
    const LISTENS: &str = "00010000";
    let lines = listed.lines().filter_map(|line| {
        let at = line.find(" /").or_else(|| line.find(" @"))?;
        let (fields, path) = (&line[..at], PathBuf::from(&line[at + 1..]));
        let listens = fields.split(' ').nth(3) == Some(LISTENS);
        Some((place::pid_in(&path)?, path)).filter(|_| listens)
    });
    lines.collect()
}

/// Whether a socket could be connected to by its name. The list has those of all processes in the same network: also of a
/// container that shares it and has files of its own, and of a server whose file was removed.
fn is_here(path: &Path) -> bool {
    let is_gone = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    place::without_file(path).is_some() || !fs::symlink_metadata(path).is_err_and(is_gone)
}

/// A process, its parent, and so on.
fn ancestors(pid: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(pid), |pid| parent(*pid)).take(64)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have any character; the state and the parent follow its last bracket.
    let (_, fields) = stat.rsplit_once(')')?;
    let parent = fields.split_whitespace().nth(1)?.parse().ok();
    parent.filter(|parent| *parent != 0)
}

impl FromStr for Target {
    type Err = String;

    /// A path, or as [`processes::Target`].
    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path != text || (path.contains('/') && !path.contains("://")) {
            return Ok(Self::Socket(PathBuf::from(path)));
        }
        let process = text.parse().map(Self::Process);
        process.map_err(|why| format!("{why}, nor the path of an operator socket"))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(processes::Target::Process(pid)) => write!(f, "process {pid}"),
            Self::Process(processes::Target::Port(_, typed)) => f.write_str(typed),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(target) => write!(
                f,
                "no server with an operator socket behind {target}; it may belong to another user, \
                 or have been started with --operator-socket (name the path)"
            ),
            Self::None => f.write_str(
                "no server with an operator socket runs here; name the socket of one that was \
                 started with --operator-socket PATH",
            ),
            Self::Several(pids) => {
                let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
                let pids = pids.join(", ");
                write!(
                    f,
                    "several servers run here; name one: {pids} (lowmem-serve status shows them)"
                )
            }
        }
    }
}

impl std::error::Error for NotFound {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_pid_an_address_or_a_path() {
        let process = |text: &str| Target::Process(text.parse().unwrap());
        for (text, expected) in [
            ("12", process("12")),
            ("localhost:8000", process("localhost:8000")),
            ("http://[::1]:9/", process("http://[::1]:9/")),
            ("/run/x.sock", Target::Socket("/run/x.sock".into())),
            ("unix:x.sock", Target::Socket("x.sock".into())),
            ("./x", Target::Socket("./x".into())),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        assert!("app:app".parse::<Target>().is_err());
    }

    #[test]
    fn sockets_of_other_places_are_passed_over() {
        let here = std::env::temp_dir();
        assert!(is_here(&here));
        assert!(!is_here(&here.join("lowmem-serve-nowhere/42.sock")));
        assert!(is_here(&place::nameless(42).unwrap()));
    }

    #[test]
    fn listening_sockets_are_found_by_their_names() {
        let listed = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 11 /run/lowmem-serve/42.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 12 /run/lowmem-serve/42.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 13 /run/a b/lowmem-serve/43.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 14 /run/other.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 15 @lowmem-serve/growth/44\n";
        let found: Vec<_> = running_in(listed).into_iter().collect();
        let path = |text: &str| PathBuf::from(text);
        assert_eq!(
            found,
            [
                (42, path("/run/lowmem-serve/42.sock")),
                (43, path("/run/a b/lowmem-serve/43.sock"))
            ]
        );
    }

    #[test]
    fn a_process_has_its_parents() {
        let own = std::process::id();
        let parents: Vec<u32> = ancestors(own).collect();
        assert_eq!(parents[..2], [own, std::os::unix::process::parent_id()]);
    }
}
