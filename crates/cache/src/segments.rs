//! The segments' files: names, open descriptors, what the disk counts.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Descriptors that a process keeps open for reading, at most: as many as a cache has segments.
const OPEN: usize = 80;

/// No segment is made longer on purpose, but by one record.
pub(crate) const LARGEST: u64 = 16 << 20;

/// The files of one cache, as one process has them open.
#[derive(Debug)]
pub(crate) struct Segments {
    directory: PathBuf,
    reading: HashMap<u32, File>,
    /// The one that is appended to, and its number.
    appending: Option<(u32, File)>,
}

impl Segments {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            reading: HashMap::new(),
            appending: None,
        }
    }

    fn path(&self, number: u32) -> PathBuf {
        self.directory.join(format!("segment-{number:08x}"))
    }

    /// Makes the file of a segment.
    pub(crate) fn create(&mut self, number: u32) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        self.appending = Some((number, options.open(self.path(number))?));
        Ok(())
    }

    /// Appends to a segment; the offset at which the bytes begin.
    ///
    /// After an appending write a descriptor's position is the end of what was written, whatever other processes
    /// append meanwhile.
    pub(crate) fn append(&mut self, number: u32, bytes: &[u8]) -> io::Result<u64> {
        if self
            .appending
            .as_ref()
            .is_none_or(|(open, _)| *open != number)
        {
            let file = OpenOptions::new().append(true).open(self.path(number))?;
            self.appending = Some((number, file));
        }
        let Some((_, file)) = &mut self.appending else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if file.write(bytes)? != bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let end = file.stream_position()?;
        end.checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Reads exactly so many bytes of a segment.
    pub(crate) fn read(&mut self, number: u32, offset: u32, into: &mut [u8]) -> io::Result<()> {
        if !self.reading.contains_key(&number) {
            let file = File::open(self.path(number))?;
            if self.reading.len() >= OPEN
                && let Some(lowest) = self.reading.keys().min().copied()
            {
                self.reading.remove(&lowest);
            }
            self.reading.insert(number, file);
        }
        match self.reading.get(&number) {
            Some(file) => file.read_exact_at(into, offset.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Closes the files of segments before `oldest`, whose space the disk gets back only then.
    pub(crate) fn close_before(&mut self, oldest: u32) {
        if self.reading.keys().any(|number| *number < oldest) {
            self.reading.retain(|number, _| *number >= oldest);
        }
    }

    /// Unlinks a segment. A process that still appends to it finds from the offset that it came too late: the file
    /// is made longer than any segment first.
    pub(crate) fn remove(&mut self, number: u32) {
        let path = self.path(number);
        self.reading.remove(&number);
        if let Ok(file) = OpenOptions::new().write(true).open(&path)
            && file.metadata().is_ok_and(|found| found.len() < LARGEST)
        {
            let _ = file.set_len(LARGEST);
        }
        let _ = fs::remove_file(path);
    }

    /// The numbers of all files that are there.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        let entries = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        let numbers = entries.filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix("segment-")?;
            u32::from_str_radix(number, 16).ok()
        });
        numbers.collect()
    }

    /// The bytes that a segment takes of the disk.
    pub(crate) fn disk_size(&self, number: u32) -> u64 {
        fs::metadata(self.path(number)).map_or(0, |found| found.blocks() * 512)
    }
}
