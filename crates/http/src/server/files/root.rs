//! A directory that is served, and opening what lies beneath it and nothing else.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use rustix::fs::{Mode, OFlags, ResolveFlags, Stat, fstat, open, openat, openat2, stat};
use rustix::io::Errno;

/// Descriptors that no process inherits; opening never waits for a FIFO's other end.
const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// A rename beneath the directory may disturb a lookup (openat2(2), EAGAIN).
const TRIES: usize = 4;

/// Whether a lookup may wait for a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// It must not: what the kernel does not have in memory is [`io::ErrorKind::WouldBlock`].
    None,
    /// It may.
    Disk,
}

/// An opened directory. One that takes its place is found once something is missing in this one.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    opened: RwLock<OwnedFd>,
}

impl Root {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            path: directory.to_owned(),
            opened: RwLock::new(opened(directory)?),
        })
    }

    /// Opens a relative path, following symbolic links only while they stay beneath.
    pub(super) fn find(&self, path: &Path, patience: Patience) -> io::Result<File> {
        match self.look_up(path, patience) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match patience {
                Patience::None if self.is_outdated() => Err(io::ErrorKind::WouldBlock.into()),
                Patience::Disk if self.is_outdated() => {
                    self.reopen()?;
                    self.look_up(path, patience)
                }
                _ => Err(error),
            },
            found => found,
        }
    }

    /// Whether another directory has this one's path by now: a build that removes its output and makes
    /// it anew, a deployment that moves one in.
    fn is_outdated(&self) -> bool {
        let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
        match (stat(&self.path), fstat(&*self.current())) {
            (Ok(there), Ok(opened)) => identity(there) != identity(opened),
            // It is gone, and nothing is in its place yet.
            _ => false,
        }
    }

    fn reopen(&self) -> io::Result<()> {
        let new = opened(&self.path)?;
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn current(&self) -> RwLockReadGuard<'_, OwnedFd> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_up(&self, path: &Path, patience: Patience) -> io::Result<File> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let resolve = match patience {
            Patience::None => beneath | ResolveFlags::CACHED,
            Patience::Disk => beneath,
        };
        for _ in 0..TRIES {
            let opened = openat2(&*self.current(), path, FLAGS, Mode::empty(), resolve);
            match (opened, patience) {
                (Ok(file), _) => return Ok(file.into()),
                (Err(Errno::AGAIN), Patience::Disk) => {}
                // Linux before 5.12 does not know CACHED, before 5.6 not openat2, and some
                // containers forbid what they do not know.
                (Err(Errno::AGAIN | Errno::INVAL | Errno::NOSYS | Errno::PERM), Patience::None) => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                (Err(Errno::NOSYS | Errno::PERM), Patience::Disk) => return self.walk(path),
                (Err(error), _) => return Err(error.into()),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// The same without openat2: segment by segment, following no symbolic link at all.
    fn walk(&self, path: &Path) -> io::Result<File> {
        let mut names = path.components().peekable();
        let top = self.current();
        let mut directory = None;
        while let Some(component) = names.next() {
            let name = match component {
                Component::Normal(name) => name,
                Component::CurDir => OsStr::new("."),
                _ => return Err(Errno::XDEV.into()),
            };
            let flags = match names.peek() {
                Some(_) => OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                None => FLAGS,
            };
            let from = directory.as_ref().unwrap_or(&*top);
            directory = Some(openat(from, name, flags | OFlags::NOFOLLOW, Mode::empty())?);
        }
        directory.map(File::from).ok_or_else(|| Errno::NOENT.into())
    }
}

fn opened(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(open(directory, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    fn tree(name: &str) -> PathBuf {
        let top = std::env::temp_dir().join(format!("lowmem-serve-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&top);
        fs::create_dir_all(top.join("public/deep")).unwrap();
        fs::write(top.join("secret"), "secret").unwrap();
        fs::write(top.join("public/a"), "a").unwrap();
        fs::write(top.join("public/deep/b"), "b").unwrap();
        symlink("a", top.join("public/inner")).unwrap();
        symlink("../secret", top.join("public/outer")).unwrap();
        symlink("/etc/passwd", top.join("public/absolute")).unwrap();
        symlink("..", top.join("public/up")).unwrap();
        top
    }

    fn read(file: io::Result<File>) -> Option<String> {
        let mut text = String::new();
        file.ok()?.read_to_string(&mut text).ok()?;
        Some(text)
    }

    #[test]
    fn nothing_outside_is_opened() {
        let top = tree("beneath");
        let root = Root::open(&top.join("public")).unwrap();
        let find = |path: &str| read(root.find(Path::new(path), Patience::Disk));
        assert_eq!(
            (find("a"), find("deep/b")),
            (Some("a".into()), Some("b".into()))
        );
        assert_eq!(find("inner"), Some("a".into()));
        for path in [
            "outer",
            "absolute",
            "up/secret",
            "../secret",
            "/etc/passwd",
            "none",
        ] {
            assert_eq!(find(path), None, "{path}");
        }
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn a_directory_that_is_made_anew_is_found_again() {
        let top = tree("anew");
        let public = top.join("public");
        let root = Root::open(&public).unwrap();
        let find = |path: &str| read(root.find(Path::new(path), Patience::Disk));
        fs::remove_dir_all(&public).unwrap();
        assert_eq!(find("a"), None);
        fs::create_dir(&public).unwrap();
        fs::write(public.join("a"), "new").unwrap();
        assert_eq!(find("a"), Some("new".into()));
        fs::rename(&public, top.join("old")).unwrap();
        fs::create_dir(&public).unwrap();
        fs::write(public.join("c"), "newer").unwrap();
        assert_eq!((find("c"), find("a")), (Some("newer".into()), None));
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn without_openat2_no_link_is_followed() {
        let top = tree("walk");
        let root = Root::open(&top.join("public")).unwrap();
        let walk = |path: &str| read(root.walk(Path::new(path)));
        assert_eq!(
            (walk("a"), walk("deep/b")),
            (Some("a".into()), Some("b".into()))
        );
        for path in [
            "inner",
            "outer",
            "up/secret",
            "../secret",
            "/etc/passwd",
            "none",
        ] {
            assert_eq!(walk(path), None, "{path}");
        }
        assert!(root.walk(Path::new(".")).is_ok());
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn what_was_just_opened_is_found_without_a_disk() {
        let top = tree("cached");
        let root = Root::open(&top.join("public")).unwrap();
        assert!(root.find(Path::new("a"), Patience::Disk).is_ok());
        match root.find(Path::new("a"), Patience::None) {
            Ok(file) => assert_eq!(read(Ok(file)), Some("a".into())),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        fs::remove_dir_all(top).unwrap();
    }
}
