#!/usr/bin/env bash
# Every rule about the text of the source. --fix puts right what can be put right by a tool.
. "$(dirname "$0")/ready.sh"

need_rust
need_requirements scripts/requirements.txt
ruff=$venv/bin/ruff

if [ "${1-}" = --fix ]; then
    cargo fmt --all
    "$ruff" check --no-cache --fix .
    "$ruff" format .
    exit
fi

say "cargo fmt --check"
cargo fmt --all --check
say "cargo clippy"
cargo clippy --workspace --all-targets --locked -- -D warnings
say "rooms without circles"
"$venv/bin/python" scripts/rooms.py
say "ruff check"
"$ruff" check --no-cache .
say "ruff format --check"
"$ruff" format --check .
if command -v cargo-deny >/dev/null; then
    say "cargo deny"
    cargo deny --offline check licenses bans sources
fi
