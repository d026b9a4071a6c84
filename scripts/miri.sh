#!/usr/bin/env bash
# The tests of what threads share, and of HPACK, under Miri: scripts/miri.sh [FILTER...]. It takes a nightly compiler with
# Miri, which it does not install. Sockets, files and TLS are beyond what Miri runs.
. "$(dirname "$0")/ready.sh"

need_rust
cargo +nightly miri --version >/dev/null 2>&1 ||
    fail "Miri is missing: rustup toolchain install nightly --profile minimal --component miri,rust-src"
[ $# != 0 ] || set -- exchange:: threads:: hpack:: turn::
# The clock is the machine's: times are measured.
MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS-}" \
    cargo +nightly miri test --locked -p lowmem-serve-http --lib -- "$@"
