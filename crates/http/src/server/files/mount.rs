//! A directory below a path, and what is found in it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::asked::{Asked, Method};
use super::codings::{self, Coding};
use super::media_type;
use super::reply::{Found, Reply};
use super::root::{Patience, Root};
use super::target::Target;
use lowmem_base::config::Mount;

/// A mounted directory.
#[derive(Debug)]
pub(super) struct Mounted {
    pub(super) settings: Mount,
    root: Root,
}

/// The object at a path.
enum Standing {
    File(File, PathBuf),
    /// A directory, asked for without its slash.
    Directory,
    Nothing,
    Forbidden,
}

impl Mounted {
    pub(super) fn open(settings: Mount) -> io::Result<Self> {
        let root = Root::open(&settings.directory).map_err(|error| {
            let why = format!("{}: {error}", settings.directory.display());
            io::Error::new(error.kind(), why)
        })?;
        Ok(Self { settings, root })
    }

    /// The answer to a request below the mount; `None` where the application should answer.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] without patience, and what else a disk has to say.
    pub(super) fn reply(&self, asked: &Asked, patience: Patience) -> io::Result<Option<Reply>> {
        let passes = self.settings.pass;
        if asked.method == Method::Other {
            return Ok((!passes).then(Reply::method_not_allowed));
        }
        let standing = match &asked.target {
            Some(target) => self.at(target, patience)?,
            None => Standing::Nothing,
        };
        match standing {
            Standing::File(file, path) => self.file(file, &path, asked, patience).map(Some),
            Standing::Directory => Ok(Some(Reply::moved(asked.as_directory()))),
            Standing::Forbidden => Ok(Some(Reply::plain(403))),
            Standing::Nothing => match self.fallback(patience)? {
                Some((file, path)) => self.file(file, &path, asked, patience).map(Some),
                None => Ok((!passes).then(|| Reply::plain(404))),
            },
        }
    }

    fn at(&self, target: &Target, patience: Patience) -> io::Result<Standing> {
        let file = match self.root.find(target.path(), patience) {
            Ok(file) => file,
            Err(error) => return standing(error),
        };
        let kind = file.metadata()?.file_type();
        if kind.is_file() && !target.is_directory {
            return Ok(Standing::File(file, target.path().to_owned()));
        }
        let Some(index) = self.settings.index.as_ref().filter(|_| kind.is_dir()) else {
            return Ok(Standing::Nothing);
        };
        if !target.is_directory {
            return Ok(Standing::Directory);
        }
        self.regular(target.path().join(index), patience)
    }

    fn fallback(&self, patience: Patience) -> io::Result<Option<(File, PathBuf)>> {
        let Some(name) = &self.settings.fallback else {
            return Ok(None);
        };
        Ok(match self.regular(PathBuf::from(name), patience)? {
            Standing::File(file, path) => Some((file, path)),
            _ => None,
        })
    }

    fn regular(&self, path: PathBuf, patience: Patience) -> io::Result<Standing> {
        match self.root.find(&path, patience) {
            Ok(file) if file.metadata()?.is_file() => Ok(Standing::File(file, path)),
            Ok(_) => Ok(Standing::Nothing),
            Err(error) => standing(error),
        }
    }

    fn file(
        &self,
        file: File,
        path: &Path,
        asked: &Asked,
        patience: Patience,
    ) -> io::Result<Reply> {
        let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        let media_type = media_type::of(name);
        let mut found = Found {
            about: file.metadata()?,
            file,
            coding: None,
            varies: false,
            media_type,
        };
        if media_type::is_compressible(&found.media_type) {
            self.choose_coding(&mut found, path, &asked.accept_encoding, patience)?;
        }
        let cache_control = self.settings.cache_control.as_deref();
        Reply::of(found, asked, cache_control, patience)
    }

    /// Takes the best sibling that the client accepts; notices whether there are any.
    fn choose_coding(
        &self,
        found: &mut Found,
        path: &Path,
        accept_encoding: &str,
        patience: Patience,
    ) -> io::Result<()> {
        let accepted = codings::accepted(accept_encoding);
        let others = Coding::ALL.into_iter().filter(|c| !accepted.contains(c));
        for coding in accepted.iter().copied().chain(others) {
            let mut sibling = OsString::from(path);
            sibling.push(coding.suffix());
            if let Standing::File(file, _) = self.regular(PathBuf::from(sibling), patience)? {
                found.varies = true;
                if accepted.contains(&coding) {
                    found.about = file.metadata()?;
                    found.file = file;
                    found.coding = Some(coding);
                }
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The meaning of a lookup's error, if it says something about the path.
fn standing(error: io::Error) -> io::Result<Standing> {
    match Errno::from_io_error(&error) {
        Some(
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::NAMETOOLONG
            | Errno::INVAL
            // It leads out of the directory, or in a circle; or it is a device or a socket.
            | Errno::XDEV
            | Errno::LOOP
            | Errno::NXIO
            | Errno::NODEV,
        ) => Ok(Standing::Nothing),
        Some(Errno::ACCESS | Errno::PERM) => Ok(Standing::Forbidden),
        _ => Err(error),
    }
}
