//! Lets the linker place the functions for serving together (`serving.ld` says why).

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=serving.ld");
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let script = Path::new(&folder).join("serving.ld");
    println!("cargo::rustc-link-arg-cdylib=-Wl,-T,{}", script.display());
    // The object is stripped; scripts/serving_count.py reads here which functions it has.
    let map = Path::new(&env::var("OUT_DIR").unwrap_or_default()).join("serving.map");
    println!("cargo::rustc-link-arg-cdylib=-Wl,-Map={}", map.display());
}
