//! A Unix socket and its file.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// A proxy runs as another user, so all users may connect. The permissions of the directory, or another mode,
/// can restrict that.
const MODE: u32 = 0o666;

/// The file of a bound socket. Removed when dropped: the socket is closed then.
#[derive(Debug)]
pub struct UnixPath {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        // Where ours was removed, another server's may have taken its place.
        let now = fs::symlink_metadata(&self.path);
        if now.is_ok_and(|file| (file.dev(), file.ino()) == self.identity) {
            // Refused in a directory that has become read-only.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds `path`, replacing the file of a server that is gone; without a `mode` its mode is kept.
pub(crate) fn bind(
    path: &Path,
    mode: Option<u32>,
    backlog: i32,
) -> io::Result<(OwnedFd, UnixPath)> {
    let address = SockAddr::unix(path).map_err(|_| {
        let why = "the path is too long for a Unix socket, which has room for 107 bytes";
        io::Error::new(io::ErrorKind::InvalidInput, why)
    })?;
    let replaced = remove_stale(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket
        .bind(&address)
        .map_err(|error| in_directory(path, error))?;
    let file = fs::symlink_metadata(path)?;
    let owned = UnixPath {
        path: path.to_owned(),
        identity: (file.dev(), file.ino()),
    };
    let mode = mode.or(replaced).unwrap_or(MODE);
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    // No client can connect before this call, when the mode is already set.
    socket.listen(backlog)?;
    Ok((socket.into(), owned))
}

/// Removes the file of a socket that is not listening any more, and returns its mode.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<Option<u32>> {
    let Ok(existing) = fs::symlink_metadata(path) else {
        return Ok(None);
    };
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    if !existing.file_type().is_socket() {
        let why = "there is a file that is no socket, and is not replaced";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    let is_stale = probe
        .connect(address)
        .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    if !is_stale {
        return Err(rustix::io::Errno::ADDRINUSE.into());
    }
    fs::remove_file(path).map_err(|error| in_directory(path, error))?;
    Ok(Some(existing.permissions().mode() & 0o777))
}

/// The error, in the words of the directory that it is about.
fn in_directory(path: &Path, error: io::Error) -> io::Error {
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return error,
    };
    let directory = directory.display();
    let why = match error.kind() {
        io::ErrorKind::NotFound => {
            format!("the directory {directory} does not exist; make it before the server starts")
        }
        io::ErrorKind::NotADirectory => format!("{directory} is no directory"),
        io::ErrorKind::PermissionDenied => format!(
            "the directory {directory} cannot be written to by this server's user ({})",
            rustix::process::geteuid().as_raw()
        ),
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("the directory {directory} is on a file system that is read-only")
        }
        _ => return error,
    };
    io::Error::new(error.kind(), why)
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
        let bound = bind(&path, None, 4).unwrap();
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
        let bound = bind(&path, Some(0o600), 4).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            bind(&path, None, 4).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(bound);
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        for (place, why) in [
            ("/nowhere/a.sock", "the directory /nowhere does not exist"),
            ("/dev/null/a.sock", "/dev/null is no directory"),
        ] {
            let said = bind(Path::new(place), None, 4).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_directory_without_rights_is_named_with_the_user() {
        let refused = |kind| in_directory(Path::new("a.sock"), io::Error::from(kind)).to_string();
        let said = refused(io::ErrorKind::PermissionDenied);
        assert!(said.starts_with("the directory . cannot be written to by this server's user ("));
        assert!(refused(io::ErrorKind::ReadOnlyFilesystem).ends_with("read-only"));
    }

    #[test]
    fn a_file_that_has_become_anothers_is_left_alone() {
        let path = path("anothers");
        let ours = bind(&path, None, 4).unwrap();
        fs::remove_file(&path).unwrap();
        let theirs = bind(&path, None, 4).unwrap();
        drop(ours);
        assert!(path.exists());
        drop(theirs);
    }
}
