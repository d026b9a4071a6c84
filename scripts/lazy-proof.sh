#!/usr/bin/env bash
# Proves that the packages of `--lazy-imports auto` stand it: runs their own test suites, from their source
# distributions, with lazy imports and without. scripts/lazy-proof.sh [PACKAGE...|library]; ten minutes for all.
. "$(dirname "$0")/ready.sh"

need_python
work=$target/lazy-proof
mkdir -p "$work"
if [ ! -x "$work/venv/bin/python" ]; then
    say "making $work/venv with $python"
    "$python" -m venv "$work/venv"
fi
say "pip install -r scripts/lazy_proof/requirements.txt"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r scripts/lazy_proof/requirements.txt
exec "$work/venv/bin/python" scripts/lazy_proof/prove.py "$work" "$@"
