#!/usr/bin/env bash
# Black-box tests with the workers' shared object under AddressSanitizer: scripts/asan.sh [TESTS...]. It takes a nightly
# compiler, which it does not install, and gcc's linker. What is found is below target/asan/found.
#
# The runtime has to come before libpython, so it is preloaded, as a shared object that is made of the compiler's archive;
# the executable is an ordinary one. Leaks are not looked for: CPython keeps much for as long as it lives. Tests that
# weigh memory fail, as redzones and freed blocks are a part of it, and gevent's do, as greenlet copies whole stacks.
. "$(dirname "$0")/ready.sh"

need_rust
need_requirements tests/requirements.txt
need_server
need ar binutils
cargo +nightly --version >/dev/null 2>&1 ||
    fail "a nightly compiler is missing: rustup toolchain install nightly --profile minimal"
[ $# != 0 ] || set -- tests/test_asgi_*.py tests/test_websocket*.py tests/test_recycling.py tests/test_wsgi.py
host=$(rustc -vV | sed -n 's/^host: //p')
runtime=$(find "$(rustc +nightly --print sysroot)/lib/rustlib/$host" -name 'librustc*rt.asan.a')
[ -f "$runtime" ] || fail "the nightly compiler has no AddressSanitizer for $host"

say "cargo build"
# With a target, build scripts and macros are built without.
RUSTFLAGS=-Zsanitizer=address CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=64 \
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=line-tables-only CARGO_PROFILE_RELEASE_STRIP=none \
    cargo +nightly build --release --locked --package lowmem-serve-bridge --target "$host" --target-dir "$target/asan"

say "AddressSanitizer"
place=$target/asan/serving
rm -rf "$target/asan/found"
mkdir -p "$place" "$target/asan/found"
cp "$runtime" "$place/runtime.a"
# What begins before main is for executables.
ar d "$place/runtime.a" asan_preinit.cpp.o
gcc -shared -o "$place/runtime.so" -Wl,--whole-archive "$place/runtime.a" -Wl,--no-whole-archive -lpthread -ldl -lm -lrt -lgcc_s
cp "$target/asan/$host/release/lib_core.so" "$place/"
cp "$server" "$place/executable"
cat >"$place/lowmem-serve" <<END
#!/bin/sh
export LD_PRELOAD=$place/runtime.so
exec $place/executable "\$@"
END
chmod +x "$place/lowmem-serve"
export ASAN_OPTIONS="detect_leaks=0:log_path=$target/asan/found/report"
failed=0
LOWMEM_SERVE_BIN=$place/lowmem-serve "$venv/bin/python" -m pytest -q "$@" || failed=1
cat "$target"/asan/found/* 2>/dev/null | grep SUMMARY | sort | uniq -c || say "AddressSanitizer has found nothing"
exit "$failed"
