#!/usr/bin/env bash
# Builds the wheels of a release, as far as this machine can, into dist/, and checks them.
#
#   scripts/wheels.sh                                   the source distribution and every wheel
#   scripts/wheels.sh sdist manylinux_2_28_x86_64 …     those; what cannot be built is then a failure
#
# The linker is zig, from PyPI: it links for glibc 2.28 and for musl, whatever this machine has. Wheels of this
# machine's architecture are installed and asked for a page: with glibc in every CPython found, with musl in the ones
# that MUSL_PYTHONS names.
. "$(dirname "$0")/ready.sh"

need_rust
need_python
tools=$target/wheels/tools
stamp=$(sha256sum scripts/wheels-requirements.txt)
if [ "$(cat "$tools/.installed" 2>/dev/null)" != "$stamp" ]; then
    say "making $tools"
    rm -rf "$tools"
    "$python" -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check -r scripts/wheels-requirements.txt ||
        fail "pip could not install scripts/wheels-requirements.txt: see above"
    printf '%s\n' "$stamp" >"$tools/.installed"
fi
exec "$tools/bin/python" scripts/wheels.py --work "$target/wheels" "$@"
