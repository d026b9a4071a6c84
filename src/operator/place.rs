//! Where the operator socket is.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The directory below the runtime directory.
const DIRECTORY: &str = "lowmem-serve";

/// The beginning of the names of sockets without a file.
const NAMELESS: &str = "@lowmem-serve/operator/";

/// Only the owner may enter.
const DIRECTORY_MODE: u32 = 0o700;

/// Permission bits with which others may write into the directory.
const WRITABLE: u32 = 0o022;

/// `--operator-socket`, when it is not off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSocket {
    /// The socket's file.
    pub path: PathBuf,
    /// The operator has named it: a server that cannot have it does not start. Otherwise it goes
    /// without, because a read-only place is no fault of the application's.
    pub is_named: bool,
}

/// The default: `<runtime directory>/lowmem-serve/<pid>.sock`.
pub fn default(pid: u32, uid: u32, variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    runtime_directory(uid, variable)
        .join(DIRECTORY)
        .join(format!("{pid}.sock"))
}

/// The name of a socket without a file, as a path with an `@`, as `/proc/net/unix` writes it. Beside
/// the pid it has the number of the namespace that the pid is of: containers that share a network share
/// such names, too.
pub fn nameless(pid: u32) -> Option<PathBuf> {
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    let number: String = namespace
        .to_str()?
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    Some(PathBuf::from(format!("{NAMELESS}{number}/{pid}")))
}

/// The name behind the `@`, if a path stands for a socket without a file.
pub fn without_file(path: &Path) -> Option<&str> {
    let name = path.to_str()?;
    name.starts_with(NAMELESS).then(|| &name[1..])
}

/// The pid in the name of a default socket, or of one without a file that this process could ask.
pub fn pid_in(path: &Path) -> Option<u32> {
    if without_file(path).is_some() {
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        return Some(pid).filter(|pid| nameless(*pid).as_deref() == Some(path));
    }
    let directory = path.parent()?.file_name()?;
    let name = path.file_name()?.to_str()?;
    let pid = name.strip_suffix(".sock")?.parse().ok();
    pid.filter(|_| directory == DIRECTORY && path.is_absolute())
}

fn runtime_directory(uid: u32, variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    let set = |name: &str| {
        let value = variable(name)?;
        // systemd writes several directories with colons between them.
        let first = PathBuf::from(value.split(':').next()?);
        Some(first).filter(|path| path.is_absolute())
    };
    match set("RUNTIME_DIRECTORY").or_else(|| set("XDG_RUNTIME_DIR")) {
        Some(directory) => directory,
        None if uid == 0 => PathBuf::from("/run"),
        None => PathBuf::from(format!("/tmp/lowmem-serve-{uid}")),
    }
}

/// Makes the directory of a default socket, and removes the sockets of servers that are gone.
///
/// # Errors
/// It cannot be made, or it belongs to another user: in /tmp any user may have made it.
pub fn prepare(path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    if let Some(runtime) = directory.parent() {
        make(runtime)?;
        let owner = fs::symlink_metadata(runtime)?.uid();
        if owner != 0 && owner != own_uid() {
            return Err(anothers(runtime));
        }
    }
    make(directory)?;
    let found = fs::symlink_metadata(directory)?;
    if !found.is_dir() || found.uid() != own_uid() || found.mode() & WRITABLE != 0 {
        return Err(anothers(directory));
    }
    remove_stale(directory);
    Ok(())
}

fn make(directory: &Path) -> io::Result<()> {
    let made = DirBuilder::new().mode(DIRECTORY_MODE).create(directory);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Another user could replace the socket there.
fn anothers(directory: &Path) -> io::Error {
    let why = format!(
        "{} belongs to another user, or others may write to it",
        directory.display()
    );
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// Removes sockets that nothing listens behind. A server that starts in this moment is not listening
/// yet, so only those count whose process is gone.
fn remove_stale(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_gone = pid_in(&path).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        let refuses = || {
            std::os::unix::net::UnixStream::connect(&path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        if is_gone && refuses() {
            // Another server may have removed it in this moment.
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uid: u32, variables: &[(&str, &str)]) -> PathBuf {
        default(7, uid, |name| {
            let found = variables.iter().find(|(set, _)| *set == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_runtime_directory_is_the_units_the_sessions_or_the_systems() {
        let unit = ("RUNTIME_DIRECTORY", "/run/app:/run/other");
        let session = ("XDG_RUNTIME_DIR", "/run/user/7");
        for (uid, variables, expected) in [
            (1, &[unit, session][..], "/run/app/lowmem-serve/7.sock"),
            (1, &[session], "/run/user/7/lowmem-serve/7.sock"),
            (0, &[], "/run/lowmem-serve/7.sock"),
            (1, &[], "/tmp/lowmem-serve-1/lowmem-serve/7.sock"),
            (
                1,
                &[("XDG_RUNTIME_DIR", "relative")],
                "/tmp/lowmem-serve-1/lowmem-serve/7.sock",
            ),
        ] {
            assert_eq!(of(uid, variables), PathBuf::from(expected));
        }
    }

    #[test]
    fn a_default_sockets_name_has_the_pid() {
        assert_eq!(pid_in(&of(0, &[])), Some(7));
        for other in ["/run/7.sock", "lowmem-serve/7.sock", "/run/lowmem-serve/x"] {
            assert_eq!(pid_in(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_socket_without_a_file_is_told_by_its_pid_and_its_namespace() {
        let own = nameless(7).unwrap();
        assert_eq!(pid_in(&own), Some(7));
        assert!(
            without_file(&own)
                .unwrap()
                .starts_with("lowmem-serve/operator/")
        );
        for other in [
            "@lowmem-serve/operator/1/7",
            "@lowmem-serve/operator/x",
            "@other/7",
        ] {
            assert_eq!(pid_in(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn the_socket_of_a_process_that_is_gone_is_removed() {
        let runtime = std::env::temp_dir().join(format!("lowmem-place-{}", std::process::id()));
        let path = |pid: u32| runtime.join(DIRECTORY).join(format!("{pid}.sock"));
        prepare(&path(1)).unwrap();
        // No process has a number as large as this.
        for pid in [u32::MAX, std::process::id()] {
            drop(std::os::unix::net::UnixListener::bind(path(pid)).unwrap());
        }
        prepare(&path(1)).unwrap();
        let left = (path(u32::MAX).exists(), path(std::process::id()).exists());
        fs::remove_dir_all(&runtime).unwrap();
        assert_eq!(left, (false, true));
    }
}
