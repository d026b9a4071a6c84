//! The processes that listen on an address or a port, as /proc has them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The state of a listening socket in /proc/net/tcp.
const LISTENING: &str = "0A";

/// A listening socket in /proc/net/unix, by its flags (`__SO_ACCEPTCON`).
const ACCEPTS: &str = "00010000";

/// A command line is shown as far as this.
const MOST_CHARACTERS: usize = 80;

/// The facts known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Its pid and its command line.
    Process(u32, String),
    /// Only its user's number: this server may not see its descriptors.
    User(u32),
}

/// A listening socket as /proc has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listening {
    inode: u64,
    /// Not told of Unix sockets.
    uid: Option<u32>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid, command) if command.is_empty() => {
                write!(f, "process {pid} listens there")
            }
            Self::Process(pid, command) => write!(f, "process {pid} ({command}) listens there"),
            Self::User(uid) => write!(
                f,
                "a process of the user with number {uid} listens there (as root: ss -ltnp)"
            ),
        }
    }
}

/// Returns the process that keeps `address` from being bound.
pub(super) fn of_tcp(address: SocketAddr) -> Option<Holder> {
    let tables = tcp_tables();
    let mut sockets = tables.iter().flat_map(|table| sockets_in(table));
    let (_, listening) = sockets.find(|(own, _)| collide(*own, address))?;
    holder(listening)
}

/// Whether only one of them can be bound.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && (any || a.ip() == b.ip())
}

/// The processes that have a listening socket for a port, of those that may be looked at.
pub(crate) fn listeners(port: u16) -> BTreeSet<u32> {
    let tables = tcp_tables();
    let inodes: Vec<u64> = tables.iter().flat_map(|own| inodes_in(own, port)).collect();
    processes_with(&inodes)
}

fn tcp_tables() -> [String; 2] {
    ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default())
}

/// The listening sockets of a table, with their addresses.
fn sockets_in(table: &str) -> impl Iterator<Item = (SocketAddr, Listening)> {
    table.lines().filter_map(tcp_line)
}

/// Those whose local port is this one.
fn inodes_in(table: &str, port: u16) -> impl Iterator<Item = u64> {
    let sockets = sockets_in(table).filter(move |(own, _)| own.port() == port);
    sockets.map(|(_, listening)| listening.inode)
}

/// The same of a Unix socket's path.
pub(super) fn of_unix(path: &Path) -> Option<Holder> {
    let path = std::path::absolute(path).ok()?;
    let text = fs::read_to_string("/proc/net/unix").ok()?;
    let path = path.to_str()?;
    holder(text.lines().find_map(|line| unix_line(line, path))?)
}

fn holder(listening: Listening) -> Option<Holder> {
    // The oldest: workers inherit it.
    match processes_with(&[listening.inode]).first() {
        Some(pid) => Some(Holder::Process(*pid, command(*pid))),
        None => listening.uid.map(Holder::User),
    }
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid timeout inode …`
fn tcp_line(line: &str) -> Option<(SocketAddr, Listening)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, LISTENING, _, _, _, uid, _, inode, ..] = fields[..] else {
        return None;
    };
    let (host, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let listening = Listening {
        inode: inode.parse().ok()?,
        uid: uid.parse().ok(),
    };
    Some((SocketAddr::new(host_of(host)?, port), listening))
}

/// Words of 32 bits in the network's order, each printed as a number of this machine.
fn host_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for (at, part) in octets.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            let address = Ipv6Addr::from(octets);
            Some(address.to_ipv4_mapped().map_or(address.into(), IpAddr::V4))
        }
        _ => None,
    }
}

/// `Num RefCount Protocol Flags Type St Inode Path`
fn unix_line(line: &str, wanted: &str) -> Option<Listening> {
    let path = line.strip_suffix(wanted)?;
    let fields: Vec<&str> = path.split_ascii_whitespace().collect();
    let [_, _, _, ACCEPTS, _, _, inode] = fields[..] else {
        return None;
    };
    Some(Listening {
        inode: inode.parse().ok()?,
        uid: None,
    })
}

/// The processes that have one of these sockets open.
fn processes_with(inodes: &[u64]) -> BTreeSet<u32> {
    let links: Vec<String> = inodes.iter().map(|own| format!("socket:[{own}]")).collect();
    if links.is_empty() {
        return BTreeSet::new();
    }
    let has_one = |pid: &u32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
        descriptors.into_iter().flatten().flatten().any(|each| {
            let leads_to = fs::read_link(each.path()).unwrap_or_default();
            links
                .iter()
                .any(|link| leads_to.as_os_str() == link.as_str())
        })
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse().ok());
    pids.filter(has_one).collect()
}

/// A process's command line, without control characters and shortened.
fn command(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&line).replace('\0', " ");
    let mut text: String = text.trim().replace(char::is_control, "?");
    if let Some((end, _)) = text.char_indices().nth(MOST_CHARACTERS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  \
                        0 4242 1 0000000000000000 100 0 0 10 0";

    fn listening(line: &str, address: &str) -> Option<Listening> {
        let wanted = address.parse().unwrap();
        let mut sockets = sockets_in(line);
        let found = sockets.find(|(own, _)| collide(*own, wanted));
        found.map(|(_, listening)| listening)
    }

    fn found(line: &str, address: &str) -> bool {
        listening(line, address).is_some()
    }

    #[test]
    fn a_listening_socket_is_found_by_its_address() {
        // Little-endian machines print addresses so; the others are not served by these lines.
        if cfg!(target_endian = "big") {
            return;
        }
        assert_eq!(
            listening(LINE, "127.0.0.1:8080"),
            Some(Listening {
                inode: 4242,
                uid: Some(1000)
            })
        );
        assert!(found(LINE, "0.0.0.0:8080"));
        assert!(!found(LINE, "127.0.0.1:8081"));
        assert!(!found(LINE, "127.0.0.2:8080"));
        assert!(!found(&LINE.replace(" 0A ", " 01 "), "127.0.0.1:8080"));
        let loopback = LINE.replace("0100007F", "00000000000000000000000001000000");
        assert!(found(&loopback, "[::1]:8080"));
        let mapped = LINE.replace("0100007F", "0000000000000000FFFF00000100007F");
        assert!(found(&mapped, "127.0.0.1:8080"));
        assert!(found(
            &LINE.replace("0100007F", &"0".repeat(32)),
            "127.0.0.1:8080"
        ));
        assert!(!found("  sl  local_address rem_address   st", "0.0.0.0:80"));
        assert!(!found("", "0.0.0.0:80"));
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "sl local rem st tx:rx tr:when retr uid timeout inode\n\
            0: 0100007F:1F40 00000000:0000 0A 0:0 0:0 0 0 0 77 1\n\
            1: 0100007F:1F40 0100007F:9999 01 0:0 0:0 0 0 0 78 1\n\
            2: 0100007F:1F41 00000000:0000 0A 0:0 0:0 0 0 0 79 1\n";
        assert_eq!(inodes_in(table, 8000).collect::<Vec<_>>(), [77]);
    }

    #[test]
    fn a_listening_unix_socket_is_found_by_its_path() {
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01 77 /run/a.sock";
        assert_eq!(unix_line(line, "/run/a.sock").map(|l| l.inode), Some(77));
        assert_eq!(unix_line(line, "/a.sock"), None);
        let connected = line.replace("00010000", "00000000");
        assert_eq!(unix_line(&connected, "/run/a.sock"), None);
    }

    #[test]
    fn the_process_is_this_one() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = of_tcp(taken.local_addr().unwrap()).unwrap();
        assert!(
            matches!(holder, Holder::Process(pid, _) if pid == std::process::id()),
            "{holder}"
        );
    }

    #[test]
    fn what_cannot_be_seen_is_told_with_its_user() {
        assert_eq!(
            Holder::User(33).to_string(),
            "a process of the user with number 33 listens there (as root: ss -ltnp)"
        );
        assert_eq!(
            Holder::Process(7, "nginx".to_owned()).to_string(),
            "process 7 (nginx) listens there"
        );
    }
}
