//! The directory of a cache: whether it can be one, and the files beside the segments.
//!
//! ```text
//! DIRECTORY/NAME/settings    size and owner, as lines
//!                index       the header and the table
//!                lock        its bytes are locked while a part of the index changes
//!                segment-…   the records
//!                leases/     a locked file for each value that is being computed
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::statfs;

use crate::error::OpenError;
use crate::index::Header;
use crate::lock::{self, Part, Wait};
use crate::segments::{self, Segments};

/// The smallest size of a cache.
const LEAST: u64 = 1 << 20;

/// The mean size of an entry that the index has slots for. Smaller entries fill the index before the disk's share.
const ENTRY: u64 = 256;

/// A cache has about so many segments: a finer grain of eviction, and as many descriptors.
const SEGMENTS: u64 = 64;
const SMALLEST_SEGMENT: u64 = 64 << 10;

/// A value of at most this part of the cache's size is kept.
const LARGEST_PART: u64 = 8;

/// The unit of `st_blocks`.
const BLOCK: u64 = 512;

/// Files of a cache, with room for some that others have put there.
const MOST_FILES: usize = 4 * SEGMENTS as usize;

const NFS: i64 = 0x6969;
const SMB: i64 = 0x517B;
const SMB2: i64 = 0xFE53_4D42;
const CIFS: i64 = 0xFF53_4D42;
const PLAN_9: i64 = 0x0102_1997;
const CEPH: i64 = 0x00C3_6400;

/// The settings that a cache is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Bytes that all files together may take of the disk.
    pub size: u64,
    /// The application that the cache belongs to; empty where it is not known, as in a script.
    pub owner: String,
}

impl Settings {
    pub(crate) fn buckets(&self) -> u32 {
        let slots = (self.size / ENTRY).max(1024);
        u32::try_from(slots / crate::index::SLOTS as u64).unwrap_or(u32::MAX)
    }

    pub(crate) fn segment(&self) -> u64 {
        (self.size / SEGMENTS).clamp(SMALLEST_SEGMENT, segments::LARGEST)
    }

    pub(crate) fn largest(&self) -> u64 {
        (self.size / LARGEST_PART).min(1 << 30)
    }
}

/// The files of a cache that are always open.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) index: File,
    pub(crate) lock: Arc<File>,
    /// It was broken, and is empty now.
    pub(crate) was_broken: bool,
}

/// Refuses a directory on another machine's file system: locks and appends are not reliable there.
///
/// # Errors
/// It is one, or cannot be looked at.
pub fn refuse_network_filesystem(directory: &Path) -> Result<(), OpenError> {
    let found = statfs(directory).map_err(|error| failed(directory, error.into()))?;
    #[allow(
        clippy::unnecessary_cast,
        reason = "the type differs between platforms"
    )]
    let kind = match found.f_type as i64 & 0xFFFF_FFFF {
        NFS => "NFS",
        SMB | SMB2 | CIFS => "SMB",
        PLAN_9 => "9p",
        CEPH => "Ceph",
        _ => return Ok(()),
    };
    Err(OpenError::Network {
        directory: directory.to_owned(),
        kind,
    })
}

/// The caches in a directory, by name.
///
/// # Errors
/// The directory cannot be read.
pub fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.path().join("settings").is_file()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The settings that a cache was made with, where they can be read.
pub(crate) fn read_settings(directory: &Path) -> Option<Settings> {
    let mut text = String::new();
    let file = File::open(directory.join("settings")).ok()?;
    file.take(64 << 10).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let size = lines.next()?.strip_prefix("size ")?.parse().ok()?;
    let owner = lines.next()?.strip_prefix("owner ")?.to_owned();
    Some(Settings { size, owner })
}

/// The bytes that the disk counts of a cache's files, and their limit; looked at from outside,
/// without opening it.
#[must_use]
pub fn disk_use(directory: &Path) -> Option<(u64, u64)> {
    let settings = read_settings(directory)?;
    let files = fs::read_dir(directory).ok()?.flatten();
    let blocks = files
        .take(MOST_FILES)
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|found| found.blocks());
    Some((blocks.sum::<u64>() * BLOCK, settings.size))
}

fn write_settings(directory: &Path, settings: &Settings) -> io::Result<()> {
    let temporary = directory.join(format!("settings.{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let owner = settings.owner.replace('\n', " ");
    options
        .open(&temporary)?
        .write_all(format!("size {}\nowner {owner}\n", settings.size).as_bytes())?;
    fs::rename(temporary, directory.join("settings"))
}

fn failed(directory: &Path, error: io::Error) -> OpenError {
    OpenError::Io {
        directory: directory.to_owned(),
        error,
    }
}

/// Makes the directory with those above it, for this user only.
fn make(directory: &Path) -> Result<(), OpenError> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|error| failed(directory, error))?;
    let found = fs::metadata(directory).map_err(|error| failed(directory, error))?;
    let is_own = found.uid() == rustix::process::geteuid().as_raw();
    if !is_own || found.mode() & 0o022 != 0 {
        return Err(OpenError::NotPrivate {
            directory: directory.to_owned(),
        });
    }
    Ok(())
}

/// Opens the files of a cache, makes what is missing, and empties what is broken or of another size.
pub(crate) fn open(directory: &Path, settings: &Settings) -> Result<Files, OpenError> {
    if settings.size < LEAST {
        return Err(OpenError::TooSmall { least: LEAST });
    }
    make(directory)?;
    refuse_network_filesystem(directory)?;
    let io = |error| failed(directory, error);
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let lock = Arc::new(options.open(directory.join("lock")).map_err(io)?);
    let index = options.open(directory.join("index")).map_err(io)?;
    let guard = lock::take(&lock, Part::Header, Wait::Patiently)
        .ok_or_else(|| io(io::ErrorKind::TimedOut.into()))?;
    let made_with = read_settings(directory);
    if let Some(made_with) = &made_with {
        let both_known = !made_with.owner.is_empty() && !settings.owner.is_empty();
        if both_known && made_with.owner != settings.owner {
            return Err(OpenError::Foreign {
                directory: directory.to_owned(),
                owner: made_with.owner.clone(),
            });
        }
    }
    let header = Header::read(&index).map_err(io)?;
    let is_usable = header.is_some_and(|header| header.buckets == settings.buckets());
    let is_fresh = header.is_none() && index.metadata().is_ok_and(|found| found.len() == 0);
    if !is_usable {
        begin(directory, settings, &index, header).map_err(io)?;
    }
    if !is_usable
        || made_with
            .as_ref()
            .is_none_or(|made_with| should_rewrite(made_with, settings))
    {
        write_settings(directory, settings).map_err(io)?;
    }
    drop(guard);
    Ok(Files {
        index,
        lock,
        was_broken: header.is_none() && !is_fresh,
    })
}

fn should_rewrite(made_with: &Settings, settings: &Settings) -> bool {
    made_with.size != settings.size || made_with.owner.is_empty() && !settings.owner.is_empty()
}

/// Makes an empty index. The numbers of segments go on, so that a process with the old index open finds nothing in
/// the new segments.
fn begin(
    directory: &Path,
    settings: &Settings,
    index: &File,
    old: Option<Header>,
) -> io::Result<()> {
    let mut segments = Segments::new(directory);
    let present = segments.numbers();
    let last = present
        .iter()
        .copied()
        .chain(old.map(|old| old.current))
        .max();
    let current = last.map_or(1, |last| last.wrapping_add(1).max(1));
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let (first, second) = random.split_at(8);
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |all, byte| all << 8 | u64::from(*byte))
    };
    index.set_len(0)?;
    index.set_len(Header::file_size(settings.buckets()))?;
    segments.create(current)?;
    let header = Header {
        buckets: settings.buckets(),
        current,
        oldest: current,
        hash_key: [number(first), number(second)],
    };
    header.write(index)?;
    for number in present {
        segments.remove(number);
    }
    Ok(())
}

/// The directory of leases, made when the first is taken.
pub(crate) fn leases(directory: &Path) -> io::Result<PathBuf> {
    let leases = directory.join("leases");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&leases)?;
    Ok(leases)
}
