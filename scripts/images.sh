#!/usr/bin/env bash
# Sizes of images and memory of containers: this server's, Uvicorn's, Granian's and node's on the same Debian base, each
# with an application of a few lines. Prints a table. WHEELS=dist takes the wheel of `make wheels`.
. "$(dirname "$0")/docker.sh"

name=lowmem-serve-test/compared
requests=2000

mkdir "$work/app"
cat >"$work/app/main.py" <<'PYTHON'
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
PYTHON
cat >"$work/app/main.js" <<'JAVASCRIPT'
require("http").createServer((request, response) => response.end("hello")).listen(8000, "0.0.0.0");
process.on("SIGTERM", () => process.exit(0));
JAVASCRIPT
chmod -R a+rX "$work" "$work/app"

# peer NAME COMMAND: an image of the base and what the command installs.
peer() {
    say "docker build of $1"
    printf 'FROM %s\nRUN %s\nWORKDIR /app\n' "$base" "$2" >"$work/Dockerfile"
    docker build --quiet --network host --tag "$name-$1" --file "$work/Dockerfile" "$work/app" >/dev/null ||
        fail "the image of $1 was not built: see above"
}

in_venv="python3 -m venv --without-pip /opt/venv && python3 -m pip --python /opt/venv/bin/python install --no-cache-dir"

# requested URL COUNT: an answer to each of so many requests, over one connection.
requested() {
    python3 - "$1" "$2" <<'PYTHON'
import http.client, sys

connection = http.client.HTTPConnection(sys.argv[1], timeout=5)
for _ in range(int(sys.argv[2])):
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"hello"
PYTHON
}

# pss CONTAINER: of all its processes, in KiB.
pss() {
    local pid
    for pid in $(docker top "$1" -o pid | tail -n +2); do
        sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$pid/smaps_rollup"
    done | awk '{ sum += $1 } END { print sum }'
}

# row TITLE IMAGE COMMAND...: runs it, asks it, and prints a line of the table.
row() {
    local title=$1 image=$2 container url added
    container=$(docker run -d --label lowmem-serve-test --publish 127.0.0.1::8000 --volume "$work/app:/app:ro" \
        --no-healthcheck "$image" "${@:3}")
    url=$(docker port "$container" 8000/tcp | head -n1)
    eventually 30 requested "$url" 1 || fail "$title does not answer"
    requested "$url" "$requests"
    sleep 5
    added=$(($(size "$image") - $(size "$base")))
    printf '| %s | %s | %s | %s |\n' "$title" "$(mb "$(size "$image")")" "$(mb "$added")" \
        "$(mb $(($(pss "$container") * 1024)))"
    docker rm -f "$container" >/dev/null
}

mb() { awk -v bytes="$1" 'BEGIN { printf "%.1f", bytes / 1e6 }'; }

build "$([ "$wheels" = source ] && echo "$rust_base" || echo "$base")" "$base" "$wheels" --target server --tag "$name-ours"
peer uvicorn "$in_venv 'uvicorn[standard]'"
peer granian "$in_venv granian"
peer node "apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs && rm -rf /var/lib/apt/lists/*"

echo "| | image, MB | over its base, MB | memory of the container after $requests requests, MB (PSS) |"
echo "|---|---:|---:|---:|"
row lowmem-serve "$name-ours" main:app
row Uvicorn "$name-uvicorn" /opt/venv/bin/uvicorn main:app --host 0.0.0.0 --no-access-log
row Granian "$name-granian" /opt/venv/bin/granian --interface asgi main:app --host 0.0.0.0
row node "$name-node" node main.js
