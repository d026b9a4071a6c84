//! The user that processes run as.

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr;

/// Space for a line of the user database; longer ones are tried with more.
const LINE: usize = 1024;
const LONGEST_LINE: usize = 1 << 20;

/// More groups than a user has anywhere.
const MOST_GROUPS: usize = 65_536;

/// A user, and what a login as that user would bring.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The home directory.
    pub home: PathBuf,
    uid: libc::uid_t,
    gid: libc::gid_t,
    groups: Vec<libc::gid_t>,
}

impl User {
    /// Looks a user up by name.
    ///
    /// # Errors
    /// There is none of that name, or the database cannot be read.
    pub fn named(name: &str) -> io::Result<Self> {
        let missing =
            || io::Error::new(io::ErrorKind::NotFound, format!("there is no user {name}"));
        let text = CString::new(name).map_err(|_| missing())?;
        let (uid, gid, home) = look_up(&text)?.ok_or_else(missing)?;
        Ok(Self {
            name: name.to_owned(),
            home,
            uid,
            gid,
            groups: groups(&text, gid)?,
        })
    }

    /// Has a file or a directory belong to it.
    ///
    /// # Errors
    /// This process is not root's, or there is no such file.
    pub fn take(&self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
    }

    /// Whether it may enter the directories on the way to a path, as far as they are there.
    ///
    /// # Errors
    /// The first directory that it may not enter.
    pub fn reaches(&self, path: &Path) -> Result<(), PathBuf> {
        for directory in path.ancestors() {
            let Ok(found) = directory.metadata() else {
                continue;
            };
            let shift = match () {
                () if found.uid() == self.uid => 6,
                () if self.groups.contains(&found.gid()) => 3,
                () => 0,
            };
            if self.uid != 0 && (found.mode() >> shift) & 1 == 0 {
                return Err(directory.to_owned());
            }
        }
        Ok(())
    }

    /// Makes this process that user's. Between fork and exec: it makes three system calls and
    /// nothing that locks or allocates.
    ///
    /// # Errors
    /// This process is not root's.
    pub fn become_it(&self) -> io::Result<()> {
        let done = |result: libc::c_int| match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        // SAFETY: the list lives as long as the call.
        done(unsafe { libc::setgroups(self.groups.len(), self.groups.as_ptr()) })?;
        // SAFETY: no preconditions.
        done(unsafe { libc::setgid(self.gid) })?;
        // SAFETY: no preconditions.
        done(unsafe { libc::setuid(self.uid) })
    }
}

fn look_up(name: &CStr) -> io::Result<Option<(libc::uid_t, libc::gid_t, PathBuf)>> {
    let mut space: Vec<libc::c_char> = vec![0; LINE];
    loop {
        let mut entry = MaybeUninit::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: all pointers are valid for the call, the space as long as it is said to be.
        let error = unsafe {
            libc::getpwnam_r(
                name.as_ptr(),
                entry.as_mut_ptr(),
                space.as_mut_ptr(),
                space.len(),
                &raw mut found,
            )
        };
        match error {
            0 if found.is_null() => return Ok(None),
            0 => {
                // SAFETY: found, so the entry is filled in, and its texts lie in the space.
                let (entry, home) = unsafe {
                    let entry = entry.assume_init();
                    (entry, CStr::from_ptr(entry.pw_dir).to_bytes().to_vec())
                };
                let home = PathBuf::from(OsString::from_vec(home));
                return Ok(Some((entry.pw_uid, entry.pw_gid, home)));
            }
            libc::ERANGE if space.len() < LONGEST_LINE => space.resize(space.len() * 4, 0),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

fn groups(name: &CStr, gid: libc::gid_t) -> io::Result<Vec<libc::gid_t>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let mut count = libc::c_int::try_from(groups.len()).unwrap_or(libc::c_int::MAX);
        // SAFETY: the name and the list are valid for the call, the list as long as it is said to be.
        let fits =
            unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if fits >= 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        if groups.len() >= MOST_GROUPS {
            return Err(io::Error::other("too many groups"));
        }
        groups.resize(count.max(groups.len() * 2), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_an_unknown_name_is_not() {
        let root = User::named("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0) && root.home.is_absolute());
        let error = User::named("no-such-user-here").unwrap_err();
        assert_eq!(error.to_string(), "there is no user no-such-user-here");
    }
}
