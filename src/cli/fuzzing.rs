//! The settings file as the fuzz targets see it.

use std::path::Path;

use super::file;

/// Reads a file's text: whether it says anything to this server.
///
/// # Errors
/// All that is wrong with it, a line for each.
pub fn settings_file(name: &str, text: &str) -> Result<bool, String> {
    file::read(Path::new(name), text).map(|file| file.is_some())
}
