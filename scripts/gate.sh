#!/usr/bin/env bash
# Has a worker become heavier or slower? scripts/gate.sh [ARGUMENT OF benches/gate.py...]
. "$(dirname "$0")/ready.sh"

need_requirements tests/requirements.txt
need_server
# Instructions are counted with Debian's Python, where there is one (benches/gate.py says why).
if [ -x /usr/bin/python3 ]; then
    need valgrind valgrind
fi
say "functions that serving.ld names"
"$venv/bin/python" scripts/serving_count.py "${server%/*}"
say "gate"
exec "$venv/bin/python" benches/gate.py --binary "$server" --python "$venv/bin/python" "$@"
