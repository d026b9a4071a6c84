#!/usr/bin/env bash
# Every rule about the text of the source. --fix puts right what can be put right by a tool.
. "$(dirname "$0")/ready.sh"

need_rust
need_requirements scripts/requirements.txt
ruff=$venv/bin/ruff

if [ "${1-}" = --fix ]; then
    cargo fmt --all
    cargo fmt --manifest-path fuzz/Cargo.toml
    cargo fmt --manifest-path models/Cargo.toml
    "$ruff" check --no-cache --fix .
    "$ruff" format .
    exit
fi

say "cargo fmt --check"
cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check
cargo fmt --manifest-path models/Cargo.toml --check
say "cargo clippy"
cargo clippy --workspace --all-targets --locked -- -D warnings
# Its lock follows the server's own dependencies.
cargo clippy --manifest-path fuzz/Cargo.toml --no-default-features --all-targets \
    --target-dir "$target" -- -D warnings
cargo clippy --manifest-path models/Cargo.toml --all-targets --locked --target-dir "$target" -- -D warnings
say "cargo doc"
# The documentation names private items, which is for readers of the source.
RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
    cargo doc --workspace --no-deps --document-private-items --locked --quiet
say "rooms without circles"
"$venv/bin/python" scripts/rooms.py
say "ruff check"
"$ruff" check --no-cache .
say "ruff format --check"
"$ruff" format --check .
say "release workflow"
"$venv/bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml
least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if command -v rustup >/dev/null && rustup toolchain list | grep -q "^$least[.-]"; then
    say "cargo check with Rust $least"
    cargo "+$least" check --workspace --locked --target-dir "$target/oldest"
else
    say "cargo check with Rust $least: skipped, as it is not installed (rustup toolchain install $least)"
fi
if command -v cargo-deny >/dev/null; then
    say "cargo deny"
    cargo deny --offline check licenses bans sources
    # It is a repository of its own, and not in a registry: where only registries are reached, lint passes without.
    if timeout 60 cargo deny fetch db >/dev/null 2>&1; then
        cargo deny --offline check advisories
    else
        say "cargo deny: advisories skipped, as their database cannot be fetched"
    fi
else
    say "cargo deny: skipped, as cargo-deny is not installed (cargo install --locked cargo-deny)"
fi
