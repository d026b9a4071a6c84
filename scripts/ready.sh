# shellcheck shell=bash
# Sourced by the other scripts: makes ready what they stand on, and says what it does.
# Every step looks first and does nothing when there is nothing to do.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
venv=$root/.venv
server=$target/release/lowmem-serve
oldest_python=3.11
# Wherever Cargo puts what it builds.
export LOWMEM_SERVE_PACKAGE=$root/python/lowmem_serve

say() { printf '=> %s\n' "$*" >&2; }

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# install_debian PACKAGE...: installs them, or says what a person has to install.
install_debian() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        fail "please install: $* (Debian's names); as root on Debian or Ubuntu this script does it"
    fi
    say "apt-get install $*"
    if [ -z "${apt_updated-}" ]; then
        apt-get update -qq || fail "apt-get update failed: see above"
        apt_updated=yes
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=300 \
        --no-install-recommends "$@" >/dev/null ||
        fail "apt-get could not install $*: see above"
}

# need COMMAND PACKAGE: the command, from Debian's package if it is missing.
need() {
    command -v "$1" >/dev/null || install_debian "$2"
    command -v "$1" >/dev/null || fail "$1 is missing though $2 is installed"
}

# take_installed_rust: where the release of rust-toolchain.toml is installed under another name (a default called stable), or
# is missing and cannot be fetched, the default is taken. Without rustup there is one Rust, and nothing to choose.
take_installed_rust() {
    local pinned default
    command -v rustup >/dev/null && [ -z "${RUSTUP_TOOLCHAIN-}" ] || return 0
    pinned=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    ! rustup toolchain list | grep -q "^$pinned-" || return 0
    default=$(cd / && rustup show active-toolchain 2>/dev/null | cut -d' ' -f1)
    if [ -z "$default" ] || { [ "$(cd / && rustc --version | cut -d' ' -f2)" != "$pinned" ] &&
        rustup toolchain install "$pinned" --profile minimal --component clippy,rustfmt >/dev/null 2>&1; }; then
        return 0
    fi
    say "Rust $pinned is not installed under that name: building with $default"
    export RUSTUP_TOOLCHAIN=$default
}

need_rust() {
    local least found
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    fi
    take_installed_rust
    least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    command -v cargo >/dev/null || fail "cargo is not on PATH: install Rust $least or later with rustup"
    found=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$least" "$found" | sort -V | head -n1)" = "$least" ] ||
        fail "Rust $found is on PATH, and $least or later is needed: rustup update"
    need cc build-essential
}

# is_python CANDIDATE: prints the interpreter's own path if it runs, is new enough and can make environments.
# A name on PATH may be a shim that runs nothing, or another interpreter.
is_python() {
    "$1" -c "
import sys, ensurepip, venv
wanted = tuple(int(part) for part in '$oldest_python'.split('.'))
if sys.version_info < wanted or sys.implementation.name != 'cpython':
    sys.exit(1)
print(sys.executable)" 2>/dev/null
}

find_python() {
    local candidate
    if [ -n "${PYTHON-}" ]; then
        is_python "$PYTHON" || fail "PYTHON=$PYTHON is not a CPython $oldest_python or later with venv and ensurepip"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        is_python "$candidate" && return
    done
    return 1
}

# need_python: sets $python.
need_python() {
    python=$(find_python) && return
    [ -z "${PYTHON-}" ] || exit 1
    install_debian python3 python3-venv
    python=$(find_python) ||
        fail "no CPython $oldest_python or later with venv and ensurepip: put one on PATH, or name it: PYTHON=/path/to/python3"
}

# base_of PYTHON: the interpreter that an environment was made of, or the interpreter itself.
base_of() { "$1" -c 'import os, sys; print(os.path.realpath(sys._base_executable))' 2>/dev/null; }

# need_venv: .venv, of PYTHON if that is given.
need_venv() {
    if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        [ -n "${PYTHON-}" ] || return 0
        need_python
        [ "$(base_of "$venv/bin/python")" != "$(base_of "$python")" ] || return 0
    fi
    need_python
    say "making .venv with $python"
    rm -rf "$venv"
    "$python" -m venv "$venv" || fail "$python could not make .venv: see above"
}

# need_requirements FILE: in .venv, once for each content of the files (one may include another).
need_requirements() {
    local stamp now
    need_venv
    stamp=$venv/.installed-${1//\//-}
    now=$(cat examples/requirements.txt examples/case/requirements.txt tests/requirements.txt scripts/requirements.txt | sha256sum)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$now" ]; then
        say "pip install -r $1"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$1" ||
            fail "pip could not install $1: see above"
        printf '%s\n' "$now" >"$stamp"
    fi
}

# need_server: this tree's build, and .venv as if it were installed there.
need_server() {
    local packages
    need_rust
    need_venv
    say "cargo build --release"
    cargo build --release --locked
    ln -sfn "$server" "$venv/bin/lowmem-serve"
    packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$root/python" >"$packages/lowmem_serve-tree.pth"
}
