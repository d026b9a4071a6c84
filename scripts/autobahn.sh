#!/usr/bin/env bash
# Runs the Autobahn|Testsuite's fuzzing client against the built server: every case, compression included.
#
#   scripts/autobahn.sh [CASES]    "*" unless cases are named: "1.*", "12.1.*,13.*"
#
# The testsuite exists for Python 2.7 only. One is looked for on PATH and in pyenv; AUTOBAHN_PYTHON names another.
# The server is LOWMEM_SERVE_BIN, or this tree's release build. Reports are left in target/autobahn.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "autobahn: $*" >&2
    exit 1
}

server=${LOWMEM_SERVE_BIN:-target/release/lowmem-serve}
[ -x "$server" ] || fail "there is no $server: cargo build --release, or name one in LOWMEM_SERVE_BIN"

python=${AUTOBAHN_PYTHON:-$(command -v python2.7 || true)}
for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
    [ -n "$python" ] || [ ! -x "$candidate" ] || python=$candidate
done
# pyenv's shim for a version that is not chosen is found, and does not run.
[ -n "$python" ] && "$python" -c "import sys; assert sys.version_info[:2] == (2, 7)" 2>/dev/null ||
    python=$(ls "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7 2>/dev/null | head -n 1)
[ -n "$python" ] || fail "no Python 2.7: pyenv install 2.7.18, or name one in AUTOBAHN_PYTHON"

out=target/autobahn
wstest=$out/venv/bin/wstest
if [ ! -x "$wstest" ]; then
    mkdir -p "$out"
    "$python" -m virtualenv --version >/dev/null 2>&1 || "$python" -m pip install --quiet --user "virtualenv<20.22" ||
        fail "$python has no virtualenv, and pip cannot install it"
    "$python" -m virtualenv --quiet "$out/venv" || fail "no virtual environment can be made with $python"
    "$out/venv/bin/pip" install --quiet autobahntestsuite || fail "pip cannot install autobahntestsuite"
fi

log=$(mktemp)
"$server" websocket_echo:app --app-dir benches/apps --port 0 --no-access-log 2>"$log" &
running=$!
trap 'kill $running 2>/dev/null || true; rm -f "$log"' EXIT
until url=$(grep -o 'http://[0-9.:]*' "$log"); do
    kill -0 $running 2>/dev/null || { cat "$log" >&2; fail "the server did not start"; }
    sleep 0.1
done

cases=$(printf '"%s"' "${1:-*}" | sed 's/,/", "/g')
cat >"$out/spec.json" <<SPEC
{
    "outdir": "$out/report",
    "servers": [{"agent": "lowmem-serve", "url": "${url/http:/ws:}"}],
    "cases": [$cases],
    "exclude-cases": [],
    "exclude-agent-cases": {}
}
SPEC
rm -rf "$out/report"
"$wstest" --mode fuzzingclient --spec "$out/spec.json" >"$out/wstest.log" 2>&1 ||
    { tail -n 20 "$out/wstest.log" >&2; fail "wstest failed"; }
python3 scripts/autobahn_summary.py "$out/report/index.json"
