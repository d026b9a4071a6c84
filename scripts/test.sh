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
    scripts/wheel-test.sh
fi
say "pytest"
exec "$venv/bin/python" -m pytest "$@"
