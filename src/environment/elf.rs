//! The libraries and directories that an executable names for the dynamic linker.

use std::fs::File;
use std::path::Path;

use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, FileHeader32, FileHeader64};
use object::read::elf::FileHeader;
use object::{Endianness, FileKind, ReadCache, ReadRef};

/// The part of an ELF's dynamic section that says where libpython is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dynamic {
    /// Names of libraries (DT_NEEDED).
    pub needed: Vec<String>,
    /// Directories to look in (DT_RPATH, DT_RUNPATH), not yet expanded.
    pub run_paths: Vec<String>,
}

/// The kind of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Elf(Dynamic),
    /// A script, most likely.
    Other,
}

/// Reads only the pages it needs: a static Python is several megabytes.
pub(super) fn read(path: &Path) -> Result<Kind, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let cache = ReadCache::new(file);
    match FileKind::parse(&cache) {
        Ok(FileKind::Elf64) => dynamic::<FileHeader64<Endianness>>(&cache).map(Kind::Elf),
        Ok(FileKind::Elf32) => dynamic::<FileHeader32<Endianness>>(&cache).map(Kind::Elf),
        _ => Ok(Kind::Other),
    }
}

fn dynamic<'data, H>(data: impl ReadRef<'data>) -> Result<Dynamic, String>
where
    H: FileHeader<Endian = Endianness>,
{
    let table = || {
        let header = H::parse(data)?;
        let endian = header.endian()?;
        header.sections(endian, data)?.dynamic_table(endian, data)
    };
    let table = table().map_err(|error: object::Error| error.to_string())?;
    let mut dynamic = Dynamic::default();
    for entry in table.iter() {
        let list = match entry.tag {
            DT_NEEDED => &mut dynamic.needed,
            DT_RPATH | DT_RUNPATH => &mut dynamic.run_paths,
            _ => continue,
        };
        let text = table.string(entry).map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(text);
        // A library's name has no colon; a list of directories is separated by them.
        list.extend(text.split(':').map(str::to_owned));
    }
    Ok(dynamic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_executable_needs_the_c_library() {
        let Kind::Elf(dynamic) = read(&std::env::current_exe().unwrap()).unwrap() else {
            panic!("not an ELF");
        };
        assert!(
            dynamic
                .needed
                .iter()
                .any(|name| name.starts_with("libc.so"))
        );
        assert!(
            !dynamic
                .needed
                .iter()
                .any(|name| name.starts_with("libpython"))
        );
    }

    #[test]
    fn a_script_is_something_else() {
        assert_eq!(read(Path::new(file!())).unwrap(), Kind::Other);
    }
}
