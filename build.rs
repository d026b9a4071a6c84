//! Strips the executable.
//!
//! Cargo forgets the profile's `strip` for a package whose `opt-level` is set by itself, as this one's is. The linker
//! does what `strip = true` asks of it; a profile with debug information keeps it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("DEBUG").is_some_and(|debug| debug == "false") {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    }
}
