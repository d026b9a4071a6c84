//! The media type of a file, by its extension.
//!
//! mime_guess knows them; but its table of strings needs 60 KB of relocations, which every worker
//! would have as memory of its own. So the build makes one text of it (`build.rs`), which stays in
//! the page cache until a request needs it.

use memchr::memmem;

/// A line for each type: the type, and its extensions, each after a space.
const TYPES: &str = include_str!(concat!(env!("OUT_DIR"), "/media_types"));

const UNKNOWN: &str = "application/octet-stream";

/// The type of a file with this name. Texts are taken for UTF-8.
pub(super) fn of(name: &[u8]) -> String {
    let extension = memchr::memrchr(b'.', name).map(|dot| &name[dot + 1..]);
    let known = extension.and_then(|extension| by_extension(&extension.to_ascii_lowercase()));
    match known {
        Some(text) if text.starts_with("text/") => format!("{text}; charset=utf-8"),
        Some(other) => other.to_owned(),
        None => UNKNOWN.to_owned(),
    }
}

/// Whether a better coding may have been made of such files: what is compressed already is not.
pub(super) fn is_compressible(media_type: &str) -> bool {
    let subtypes = [
        "json",
        "javascript",
        "xml",
        "wasm",
        "svg",
        "font-sfnt",
        "x-font-ttf",
    ];
    media_type.starts_with("text/")
        || subtypes.iter().any(|subtype| media_type.contains(subtype))
        || matches!(
            media_type,
            "font/ttf" | "font/otf" | "application/octet-stream"
        )
}

fn by_extension(extension: &[u8]) -> Option<&'static str> {
    if extension.is_empty() || !extension.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let sought = [b" ".as_slice(), extension].concat();
    let found = memmem::find_iter(TYPES.as_bytes(), &sought).find(|at| {
        let after = TYPES.as_bytes().get(at + sought.len());
        matches!(after, Some(b' ' | b'\n'))
    })?;
    let start = TYPES[..found].rfind('\n').map_or(0, |end| end + 1);
    TYPES[start..found].split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_of_the_web_are_known() {
        for (name, expected) in [
            ("a.html", "text/html; charset=utf-8"),
            ("A.HTM", "text/html; charset=utf-8"),
            ("a.min.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.svg", "image/svg+xml"),
            ("a.png", "image/png"),
            ("a.jpg", "image/jpeg"),
            ("a.webp", "image/webp"),
            ("a.avif", "image/avif"),
            ("a.ico", "image/x-icon"),
            ("a.woff2", "font/woff2"),
            ("a.wasm", "application/wasm"),
            ("a.webmanifest", "application/manifest+json"),
            ("a.mp4", "video/mp4"),
            ("a.pdf", "application/pdf"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.xyzxyz", UNKNOWN),
            ("html", UNKNOWN),
            ("a.", UNKNOWN),
            ("a.h tml", UNKNOWN),
        ] {
            assert_eq!(of(name.as_bytes()), expected, "{name}");
        }
    }
}
