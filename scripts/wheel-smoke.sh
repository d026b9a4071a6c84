#!/bin/sh
# Installs the wheel of a directory that fits, and asks the server for a page: scripts/wheel-smoke.sh VENV DIRECTORY
# For systems with a Python and sh only, such as an Alpine image.
set -eu

venv=$1
app=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$app"' EXIT
server=

"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$2" lowmem-serve
cat >"$app/main.py" <<'PYTHON'
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
PYTHON
"$venv/bin/lowmem-serve" --version
"$venv/bin/lowmem-serve" main:app --app-dir "$app" --uds "$app/socket" &
server=$!
"$venv/bin/python" - "$app/socket" <<'PYTHON'
import socket, sys, time

for _ in range(300):
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(sys.argv[1])
            client.settimeout(10)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := client.recv(4096):
                answer += piece
        break
    except (FileNotFoundError, ConnectionRefusedError):
        time.sleep(0.1)
else:
    sys.exit("the server did not listen within 30 s")
sys.exit(0 if answer.endswith(b"served") else f"it answered {answer!r}")
PYTHON
kill "$server"
wait "$server"
server=
echo "wheel-smoke.sh: served and stopped"
