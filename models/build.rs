//! The module that is modelled waits with loom here, and with the standard library elsewhere.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(loom)");
    println!("cargo::rustc-cfg=loom");
}
