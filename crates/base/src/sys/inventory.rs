//! The threads and sockets of this process.

use std::fs;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::net::getpeername;

/// How many threads there are, this one included.
pub fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Every open socket, in words: `a connection to 10.0.0.7:5432 (descriptor 9)`.
pub fn sockets() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| {
            let target = fs::read_link(entry.path());
            target.is_ok_and(|target| {
                target
                    .as_os_str()
                    .as_encoded_bytes()
                    .starts_with(b"socket:")
            })
        })
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .map(described)
        .collect()
}

fn described(number: RawFd) -> String {
    // SAFETY: borrowed for one call, which answers EBADF should it have been closed meanwhile.
    let peer = getpeername(unsafe { BorrowedFd::borrow_raw(number) });
    let peer = peer
        .ok()
        .and_then(|peer| std::net::SocketAddr::try_from(peer?).ok());
    match peer {
        Some(peer) => format!("a connection to {peer} (descriptor {number})"),
        None => format!("a socket (descriptor {number})"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_told_by_its_other_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).unwrap();
        let told = format!("a connection to {address} ");
        assert!(sockets().iter().any(|socket| socket.starts_with(&told)));
        assert!(threads() >= 1);
    }
}
