#!/usr/bin/env bash
# Builds the server and serves the Quart example: scripts/serve.sh [FLAG...]
# PORT chooses the port (8000).
. "$(dirname "$0")/ready.sh"

need_rust
need_requirements examples/requirements.txt
need_server
say "lowmem-serve app:app --app-dir examples/quart_app"
export VIRTUAL_ENV=$venv
exec "$server" app:app --app-dir examples/quart_app --port "${PORT:-8000}" "$@"
