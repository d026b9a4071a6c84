#!/usr/bin/env bash
# Memory against the number of applications: scripts/density.sh [ARGUMENT OF benches/density.py...]
# Prints a table and draws docs/density.svg.
. "$(dirname "$0")/ready.sh"

need_rust
need_python
if [ -z "${LOWMEM_SERVE_BIN-}" ]; then
    say "cargo build --release"
    cargo build --release --locked
    export LOWMEM_SERVE_BIN=$server
fi
exec "$python" benches/density.py --counts 1,5,10,20 --picture docs/density.svg "$@"
