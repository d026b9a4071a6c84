//! `lowmem-serve man`.

use clap_mangen::Man;

use crate::cli;

/// The man page of the server and its commands, as roff.
pub(super) fn page() -> Vec<u8> {
    let mut page = Vec::new();
    // Writing into memory does not fail.
    let _ = Man::new(cli::definition()).render(&mut page);
    page
}
