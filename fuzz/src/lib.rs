//! The bodies of the fuzz targets, as functions: each takes any bytes, and panics where the code under
//! test breaks a promise.
//!
//! `cargo +nightly fuzz run TARGET` feeds them with what libFuzzer makes up, `cargo test
//! --no-default-features` with the files of `corpus/TARGET`, on a stable compiler.

pub mod access_template;
pub mod body_framing;
pub mod env_file;
pub mod file_requests;
pub mod hpack;
pub mod http2_frames;
pub mod http2_peer;
pub mod proxy;
pub mod request_head;
pub mod settings_file;
pub mod websocket;

/// A target's body.
pub type Target = fn(&[u8]);

/// All targets, by their names.
pub const TARGETS: [(&str, Target); 11] = [
    ("access_template", access_template::run),
    ("body_framing", body_framing::run),
    ("env_file", env_file::run),
    ("file_requests", file_requests::run),
    ("hpack", hpack::run),
    ("http2_frames", http2_frames::run),
    ("http2_peer", http2_peer::run),
    ("proxy", proxy::run),
    ("request_head", request_head::run),
    ("settings_file", settings_file::run),
    ("websocket", websocket::run),
];
