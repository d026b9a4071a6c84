#!/usr/bin/env bash
# Builds the wheel and tries it as its users would: in a new environment of each CPython that is here.
# --from-sdist builds it from a source distribution, with nothing of the tree around it.
# --wheel FILE builds nothing, and tries that one.
# PYTHONS="/path/python3.12 …" names the interpreters instead of looking for them.
. "$(dirname "$0")/ready.sh"

[ "${1-}" = --wheel ] || need_rust
need_venv
need readelf binutils
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

wheel=
if [ "${1-}" = --wheel ]; then
    wheel=$(readlink -f "${2:?--wheel needs a file}")
    [ -f "$wheel" ] || fail "there is no $2"
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1)
source=.
if [ "${1-}" = --from-sdist ]; then
    say "making the source distribution"
    "$venv/bin/python" -m venv "$work/build"
    "$work/build/bin/python" -m pip install --quiet --disable-pip-version-check build
    "$work/build/bin/python" -m build --quiet --sdist --outdir "$work" .
    source=$work/lowmem_serve-$version.tar.gz
    [ -f "$source" ] || fail "expected $source, found: $(ls "$work")"
fi

if [ -z "$wheel" ]; then
    say "pip wheel $source"
    # setuptools would pack what an earlier build left there.
    rm -rf build
    "$venv/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$work/wheels" "$source"
    wheel=$(ls "$work"/wheels/*.whl)
fi

# One wheel for all: named by the oldest CPython and the stable ABI, and for this Cargo.toml's version.
case ${wheel##*/} in
    lowmem_serve-"$version"-cp311-abi3-*linux_*.whl) ;;
    *) fail "the wheel is named ${wheel##*/}" ;;
esac
"$venv/bin/python" -m zipfile -e "$wheel" "$work/contents"
for file in lowmem_serve/{__init__.py,__main__.py,_core.abi3.so,py.typed} \
    lowmem_serve-"$version".data/scripts/lowmem-serve \
    lowmem_serve-"$version".dist-info/licenses/LICENSE-{APACHE,MIT}; do
    [ -e "$work/contents/$file" ] || fail "the wheel lacks $file"
done
for file in lowmem_serve/_core.abi3.so lowmem_serve-"$version".data/scripts/lowmem-serve; do
    dynamic=$(readelf -d "$work/contents/$file")
    ! grep -q libpython <<<"$dynamic" || fail "$file is linked against libpython"
    sections=$(readelf -S "$work/contents/$file")
    ! grep -qE '\.(symtab|debug_info)' <<<"$sections" || fail "$file is not stripped"
done
# The C functions outside the stable ABI (private_names.rs names them) are looked up at load time, so that none is
# left to be found here.
"$venv/bin/python" -m venv "$work/audit"
"$work/audit/bin/python" -m pip install --quiet --disable-pip-version-check abi3audit twine
"$work/audit/bin/abi3audit" --strict "$wheel" || fail "the wheel needs more than the stable ABI: see above"
# PyPI would refuse an upload whose description it cannot show.
"$work/audit/bin/twine" check --strict "$wheel" >"$work/twine.log" || { cat "$work/twine.log" >&2; fail "twine check failed"; }
say "${wheel##*/}: $(du -k "$wheel" | cut -f1) KB"

# interpreters: one of each that is on PATH, pyenv's, and Debian's; or those of $PYTHONS.
interpreters() {
    local found candidate path
    found="python3 python3.11 python3.12 python3.13 python3.14 /usr/bin/python3"
    found="$found $(echo "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3)"
    for candidate in ${PYTHONS:-$found}; do
        ! path=$(is_python "$candidate") || readlink -f "$path"
    done | sort -u
}

mkdir "$work/app"
cat >"$work/app/main.py" <<'PYTHON'
import sys


async def app(scope, receive, send):
    assert scope["type"] == "http"
    body = f"{sys.version_info[0]}.{sys.version_info[1]} {sys.prefix}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
PYTHON

# ask: starts the command given, asks it once on the port it says, stops it; prints the answer.
cat >"$work/ask.py" <<'PYTHON'
import re, signal, subprocess, sys, threading, urllib.request

process = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
timer = threading.Timer(20, process.kill)
timer.start()
log = []
for line in process.stderr:
    log.append(line)
    if found := re.search(r"running on (http://\S+)", line):
        with urllib.request.urlopen(found[1], timeout=10) as answer:
            print(answer.read().decode())
        process.send_signal(signal.SIGTERM)
code = process.wait()
timer.cancel()
sys.exit(f"exit code {code}:\n{''.join(log)}" if code else 0)
PYTHON

tried=0
for python in $(interpreters); do
    environment=$work/environment-$tried
    "$python" -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-index "$wheel"
    expected="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') $environment"
    for command in "$environment/bin/lowmem-serve" "$environment/bin/python -m lowmem_serve"; do
        # Outside the tree and without an activated environment: only what was installed is found.
        # shellcheck disable=SC2086 # the command is meant to be split
        answer=$(cd "$work" && env -u VIRTUAL_ENV -u PYTHONPATH -u LOWMEM_SERVE_CORE -u LOWMEM_SERVE_PACKAGE \
            "$venv/bin/python" ask.py $command main:app --app-dir app --port 0) ||
            fail "$python: $command did not serve"
        [ "$answer" = "$expected" ] || fail "$python: $command answered '$answer', not '$expected'"
        $command --version >/dev/null || fail "$python: $command --version failed"
    done
    say "served by $python"
    tried=$((tried + 1))
done
[ "$tried" -gt 0 ] || fail "no CPython $oldest_python or later with venv was found to try the wheel in"
