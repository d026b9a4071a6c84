//! Makes the table of media types, one text without pointers, from what mime_guess knows.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs, io};

/// RFC 9239 section 6: the others are obsolete.
const JAVASCRIPT: (&str, &str) = ("application/javascript", "text/javascript");

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let mut types: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let known = mime_guess::get_extensions("*", "*").unwrap_or_default();
    for extension in known {
        if let Some(first) = mime_guess::from_ext(extension).first_raw() {
            let current = if first == JAVASCRIPT.0 {
                JAVASCRIPT.1
            } else {
                first
            };
            types.entry(current).or_default().push(extension);
        }
    }
    let mut text = String::new();
    for (media_type, extensions) in types {
        text.push_str(media_type);
        for extension in extensions {
            text.push(' ');
            text.push_str(extension);
        }
        text.push('\n');
    }
    let directory = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&directory).join("media_types"), text)
}
