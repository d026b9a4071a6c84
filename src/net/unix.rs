//! A Unix socket and its file.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// A proxy runs as another user, so everybody may connect; who may not is kept out by the directory.
const MODE: u32 = 0o666;

/// The file of a bound socket. Removed when dropped: nobody answers behind it any more.
#[derive(Debug)]
pub struct UnixPath(PathBuf);

impl Drop for UnixPath {
    fn drop(&mut self) {
        // Removed by someone else already, or in a directory that has become read-only.
        let _ = fs::remove_file(&self.0);
    }
}

/// Binds `path`, replacing the file of a server that is gone but keeping the file's mode.
pub(super) fn bind(path: &Path, backlog: i32) -> io::Result<(OwnedFd, UnixPath)> {
    let address = SockAddr::unix(path)?;
    let mode = remove_stale(path, &address)?.unwrap_or(MODE);
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&address)?;
    let owned = UnixPath(path.to_owned());
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(backlog)?;
    Ok((socket.into(), owned))
}

/// Removes a socket file that nobody listens behind and returns its mode.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<Option<u32>> {
    let Ok(existing) = fs::symlink_metadata(path) else {
        return Ok(None);
    };
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    let is_stale = existing.file_type().is_socket()
        && probe
            .connect(address)
            .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    if !is_stale {
        return Err(rustix::io::Errno::ADDRINUSE.into());
    }
    fs::remove_file(path)?;
    Ok(Some(existing.permissions().mode() & 0o777))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("lowmem-serve-{name}-{}.sock", std::process::id()))
    }

    #[test]
    fn the_file_is_open_to_all_and_goes_with_the_listener() {
        let path = path("mode");
        let bound = bind(&path, 4).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            MODE
        );
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_file_is_replaced_and_a_live_one_is_not() {
        let path = path("stale");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let bound = bind(&path, 4).unwrap();
        assert_eq!(bind(&path, 4).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(bound);
    }
}
