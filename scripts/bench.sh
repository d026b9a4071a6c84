#!/usr/bin/env bash
# The comparison with other servers: scripts/bench.sh [ARGUMENT OF benches/compare.py...]
. "$(dirname "$0")/ready.sh"

need_rust
need_python
say "cargo build --release"
cargo build --release --locked
exec "$python" benches/compare.py --binary "$server" "$@"
