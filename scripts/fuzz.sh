#!/usr/bin/env bash
# Runs fuzz targets: scripts/fuzz.sh [--seconds N] [TARGET...]. It takes a nightly compiler and cargo-fuzz, which it does
# not install. What is found stays in fuzz/found (inputs that reach new code) and fuzz/artifacts (failures).
. "$(dirname "$0")/ready.sh"

seconds=60
if [ "${1-}" = --seconds ]; then
    seconds=${2?--seconds takes a number}
    shift 2
fi
need_rust
cargo +nightly --version >/dev/null 2>&1 || fail "a nightly compiler is missing: rustup toolchain install nightly --profile minimal"
command -v cargo-fuzz >/dev/null || fail "cargo-fuzz is missing: cargo install cargo-fuzz"
if [ $# = 0 ]; then
    mapfile -t targets < <(cargo +nightly fuzz list)
    set -- "${targets[@]}"
fi
# libFuzzer's main leaves the signal as it is, which Rust's and Python's do not.
trap '' PIPE
for name; do
    say "fuzz $name, $seconds s"
    mkdir -p "fuzz/found/$name"
    cargo +nightly fuzz run "$name" "fuzz/found/$name" "fuzz/corpus/$name" -- \
        -max_total_time="$seconds" -max_len=3000 -timeout=60
done
