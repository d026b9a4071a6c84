//! The file of `--env-file` as the fuzz targets see it.

use super::env_file;

/// The variables that a file sets, and the numbers of its lines that make no sense. `outside` is the
/// environment.
#[must_use]
pub fn env_file(
    text: &str,
    outside: impl Fn(&str) -> Option<String>,
) -> (Vec<(String, String)>, Vec<usize>) {
    let file = env_file::parse(text, outside);
    (file.variables, file.nonsense)
}
