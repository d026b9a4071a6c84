#!/usr/bin/env bash
# All the tests: scripts/test.sh [PYTEST ARGUMENT...]. With arguments, only what they choose of pytest's.
. "$(dirname "$0")/ready.sh"

need_rust
need_requirements tests/requirements.txt
need_server
# The tests read the ELF headers of what was built.
need readelf binutils
export LOWMEM_SERVE_BIN=$server

if [ $# = 0 ]; then
    say "cargo test"
    cargo test --workspace --locked
    say "the corpora of the fuzz targets"
    cargo test --manifest-path fuzz/Cargo.toml --no-default-features --target-dir "$target"
    say "the models of the pool of threads"
    cargo test --manifest-path models/Cargo.toml --locked --target-dir "$target"
    scripts/wheel-test.sh
fi
say "pytest"
exec "$venv/bin/python" -m pytest "$@"
